//! A message as the API gives it, what differs between two of them, and the difference as the API takes it.

use std::fmt::Write as _;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};
use similar::TextDiff;

use crate::cli::terminal::visible;
use crate::domain::{Header, HeaderValue, Message};
use crate::web::views::{PROPERTIES, typed};

/// The message of a revision.
pub(super) fn parse(revision: &Value) -> anyhow::Result<Message> {
    let headers = serde_json::from_value(revision["headers"].clone());
    let properties = serde_json::from_value(revision["properties"].clone());
    Ok(Message {
        key: bytes(&revision["key"]).context("the key is no base64")?,
        body: bytes(&revision["payload"]).context("the payload is no base64")?,
        headers: headers.context("the headers are not understood")?,
        properties: properties.context("the properties are not understood")?,
    })
}

fn bytes(value: &Value) -> anyhow::Result<Option<Bytes>> {
    let decoded = value["base64"].as_str().map(|text| STANDARD.decode(text));
    Ok(decoded.transpose()?.map(Bytes::from))
}

/// What the API is told: only what differs.
pub(super) fn changes(old: &Message, new: &Message) -> anyhow::Result<Value> {
    let mut changes = json!({});
    if old.body != new.body {
        changes["payload"] = as_base64(new.body.as_ref());
    }
    if old.key != new.key {
        changes["key"] = as_base64(new.key.as_ref());
    }
    if old.headers != new.headers {
        changes["headers"] = serde_json::to_value(&new.headers)?;
    }
    if old.properties != new.properties {
        changes["properties"] = serde_json::to_value(&new.properties)?;
    }
    if changes == json!({}) {
        bail!("nothing was changed");
    }
    Ok(changes)
}

fn as_base64(bytes: Option<&Bytes>) -> Value {
    bytes.map_or(
        Value::Null,
        |bytes| json!({ "base64": STANDARD.encode(bytes) }),
    )
}

/// The difference in lines, for a terminal.
pub(super) fn difference(old: &Message, new: &Message) -> String {
    let mut shown = Vec::new();
    if old.body != new.body {
        let (before, after) = (old.body.as_deref(), new.body.as_deref());
        shown.extend(payload_difference(before, after));
    }
    shown.extend(unified(&head(old), &head(new), ("now", "new")));
    shown.iter().fold(String::new(), |text, line| {
        format!("{text}{}\n", visible(line))
    })
}

fn payload_difference(old: Option<&[u8]>, new: Option<&[u8]>) -> Vec<String> {
    let text = |bytes: Option<&[u8]>| std::str::from_utf8(bytes?).ok().map(str::to_owned);
    if let (Some(old), Some(new)) = (text(old), text(new)) {
        return unified(&old, &new, ("payload now", "payload new"));
    }
    let size = |bytes: Option<&[u8]>| {
        bytes.map_or("null".to_owned(), |bytes| format!("{} bytes", bytes.len()))
    };
    vec![format!("payload: {} become {}", size(old), size(new))]
}

fn unified(old: &str, new: &str, (before, after): (&str, &str)) -> Vec<String> {
    let diff = TextDiff::from_lines(old, new);
    let diff = diff.unified_diff().header(before, after).to_string();
    diff.lines().map(str::to_owned).collect()
}

/// All but the payload, a line each.
fn head(message: &Message) -> String {
    let mut lines = String::new();
    if message.properties.is_none() {
        let key = message
            .key
            .clone()
            .map_or(HeaderValue::Null, HeaderValue::Bytes);
        let (kind, text) = typed::text_of(&key);
        lines = format!("key: {} ({kind})\n", visible(&text));
    }
    lines.extend(message.headers.iter().map(header_line));
    for property in &PROPERTIES {
        let text = message.properties.as_deref().map(|p| property.text(p));
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            // Writing to a string cannot fail.
            let _ = writeln!(lines, "property {}: {}", property.name, visible(&text));
        }
    }
    lines
}

/// `retry-count: 3 (int32)`
fn header_line(header: &Header) -> String {
    let (kind, text) = typed::text_of(&header.value);
    format!(
        "{}: {} ({kind})\n",
        visible(&header.name_lossy()),
        visible(&text)
    )
}
