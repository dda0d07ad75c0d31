//! JSON as it is written: where each value stands in the text, so that a part of it can be marked or
//! replaced while every other byte stays.

use std::ops::Range;

use serde::de::IgnoredAny;

/// As deep as serde reads JSON into values.
const DEEPEST: usize = 127;

/// A value with its place in the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonNode {
    pub span: Range<usize>,
    pub kind: JsonKind,
}

/// What a value is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JsonKind {
    /// A string, a number, `true`, `false` or `null`.
    Scalar,
    Array(Vec<JsonNode>),
    /// In the order of the text; names may repeat.
    Object(Vec<JsonMember>),
}

/// A name and a value of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonMember {
    /// Without quotes and escapes.
    pub name: String,
    /// With the quotes.
    pub name_span: Range<usize>,
    pub value: JsonNode,
}

/// One step from a value into one of its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JsonStep {
    Name(String),
    Index(usize),
}

impl JsonNode {
    /// The value that the whole text is, or why it is no JSON, or too deep to be read.
    pub fn parse(text: &str) -> Result<Self, String> {
        serde_json::from_str::<IgnoredAny>(text).map_err(|error| error.to_string())?;
        let mut reader = Reader {
            text,
            at: 0,
            depth: 0,
        };
        reader.skip_whitespace();
        reader.value()
    }

    /// The part that the steps lead to. Of a name that repeats the last counts, as for most readers.
    pub fn at(&self, steps: &[JsonStep]) -> Option<&Self> {
        let Some((step, rest)) = steps.split_first() else {
            return Some(self);
        };
        let part = match (step, &self.kind) {
            (JsonStep::Index(index), JsonKind::Array(items)) => items.get(*index),
            (JsonStep::Name(name), JsonKind::Object(members)) => members
                .iter()
                .rev()
                .find(|member| member.name == *name)
                .map(|member| &member.value),
            _ => None,
        };
        part?.at(rest)
    }
}

/// Reads what serde found to be well-formed.
struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl Reader<'_> {
    fn value(&mut self) -> Result<JsonNode, String> {
        if self.depth > DEEPEST {
            return Err(format!("it is nested deeper than {DEEPEST}"));
        }
        self.depth += 1;
        let start = self.at;
        let kind = match self.byte() {
            b'{' => self.object()?,
            b'[' => self.array()?,
            b'"' => {
                self.skip_string();
                JsonKind::Scalar
            }
            _ => {
                let rest = &self.text.as_bytes()[self.at..];
                let is_end = |byte: &u8| matches!(byte, b',' | b']' | b'}') || is_white(*byte);
                self.at += rest.iter().position(is_end).unwrap_or(rest.len());
                JsonKind::Scalar
            }
        };
        self.depth -= 1;
        Ok(JsonNode {
            span: start..self.at,
            kind,
        })
    }

    fn array(&mut self) -> Result<JsonKind, String> {
        let mut items = Vec::new();
        self.open();
        while self.byte() != b']' {
            items.push(self.value()?);
            self.next_part();
        }
        self.at += 1;
        Ok(JsonKind::Array(items))
    }

    fn object(&mut self) -> Result<JsonKind, String> {
        let mut members = Vec::new();
        self.open();
        while self.byte() != b'}' {
            let start = self.at;
            self.skip_string();
            let name_span = start..self.at;
            let name = serde_json::from_str(&self.text[name_span.clone()])
                .map_err(|error| format!("a name at byte {start} cannot be read: {error}"))?;
            self.skip_whitespace();
            // The colon.
            self.open();
            members.push(JsonMember {
                name,
                name_span,
                value: self.value()?,
            });
            self.next_part();
        }
        self.at += 1;
        Ok(JsonKind::Object(members))
    }

    /// 0 at the end, which well-formed text never meets inside a value.
    fn byte(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or(0)
    }

    /// Past one character of punctuation and what is white after it.
    fn open(&mut self) {
        self.at += 1;
        self.skip_whitespace();
    }

    /// To the next part of an array or object, or to its end.
    fn next_part(&mut self) {
        self.skip_whitespace();
        if self.byte() == b',' {
            self.open();
        }
    }

    fn skip_whitespace(&mut self) {
        while is_white(self.byte()) {
            self.at += 1;
        }
    }

    fn skip_string(&mut self) {
        self.at += 1;
        while !matches!(self.byte(), b'"' | 0) {
            self.at += if self.byte() == b'\\' { 2 } else { 1 };
        }
        self.at += 1;
    }
}

const fn is_white(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found<'a>(text: &'a str, steps: &[JsonStep]) -> Option<&'a str> {
        let root = JsonNode::parse(text).unwrap();
        root.at(steps).map(|node| &text[node.span.clone()])
    }

    fn name(name: &str) -> JsonStep {
        JsonStep::Name(name.to_owned())
    }

    #[test]
    fn each_value_is_found_where_it_is_written() {
        let text = r#" { "a" : [ 1.0 , { "b\u0022" : "x\"]" } , [] ] , "a2":null, "" :-0e5 } "#;
        let check = |steps: &[JsonStep], expected: Option<&str>| {
            assert_eq!(found(text, steps), expected, "{steps:?}");
        };
        check(&[], Some(text.trim()));
        check(&[name("a"), JsonStep::Index(0)], Some("1.0"));
        let nested = [name("a"), JsonStep::Index(1), name("b\"")];
        check(&nested, Some(r#""x\"]""#));
        check(&[name("a"), JsonStep::Index(2)], Some("[]"));
        check(&[name("a2")], Some("null"));
        check(&[name("")], Some("-0e5"));
        check(&[name("a"), JsonStep::Index(3)], None);
        check(&[JsonStep::Index(0)], None);
        assert_eq!(found("7", &[]), Some("7"));
    }

    #[test]
    fn of_a_repeated_name_the_last_counts() {
        assert_eq!(found(r#"{"a":1,"a":2}"#, &[name("a")]), Some("2"));
    }

    #[test]
    fn what_is_no_json_is_said() {
        for text in ["", "{", "[1,]", "{\"a\":1}x", "nul"] {
            assert!(JsonNode::parse(text).is_err(), "{text}");
        }
        let deep = "[".repeat(200) + &"]".repeat(200);
        assert!(JsonNode::parse(&deep).is_err());
        // A name of half a surrogate pair is written well and means nothing.
        assert!(JsonNode::parse(r#"{"\ud800":1}"#).is_err());
    }
}
