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

    /// Whether fields of payloads are hidden.
    pub const fn has_fields(&self) -> bool {
        self.has_fields
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
        if !may_be_json(&body) {
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
        self.find_hidden(text, (&root, ""), &mut spans);
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
    fn find_hidden(
        &self,
        text: &str,
        (node, path): (&JsonNode, &str),
        found: &mut Vec<Range<usize>>,
    ) {
        match &node.kind {
            // JSON in a string hides its fields from what is looked at here.
            JsonKind::Scalar if is_json_in_text(text, node) => found.push(node.span.clone()),
            JsonKind::Scalar => {}
            JsonKind::Array(elements) => {
                for element in elements {
                    self.find_hidden(text, (element, path), found);
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
                        self.find_hidden(text, (&member.value, &path), found);
                    }
                }
            }
        }
    }
}

/// Whether JSON is in it, behind a byte order mark or the five bytes of a schema registry, or as JSON in a string.
fn may_be_json(body: &[u8]) -> bool {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let body = match body {
        [0, _, _, _, _, framed @ ..] => framed,
        body => body,
    };
    matches!(body.trim_ascii_start().first(), Some(b'{' | b'[' | b'"'))
}

fn is_json_in_text(text: &str, node: &JsonNode) -> bool {
    let inner = text[node.span.clone()].strip_prefix('"');
    inner.is_some_and(|inner| inner.trim_start().starts_with(['{', '[']))
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
        // What cannot be looked into is hidden whole.
        check(&["a"], "\u{feff}{\"a\":1}", "\"***\"", "null");
        check(&["a"], "\0\0\0\0\u{1}{\"a\":1}", "\"***\"", "null");
        check(&["a"], r#""{\"a\":1}""#, "\"***\"", "null");
        let nested = r#"{"b":" {\"a\":1}","c":"[1]","d":"text"}"#;
        let hidden = r#"{"b":"***","c":"***","d":"text"}"#;
        check(&["a"], nested, hidden, &hidden.replace("\"***\"", "null"));
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
