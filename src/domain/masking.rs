use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;

use super::{GlobError, Header, HeaderValue, JsonKind, JsonNode, Message, NameFilter};

/// What stands where a value was hidden.
const MASK: &str = "***";

/// Which headers and fields of payloads are hidden.
#[derive(Clone, Debug, Default)]
pub struct Masking {
    headers: NameFilter,
    /// Fields by their name, wherever they stand.
    names: NameFilter,
    /// Fields by their names from the top on, joined by dots; elements of arrays have none.
    paths: NameFilter,
    has_headers: bool,
    has_fields: bool,
}

/// How a value is hidden.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hide {
    /// It reads as if it were not there.
    Absent,
    /// It can be seen that something was.
    Masked,
}

impl Masking {
    /// Patterns are globs without regard to case. A field pattern with a dot is a path.
    pub fn new(headers: &[String], fields: &[String]) -> Result<Self, GlobError> {
        let parse =
            |patterns: &[&String]| NameFilter::parse(patterns.iter().map(|text| text.as_str()));
        let (paths, names): (Vec<&String>, Vec<&String>) =
            fields.iter().partition(|pattern| pattern.contains('.'));
        Ok(Self {
            headers: parse(&headers.iter().collect::<Vec<_>>())?,
            names: parse(&names)?,
            paths: parse(&paths)?,
            has_headers: !headers.is_empty(),
            has_fields: !fields.is_empty(),
        })
    }

    /// Whether there is any rule.
    pub const fn is_on(&self) -> bool {
        self.has_headers || self.has_fields
    }

    /// The message as if what is hidden were not in it, for those who read IDs from it.
    pub fn without<'m>(&self, message: &'m Message) -> Cow<'m, Message> {
        if self.is_on() {
            Cow::Owned(self.hidden(message, Hide::Absent))
        } else {
            Cow::Borrowed(message)
        }
    }

    /// The message with a mark in place of each hidden value, for those who look at it.
    pub fn masked<'m>(&self, message: &'m Message) -> Cow<'m, Message> {
        if self.is_on() {
            Cow::Owned(self.hidden(message, Hide::Masked))
        } else {
            Cow::Borrowed(message)
        }
    }

    fn hidden(&self, message: &Message, hide: Hide) -> Message {
        let mut message = message.clone();
        if self.has_headers {
            let is_hidden = |header: &Header| self.headers.matches(&header.name_lossy());
            match hide {
                Hide::Absent => message.headers.retain(|header| !is_hidden(header)),
                Hide::Masked => message
                    .headers
                    .iter_mut()
                    .filter(|header| is_hidden(header))
                    .for_each(|header| header.value = mask_of(&header.value)),
            }
        }
        if self.has_fields {
            message.body = message.body.map(|body| self.body(body, hide));
        }
        message
    }

    /// What is JSON loses its hidden values and nothing else. What only looks like it may hold them anywhere, and is
    /// hidden whole.
    fn body(&self, body: Bytes, hide: Hide) -> Bytes {
        let is_meant_as_json = matches!(body.trim_ascii_start().first(), Some(b'{' | b'['));
        if !is_meant_as_json {
            return body;
        }
        let replacement = match hide {
            Hide::Absent => "null".to_owned(),
            Hide::Masked => format!("\"{MASK}\""),
        };
        let text = std::str::from_utf8(&body).ok();
        let Some((text, root)) = text.and_then(|text| Some((text, JsonNode::parse(text).ok()?)))
        else {
            return Bytes::from(replacement);
        };
        let mut spans = Vec::new();
        self.find_hidden(&root, "", &mut spans);
        if spans.is_empty() {
            return body;
        }
        let mut masked = String::with_capacity(text.len());
        let mut plain_from = 0;
        for span in spans {
            masked.push_str(&text[plain_from..span.start]);
            masked.push_str(&replacement);
            plain_from = span.end;
        }
        masked.push_str(&text[plain_from..]);
        Bytes::from(masked)
    }

    /// In the order of the text, none within another.
    fn find_hidden(&self, node: &JsonNode, path: &str, found: &mut Vec<Range<usize>>) {
        match &node.kind {
            JsonKind::Scalar => {}
            JsonKind::Array(elements) => {
                for element in elements {
                    self.find_hidden(element, path, found);
                }
            }
            JsonKind::Object(members) => {
                for member in members {
                    let path = match path {
                        "" => member.name.clone(),
                        path => format!("{path}.{}", member.name),
                    };
                    if self.names.matches(&member.name) || self.paths.matches(&path) {
                        found.push(member.value.span.clone());
                    } else {
                        self.find_hidden(&member.value, &path, found);
                    }
                }
            }
        }
    }
}

/// Of the same kind, so that the broker's type is still seen.
fn mask_of(value: &HeaderValue) -> HeaderValue {
    match value {
        HeaderValue::Null => HeaderValue::Null,
        HeaderValue::Amqp(_) => HeaderValue::Amqp(super::AmqpValue::long_string(MASK)),
        HeaderValue::Bytes(_) => HeaderValue::Bytes(Bytes::from_static(MASK.as_bytes())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::AmqpValue;

    fn masking(headers: &[&str], fields: &[&str]) -> Masking {
        let owned = |texts: &[&str]| -> Vec<String> {
            texts.iter().map(|text| (*text).to_owned()).collect()
        };
        Masking::new(&owned(headers), &owned(fields)).unwrap()
    }

    fn body(text: &str) -> Message {
        Message {
            body: Some(Bytes::copy_from_slice(text.as_bytes())),
            ..Message::default()
        }
    }

    #[test]
    fn fields_are_hidden_by_name_or_path_and_the_rest_stays_as_it_is_written() {
        let check = |fields: &[&str], text: &str, masked: &str, absent: &str| {
            let masking = masking(&[], fields);
            let message = body(text);
            let shown = |message: Cow<Message>| {
                String::from_utf8(message.body.as_ref().unwrap().to_vec()).unwrap()
            };
            assert_eq!(shown(masking.masked(&message)), masked, "{text}");
            assert_eq!(shown(masking.without(&message)), absent, "{text}");
        };
        let text = r#"{ "password": {"a": 1}, "list": [ {"Password" : "x"}, 1.50 ], "b": 2 }"#;
        check(
            &["password"],
            text,
            r#"{ "password": "***", "list": [ {"Password" : "***"}, 1.50 ], "b": 2 }"#,
            r#"{ "password": null, "list": [ {"Password" : null}, 1.50 ], "b": 2 }"#,
        );
        let text = r#"{"data":[{"mail":"m","name":"n"}],"mail":"other"}"#;
        check(
            &["data.mail"],
            text,
            r#"{"data":[{"mail":"***","name":"n"}],"mail":"other"}"#,
            r#"{"data":[{"mail":null,"name":"n"}],"mail":"other"}"#,
        );
        check(
            &["data.*"],
            r#"{"data":{}}"#,
            r#"{"data":{}}"#,
            r#"{"data":{}}"#,
        );
        check(&["a"], "{broken \"a\": 1", "\"***\"", "null");
        check(&["a"], "no JSON", "no JSON", "no JSON");
        check(&[], text, text, text);
    }

    #[test]
    fn headers_are_hidden_by_name() {
        let message = Message {
            headers: vec![
                Header::text("Authorization", "secret"),
                Header::amqp("authorization", AmqpValue::I64(1)),
                Header::text("eventId", "e"),
            ],
            ..Message::default()
        };
        let masking = masking(&["auth*"], &[]);
        let masked = masking.masked(&message);
        let values: Vec<_> = masked.headers.iter().map(|h| h.value.as_text()).collect();
        assert_eq!(values, [Some("***"), Some("***"), Some("e")]);
        let without = masking.without(&message);
        assert_eq!(without.headers, message.headers[2..]);
    }
}
