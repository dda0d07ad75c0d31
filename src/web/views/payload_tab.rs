//! The tab Payload of a dead letter: the body as one of its forms, and what is said of it.

use askama::filters::Safe;

use super::facts_view::about_envelope;
use super::payload::{self, Reading};
use super::schema_view::SchemaView;
use crate::domain::{DeadLetter, Envelope, Message};
use crate::web::escape::{Markup, escaped};
use crate::web::markup;
use crate::web::parameters::Parameters;
use crate::web::visit::Visit;

/// A link among its like.
pub(super) struct Tab {
    pub(super) label: &'static str,
    pub(super) href: String,
    pub(super) is_current: bool,
}

/// The body as one of its forms.
pub(super) struct Payload {
    /// "JSON, 412 B", or each decoder that was tried and why it failed.
    pub(super) reading: String,
    pub(super) size: String,
    pub(super) forms: Vec<Tab>,
    pub(super) text: Markup,
    pub(super) is_cut: bool,
    pub(super) is_null: bool,
    pub(super) key: Option<String>,
    pub(super) omitted: String,
    /// What is wrapped around the original; empty if the body is the original itself.
    pub(super) envelope: String,
    /// The DLQ has only a pointer, and what is shown is what it points to.
    pub(super) is_fetched: bool,
    pub(super) download: String,
    pub(super) schema: Option<SchemaView>,
}

/// The tab for the message of a dead letter; `letter` has that of the revision that is shown.
pub(super) fn payload(visit: &Visit, letter: &DeadLetter, schema: Option<SchemaView>) -> Payload {
    let body = payload::body_of(&letter.message, visit.query.get("form"));
    let reading = payload::read(&body);
    let form = match (visit.query.get("form"), &reading) {
        (Some(payload::STORED), _) => payload::STORED,
        (Some("hex"), _) | (None, Reading::Binary(_)) => "hex",
        (Some("raw"), _) | (_, Reading::Text(_) | Reading::Binary(_)) => "raw",
        (_, Reading::Json) => "pretty",
    };
    let cut = &body[..body.len().min(payload::SHOWN_BYTES)];
    let is_hex = form == "hex" || matches!((form, &reading), (payload::STORED, Reading::Binary(_)));
    let text = match form {
        _ if is_hex => payload::hex(cut),
        // A cut JSON is re-indented as well as it goes: the tokens before the cut are whole.
        "pretty" => {
            let notes = schema.as_ref().map_or(&[][..], |schema| &schema.notes);
            payload::json(&String::from_utf8_lossy(cut), notes)
        }
        _ => Safe(escaped(&String::from_utf8_lossy(cut))),
    };
    Payload {
        reading: reading.words(),
        size: markup::bytes(body.len() as u64),
        forms: forms(visit, form, &reading, letter.decoded.envelope),
        text,
        is_cut: cut.len() < body.len() || (is_hex && body.len() > payload::HEX_BYTES),
        is_null: letter.message.body.is_none(),
        key: key_words(&letter.message),
        omitted: letter.body_omitted.clone().unwrap_or_default(),
        envelope: about_envelope(letter.decoded.envelope),
        is_fetched: letter.decoded.payload_absent && letter.body_omitted.is_none(),
        download: Parameters::default()
            .with("revision", visit.query.get("revision").unwrap_or(""))
            .url(&format!("/dead-letters/{}/payload", letter.summary.id)),
        schema,
    }
}

fn key_words(message: &Message) -> Option<String> {
    let key = message.key.as_deref()?;
    Some(match std::str::from_utf8(key) {
        Ok("") => "(empty)".to_owned(),
        Ok(text) => markup::cut_end(text, 500),
        Err(_) => format!("{} that are no text", markup::bytes(key.len() as u64)),
    })
}

fn forms(visit: &Visit, current: &str, reading: &Reading, envelope: Option<Envelope>) -> Vec<Tab> {
    let known: &[(&'static str, &str)] = match reading {
        Reading::Json => &[("Pretty", "pretty"), ("Raw", "raw"), ("Hex", "hex")],
        _ => &[("Raw", "raw"), ("Hex", "hex")],
    };
    let tab = |(label, name): &(&'static str, &str)| Tab {
        label,
        href: visit
            .query
            .with("saved", "")
            .with("form", name)
            .url(&visit.path),
        is_current: *name == current,
    };
    let stored = envelope.filter(|envelope| envelope.wraps_body());
    let stored = stored.map(|_| ("Stored", payload::STORED));
    known.iter().chain(&stored).map(tab).collect()
}
