//! The editor's form: a message as fields, and the fields as a message. What was not touched comes
//! back byte for byte, whatever its type.

use bytes::Bytes;

use super::bytes_field::{BytesField, BytesForm};
use super::properties::PROPERTIES;
use super::typed;
use crate::dialects::headers_stripped_on_replay;
use crate::domain::{Header, Message, RevisionNumber, System};
use crate::web::parameters::Parameters;
use crate::web::views::headers_view::{kind, value_text};

/// More headers than that cannot be edited here.
const HEADERS: usize = 500;

/// One header in the form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HeaderField {
    pub(super) name: String,
    /// One of [`typed::kinds`].
    pub(super) kind: String,
    pub(super) value: String,
    /// Its place in the message that the form began with.
    pub(super) from: Option<usize>,
    pub(super) removed: bool,
}

/// Why a header cannot be edited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Lock {
    /// A replay leaves it out, for this reason.
    LeftOut(&'static str),
    /// A form cannot give it back as it is; it can only stay or go.
    Unwritable,
}

/// A header as the editor opens it.
pub(super) struct OpenedHeader {
    pub(super) field: HeaderField,
    pub(super) lock: Option<Lock>,
}

/// The whole form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EditForm {
    /// The newest revision when it was opened: another one since is a conflict.
    pub(super) builds_on: RevisionNumber,
    /// The revision whose message it was opened with.
    pub(super) opened: RevisionNumber,
    pub(super) body: BytesField,
    /// Only on Kafka; absent if the form says nothing about it.
    pub(super) key: Option<BytesField>,
    pub(super) headers: Vec<HeaderField>,
    /// In the order of [`PROPERTIES`]; absent where the form says nothing.
    pub(super) properties: Vec<Option<String>>,
    pub(super) note: String,
}

/// Only RabbitMQ's messages have properties.
pub(super) const fn system_of(message: &Message) -> System {
    if message.properties.is_some() {
        System::RabbitMq
    } else {
        System::Kafka
    }
}

/// The headers as the editor opens them, at most as many as it takes.
pub(super) fn opened_headers(message: &Message) -> Vec<OpenedHeader> {
    let stripped = headers_stripped_on_replay(system_of(message), message);
    let headers = message.headers.iter().enumerate().take(HEADERS);
    let opened = |(index, header): (usize, &Header)| {
        let left_out = stripped.iter().find(|stripped| stripped.index == index);
        OpenedHeader {
            field: field_of(index, header),
            lock: match left_out {
                Some(left_out) => Some(Lock::LeftOut(left_out.reason)),
                None => (!is_writable(header)).then_some(Lock::Unwritable),
            },
        }
    };
    headers.map(opened).collect()
}

fn is_writable(header: &Header) -> bool {
    let name = header.name_utf8();
    name.is_some_and(|name| !name.chars().any(char::is_control))
        && typed::is_plain(&typed::text_of(&header.value).1)
}

fn field_of(index: usize, header: &Header) -> HeaderField {
    let (kind_word, value) = if is_writable(header) {
        typed::text_of(&header.value)
    } else {
        (kind(&header.value), value_text(&header.value))
    };
    HeaderField {
        name: header.name_lossy(),
        kind: kind_word.to_owned(),
        value,
        from: Some(index),
        removed: false,
    }
}

impl EditForm {
    /// The form as the editor opens it. JSON is laid out for people; unless it is changed, the message
    /// keeps its own layout.
    pub(super) fn of(message: &Message, builds_on: RevisionNumber) -> Self {
        let is_kafka = system_of(message) == System::Kafka;
        let properties = message.properties.as_deref();
        let text = |property: &super::properties::Property| Some(property.text(properties?));
        Self {
            builds_on,
            opened: builds_on,
            body: BytesField::of_body(message.body.as_deref()),
            key: is_kafka.then(|| BytesField::of(message.key.as_deref())),
            headers: opened_headers(message)
                .into_iter()
                .map(|opened| opened.field)
                .collect(),
            properties: PROPERTIES.iter().map(text).collect(),
            note: String::new(),
        }
    }

    /// The form as the browser sent it.
    pub(super) fn sent(fields: &Parameters) -> Self {
        let count = fields.get("headers").and_then(|text| text.parse().ok());
        let count: usize = count.unwrap_or(0);
        let sent = |name: &str| Some(fields.all(name).next()?.replace("\r\n", "\n"));
        let raw = |name: &str| sent(name).unwrap_or_default();
        let field = |index: usize| {
            let get = |part: &str| raw(&format!("h{index}-{part}"));
            HeaderField {
                name: get("name"),
                kind: get("kind"),
                value: get("value"),
                from: get("from").parse().ok(),
                removed: !get("remove").is_empty(),
            }
        };
        let bytes = |name: &str| {
            let form = BytesForm::parse(&sent(&format!("{name}_form"))?);
            Some(BytesField {
                form: form.unwrap_or(BytesForm::Text),
                text: raw(name),
            })
        };
        let number = |name: &str| fields.get(name).and_then(|text| text.parse().ok());
        let builds_on = number("builds_on").unwrap_or(0);
        Self {
            builds_on: RevisionNumber(builds_on),
            opened: RevisionNumber(number("opened").unwrap_or(builds_on)),
            body: bytes("body").unwrap_or(BytesField {
                form: BytesForm::Text,
                text: raw("body"),
            }),
            key: bytes("key"),
            headers: (0..count.min(HEADERS)).map(field).collect(),
            properties: PROPERTIES
                .iter()
                .map(|property| sent(&format!("p-{}", property.name)))
                .collect(),
            note: raw("note").trim().to_owned(),
        }
    }

    /// The edited message, or what is wrong with the form. `base` is the message that it began with.
    pub(super) fn message(&self, base: &Message) -> Result<Message, String> {
        let opened = opened_headers(base);
        let mut headers = Vec::new();
        for field in &self.headers {
            headers.extend(header(field, base, &opened)?);
        }
        // What did not fit into the form stays as it is.
        headers.extend(base.headers.iter().skip(HEADERS).cloned());
        let mut message = Message {
            headers,
            body: self.body.bytes_or(
                &BytesField::of_body(base.body.as_deref()),
                base.body.as_ref(),
                "payload",
            )?,
            ..base.clone()
        };
        if let Some(key) = self.key.as_ref().filter(|_| base.properties.is_none()) {
            let opened = BytesField::of(base.key.as_deref());
            message.key = key.bytes_or(&opened, base.key.as_ref(), "key")?;
        }
        if let Some(properties) = &mut message.properties {
            for (property, text) in PROPERTIES.iter().zip(&self.properties) {
                if let Some(text) = text {
                    property.apply(properties, text)?;
                }
            }
        }
        Ok(message)
    }

    /// The names and values of all fields, as a browser would send them.
    pub(super) fn fields(&self) -> Vec<(String, String)> {
        let mut fields = vec![
            ("builds_on".to_owned(), self.builds_on.to_string()),
            ("opened".to_owned(), self.opened.to_string()),
            ("note".to_owned(), self.note.clone()),
            ("headers".to_owned(), self.headers.len().to_string()),
        ];
        let bytes = [("body", Some(&self.body)), ("key", self.key.as_ref())];
        for (name, field) in bytes {
            if let Some(field) = field {
                fields.push((format!("{name}_form"), field.form.as_str().to_owned()));
                fields.push((name.to_owned(), field.text.clone()));
            }
        }
        for (property, text) in PROPERTIES.iter().zip(&self.properties) {
            fields.extend(
                text.clone()
                    .map(|text| (format!("p-{}", property.name), text)),
            );
        }
        for (index, field) in self.headers.iter().enumerate() {
            let from = field.from.map(|from| from.to_string()).unwrap_or_default();
            let removed = if field.removed { "1" } else { "" };
            let parts = [
                ("name", field.name.as_str()),
                ("kind", &field.kind),
                ("value", &field.value),
                ("from", &from),
                ("remove", removed),
            ];
            fields
                .extend(parts.map(|(part, value)| (format!("h{index}-{part}"), value.to_owned())));
        }
        fields
    }
}

/// The header of a row, if it has one: an empty row and a removed one have none.
fn header(
    field: &HeaderField,
    base: &Message,
    opened: &[OpenedHeader],
) -> Result<Option<Header>, String> {
    let original = field
        .from
        .and_then(|index| Some((opened.get(index)?, base.headers.get(index)?)));
    if let Some((opened, original)) = original {
        if matches!(opened.lock, Some(Lock::LeftOut(_))) {
            return Ok(Some(original.clone()));
        }
        if field.removed {
            return Ok(None);
        }
        if opened.lock.is_some() || opened.field == *field {
            return Ok(Some(original.clone()));
        }
    }
    let is_empty = field.name.is_empty() && field.value.is_empty();
    if field.removed || (original.is_none() && is_empty) {
        return Ok(None);
    }
    if field.name.is_empty() {
        let start: String = field.value.chars().take(40).collect();
        return Err(format!("the header with the value {start:?} has no name"));
    }
    let kinds = typed::kinds(system_of(base));
    let is_offered = kinds.contains(&field.kind.as_str());
    let is_kept = original.is_some_and(|(opened, _)| opened.field.kind == field.kind);
    if !is_offered && !is_kept {
        return Err(format!(
            "header {}: there is no type {:?}; choose one of the list",
            field.name, field.kind
        ));
    }
    let value = typed::value_of(&field.kind, &field.value)
        .map_err(|wrong| format!("header {}: {wrong}", field.name))?;
    let name = Bytes::from(field.name.clone());
    Ok(Some(Header { name, value }))
}

#[cfg(test)]
mod tests;
