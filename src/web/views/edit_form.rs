//! The editor's form: a message as fields, and the fields as a message. What was not touched comes
//! back byte for byte, whatever its type.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::headers_view::{kind, value_text};
use super::payload;
use crate::domain::{AmqpValue, Header, HeaderValue, Message, RevisionNumber, System};
use crate::web::parameters::Parameters;

/// More headers than that cannot be edited here.
const HEADERS: usize = 500;

/// How a body stands in the form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyForm {
    Text,
    Base64,
    Null,
}

impl BodyForm {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Base64 => "base64",
            Self::Null => "null",
        }
    }

    fn parse(text: &str) -> Self {
        match text {
            "base64" => Self::Base64,
            "null" => Self::Null,
            _ => Self::Text,
        }
    }
}

/// One header in the form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HeaderField {
    pub(super) name: String,
    /// `text`, `integer`, `boolean`, `base64`, `null`, or `keep` for what cannot be typed.
    pub(super) kind: String,
    pub(super) value: String,
    /// Its place in the message that the form began with.
    pub(super) from: Option<usize>,
    pub(super) removed: bool,
    /// The type in the broker's words, for a locked row.
    pub(super) type_name: &'static str,
}

/// The whole form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EditForm {
    pub(super) builds_on: RevisionNumber,
    pub(super) body_form: BodyForm,
    pub(super) body: String,
    pub(super) headers: Vec<HeaderField>,
    pub(super) note: String,
}

/// Kinds that a person may choose for a header.
pub(super) const fn header_kinds(system: System) -> &'static [&'static str] {
    match system {
        System::Kafka => &["text", "base64", "null"],
        System::RabbitMq => &["text", "integer", "boolean", "base64", "null"],
    }
}

impl EditForm {
    /// The form as the editor opens it. JSON is laid out for people; unless it is changed, the message
    /// keeps its own layout.
    pub(super) fn of(message: &Message, builds_on: RevisionNumber) -> Self {
        let (body_form, body) = body_of(message.body.as_deref());
        let fields = message.headers.iter().enumerate().take(HEADERS);
        Self {
            builds_on,
            body_form,
            body,
            headers: fields
                .map(|(index, header)| field_of(index, header))
                .collect(),
            note: String::new(),
        }
    }

    /// The form as the browser sent it.
    pub(super) fn sent(fields: &Parameters) -> Self {
        let count = fields.get("headers").and_then(|text| text.parse().ok());
        let count: usize = count.unwrap_or(0);
        let raw = |name: &str| fields.all(name).next().unwrap_or("").replace("\r\n", "\n");
        let field = |index: usize| {
            let get = |part: &str| raw(&format!("h{index}-{part}"));
            HeaderField {
                name: get("name"),
                kind: get("kind"),
                value: get("value"),
                from: get("from").parse().ok(),
                removed: !get("remove").is_empty(),
                type_name: "",
            }
        };
        let builds_on = fields.get("builds_on").and_then(|text| text.parse().ok());
        Self {
            builds_on: RevisionNumber(builds_on.unwrap_or(0)),
            body_form: BodyForm::parse(fields.get("body_form").unwrap_or("text")),
            body: raw("body"),
            headers: (0..count.min(HEADERS)).map(field).collect(),
            note: raw("note").trim().to_owned(),
        }
    }

    /// The edited message, or what is wrong with the form. `base` is the message that it began with.
    pub(super) fn message(&self, base: &Message) -> Result<Message, String> {
        let mut headers = Vec::new();
        for field in self.headers.iter().filter(|field| !field.removed) {
            headers.extend(header(field, base)?);
        }
        // What did not fit into the form stays as it is.
        headers.extend(base.headers.iter().skip(HEADERS).cloned());
        Ok(Message {
            key: base.key.clone(),
            body: self.body(base.body.as_ref())?,
            headers,
            properties: base.properties.clone(),
        })
    }

    fn body(&self, base: Option<&Bytes>) -> Result<Option<Bytes>, String> {
        if (self.body_form, &self.body)
            == (
                body_of(base.map(AsRef::as_ref)).0,
                &body_of(base.map(AsRef::as_ref)).1,
            )
        {
            return Ok(base.cloned());
        }
        match self.body_form {
            BodyForm::Null => Ok(None),
            BodyForm::Base64 => decode(&self.body)
                .map(Some)
                .ok_or_else(|| "the payload is no base64".to_owned()),
            BodyForm::Text => {
                let uses_crlf =
                    base.is_some_and(|body| body.windows(2).any(|pair| pair == b"\r\n"));
                let text = if uses_crlf {
                    self.body.replace('\n', "\r\n")
                } else {
                    self.body.clone()
                };
                Ok(Some(Bytes::from(text)))
            }
        }
    }
}

fn body_of(body: Option<&[u8]>) -> (BodyForm, String) {
    match body {
        None => (BodyForm::Null, String::new()),
        Some(body) => match editable_text(body) {
            Some(text) if is_one_line_json(&text) => (BodyForm::Text, payload::json_text(&text)),
            Some(text) => (BodyForm::Text, text),
            None => (BodyForm::Base64, STANDARD.encode(body)),
        },
    }
}

fn is_one_line_json(text: &str) -> bool {
    !text.contains('\n') && matches!(payload::read(text.as_bytes()), payload::Reading::Json)
}

/// Text that a `<textarea>` gives back as it was, with line breaks as `\n`. Browsers drop or change
/// other control characters, and make all line breaks alike.
fn editable_text(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    let unified = text.replace("\r\n", "\n");
    let breaks_are_alike = !text.contains("\r\n") || unified.replace('\n', "\r\n") == text;
    let is_plain = |c: char| !c.is_control() || c == '\n' || c == '\t';
    (breaks_are_alike && unified.chars().all(is_plain)).then_some(unified)
}

fn field_of(index: usize, header: &Header) -> HeaderField {
    let (kind_word, value) = match std::str::from_utf8(&header.name) {
        Ok(_) => typed(&header.value),
        Err(_) => ("keep", value_text(&header.value)),
    };
    HeaderField {
        name: header.name_lossy(),
        kind: kind_word.to_owned(),
        value,
        from: Some(index),
        removed: false,
        type_name: kind(&header.value),
    }
}

fn typed(value: &HeaderValue) -> (&'static str, String) {
    match value {
        HeaderValue::Null | HeaderValue::Amqp(AmqpValue::Void) => ("null", String::new()),
        HeaderValue::Bytes(bytes) | HeaderValue::Amqp(AmqpValue::LongString(bytes)) => {
            match editable_text(bytes).filter(|_| !bytes.contains(&b'\r')) {
                Some(text) => ("text", text),
                None => ("base64", STANDARD.encode(bytes)),
            }
        }
        HeaderValue::Amqp(AmqpValue::ByteArray(bytes)) => ("base64", STANDARD.encode(bytes)),
        HeaderValue::Amqp(AmqpValue::Boolean(flag)) => ("boolean", flag.to_string()),
        HeaderValue::Amqp(AmqpValue::ShortString(text)) => ("text", text.clone()),
        HeaderValue::Amqp(other) => match other.as_integer() {
            Some(number) => ("integer", number.to_string()),
            None => ("keep", value_text(value)),
        },
    }
}

/// The header of a row; an empty row is none.
fn header(field: &HeaderField, base: &Message) -> Result<Option<Header>, String> {
    let original = field
        .from
        .and_then(|index| Some((index, base.headers.get(index)?)));
    if let Some((index, original)) = original {
        let opened = field_of(index, original);
        let is_untouched =
            opened.name == field.name && opened.kind == field.kind && opened.value == field.value;
        if is_untouched || opened.kind == "keep" {
            return Ok(Some(original.clone()));
        }
    }
    if field.name.is_empty() && field.value.is_empty() {
        return Ok(None);
    }
    if field.name.is_empty() {
        return Err(format!(
            "the header with the value {:?} has no name",
            field.value
        ));
    }
    let like = original.map(|(_, header)| &header.value);
    let value = value_of(field, like, base.properties.is_some())?;
    let name = Bytes::from(field.name.clone());
    Ok(Some(Header { name, value }))
}

/// The value with the type that the original had, where the kind still fits it.
fn value_of(
    field: &HeaderField,
    like: Option<&HeaderValue>,
    is_amqp: bool,
) -> Result<HeaderValue, String> {
    let wrong = |what: &str| format!("header {}: {:?} is no {what}", field.name, field.value);
    let amqp = HeaderValue::Amqp;
    Ok(match (field.kind.as_str(), is_amqp) {
        ("null", false) => HeaderValue::Null,
        ("null", true) => amqp(AmqpValue::Void),
        ("base64", false) => {
            HeaderValue::Bytes(decode(&field.value).ok_or_else(|| wrong("base64"))?)
        }
        ("base64", true) => {
            let bytes = decode(&field.value).ok_or_else(|| wrong("base64"))?;
            match like {
                Some(HeaderValue::Amqp(AmqpValue::LongString(_))) => {
                    amqp(AmqpValue::LongString(bytes))
                }
                _ => amqp(AmqpValue::ByteArray(bytes)),
            }
        }
        ("boolean", true) => match field.value.trim() {
            "true" => amqp(AmqpValue::Boolean(true)),
            "false" => amqp(AmqpValue::Boolean(false)),
            _ => return Err(wrong("boolean: write true or false")),
        },
        ("integer", true) => {
            let number = field
                .value
                .trim()
                .parse()
                .map_err(|_| wrong("integer of 64 bits"))?;
            amqp(integer_like(number, like))
        }
        (_, false) => HeaderValue::Bytes(Bytes::from(field.value.clone())),
        (_, true) => match like {
            Some(HeaderValue::Amqp(AmqpValue::ShortString(_))) if field.value.len() <= 255 => {
                amqp(AmqpValue::ShortString(field.value.clone()))
            }
            _ => amqp(AmqpValue::long_string(field.value.clone())),
        },
    })
}

/// The width of the original if the number still fits, else 64 bits.
fn integer_like(number: i64, like: Option<&HeaderValue>) -> AmqpValue {
    let narrow = match like {
        Some(HeaderValue::Amqp(AmqpValue::I8(_))) => number.try_into().ok().map(AmqpValue::I8),
        Some(HeaderValue::Amqp(AmqpValue::U8(_))) => number.try_into().ok().map(AmqpValue::U8),
        Some(HeaderValue::Amqp(AmqpValue::I16(_))) => number.try_into().ok().map(AmqpValue::I16),
        Some(HeaderValue::Amqp(AmqpValue::U16(_))) => number.try_into().ok().map(AmqpValue::U16),
        Some(HeaderValue::Amqp(AmqpValue::I32(_))) => number.try_into().ok().map(AmqpValue::I32),
        Some(HeaderValue::Amqp(AmqpValue::U32(_))) => number.try_into().ok().map(AmqpValue::U32),
        _ => None,
    };
    narrow.unwrap_or(AmqpValue::I64(number))
}

fn decode(text: &str) -> Option<Bytes> {
    let compact: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    STANDARD.decode(compact).ok().map(Bytes::from)
}

#[cfg(test)]
mod tests;
