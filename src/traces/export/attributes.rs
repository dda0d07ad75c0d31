use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};

/// A longer text is cut: a backend takes requests of some megabytes, and an exception may say anything.
const LONGEST_TEXT: usize = 1_000;

/// The attributes of a span, a link or a resource. Empty texts are left out.
#[derive(Debug, Default)]
pub(super) struct Attributes(Vec<KeyValue>);

impl Attributes {
    pub(super) fn new() -> Self {
        Self::default()
    }

    pub(super) fn text(self, key: &str, text: &str) -> Self {
        if text.is_empty() {
            return self;
        }
        self.with(key, Value::StringValue(cut(text)))
    }

    pub(super) fn optional(self, key: &str, text: Option<&str>) -> Self {
        self.text(key, text.unwrap_or_default())
    }

    pub(super) fn number(self, key: &str, number: i64) -> Self {
        self.with(key, Value::IntValue(number))
    }

    fn with(mut self, key: &str, value: Value) -> Self {
        self.0.push(KeyValue {
            key: key.to_owned(),
            value: Some(AnyValue { value: Some(value) }),
            ..KeyValue::default()
        });
        self
    }

    pub(super) fn into_list(self) -> Vec<KeyValue> {
        self.0
    }
}

/// At most so many bytes of a text as a span may hold.
pub(super) fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(LONGEST_TEXT)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_two_characters() {
        assert_eq!(cut("short"), "short");
        assert_eq!(cut(&"é".repeat(501)), "é".repeat(500));
        assert_eq!(cut(&format!("a{}", "é".repeat(500))).len(), 999);
    }
}
