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
mod tests {
    use super::*;

    fn awkward() -> Message {
        Message {
            key: Some(Bytes::new()),
            body: Some(Bytes::from_static(br#"{"b":1.10,"a":[1]}"#)),
            headers: vec![
                Header::text("a", "1"),
                Header::text("a", "2"),
                Header {
                    name: Bytes::from_static(b"\xff"),
                    value: HeaderValue::Null,
                },
                Header {
                    name: Bytes::from_static(b"e"),
                    value: HeaderValue::Bytes(Bytes::new()),
                },
                Header {
                    name: Bytes::from_static(b"n"),
                    value: HeaderValue::Null,
                },
                Header::text("crlf", "a\r\nb"),
            ],
            properties: None,
        }
    }

    /// What a browser sends for a form: line breaks become `\r\n`.
    fn through_a_browser(form: &EditForm) -> EditForm {
        let mut pairs = vec![
            ("builds_on".to_owned(), form.builds_on.to_string()),
            ("body_form".to_owned(), form.body_form.as_str().to_owned()),
            ("body".to_owned(), form.body.replace('\n', "\r\n")),
            ("headers".to_owned(), form.headers.len().to_string()),
        ];
        for (index, field) in form.headers.iter().enumerate() {
            let mut push = |part: &str, value: &str| {
                pairs.push((format!("h{index}-{part}"), value.replace('\n', "\r\n")));
            };
            push("name", &field.name);
            push("kind", &field.kind);
            push("value", &field.value);
            push(
                "from",
                &field.from.map(|from| from.to_string()).unwrap_or_default(),
            );
            push("remove", if field.removed { "1" } else { "" });
        }
        let mut encoded = url::form_urlencoded::Serializer::new(String::new());
        encoded.extend_pairs(pairs);
        EditForm::sent(&Parameters::parse(encoded.finish().as_bytes()))
    }

    fn unchanged(message: &Message) {
        let form = EditForm::of(message, RevisionNumber(0));
        assert_eq!(through_a_browser(&form).message(message).unwrap(), *message);
    }

    #[test]
    fn what_is_not_touched_comes_back_byte_for_byte() {
        unchanged(&awkward());
        for body in [
            &b"\xfe\xff"[..],
            b"a\r\nb",
            b"a\r\nb\nc",
            b"a\rb",
            b"\x00",
            b"",
            b"{\n}",
            b"\n",
        ] {
            unchanged(&Message {
                body: Some(Bytes::copy_from_slice(body)),
                ..awkward()
            });
        }
        unchanged(&Message {
            body: None,
            ..awkward()
        });
        let amqp = [
            AmqpValue::I8(-1),
            AmqpValue::Boolean(true),
            AmqpValue::ShortString("s".to_owned()),
            AmqpValue::F64(f64::NAN.to_bits()),
            AmqpValue::Table(vec![("n".to_owned(), AmqpValue::Void)]),
            AmqpValue::Timestamp(7),
        ];
        let headers = amqp.map(|value| Header::amqp("h", value)).to_vec();
        unchanged(&Message {
            headers,
            properties: Some(Box::default()),
            ..awkward()
        });
    }

    #[test]
    fn an_edit_changes_what_it_says_and_nothing_else() {
        let base = awkward();
        let mut form = EditForm::of(&base, RevisionNumber(0));
        form.body = r#"{"b":2}"#.to_owned();
        form.headers[0].value = "9".to_owned();
        form.headers[1].removed = true;
        form.headers.push(HeaderField {
            name: "new".to_owned(),
            kind: "text".to_owned(),
            value: "x".to_owned(),
            from: None,
            removed: false,
            type_name: "",
        });
        let edited = through_a_browser(&form).message(&base).unwrap();
        assert_eq!(edited.body.as_deref(), Some(&br#"{"b":2}"#[..]));
        assert_eq!(edited.headers[0], Header::text("a", "9"));
        assert_eq!(edited.headers[1..5], base.headers[2..6]);
        assert_eq!(edited.headers[5], Header::text("new", "x"));
        assert_eq!(edited.key, base.key);
    }

    #[test]
    fn an_edited_integer_keeps_its_width_while_it_fits() {
        let like = HeaderValue::Amqp(AmqpValue::I8(1));
        assert_eq!(integer_like(5, Some(&like)), AmqpValue::I8(5));
        assert_eq!(integer_like(500, Some(&like)), AmqpValue::I64(500));
    }

    #[test]
    fn mistakes_name_the_header() {
        let base = Message {
            properties: Some(Box::default()),
            ..Message::default()
        };
        let mut form = EditForm::of(&base, RevisionNumber(0));
        form.headers.push(HeaderField {
            name: "count".to_owned(),
            kind: "integer".to_owned(),
            value: "three".to_owned(),
            from: None,
            removed: false,
            type_name: "",
        });
        let error = form.message(&base).unwrap_err();
        assert!(
            error.contains("count") && error.contains("three"),
            "{error}"
        );
    }
}
