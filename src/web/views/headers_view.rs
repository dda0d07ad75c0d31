//! Headers as rows: the name, the type, the value, and what it is for.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::dialects::{HeaderMeanings, headers_stripped_on_replay};
use crate::domain::{AmqpProperties, AmqpValue, HeaderValue, Message, System};
use crate::web::markup;

/// One header.
pub(super) struct HeaderRow {
    pub(super) name: String,
    pub(super) kind: &'static str,
    pub(super) value: String,
    /// The number that the bytes of the value stand for; empty if they are no number or its digits.
    pub(super) number: String,
    /// Who wrote it and what it means; empty if no dialect knows it.
    pub(super) meaning: String,
    /// What a replay does with it.
    pub(super) note: String,
}

/// A longer value is cut on the page.
const VALUE_CHARACTERS: usize = 4_000;

/// More headers are not shown.
const ROWS: usize = 500;

pub(super) fn header_rows(system: System, message: &Message) -> Vec<HeaderRow> {
    let stripped = headers_stripped_on_replay(system, message);
    let meanings = HeaderMeanings::on(system, message);
    let row = |(index, header): (usize, &crate::domain::Header)| {
        let reason = stripped.iter().find(|stripped| stripped.index == index);
        HeaderRow {
            name: header.name_lossy(),
            kind: kind(&header.value),
            value: markup::cut_end(&value_text(&header.value), VALUE_CHARACTERS),
            number: meanings
                .number(header)
                .map(|number| number.to_string())
                .filter(|digits| header.value.as_text() != Some(digits))
                .unwrap_or_default(),
            meaning: meanings
                .of(&header.name)
                .map(|(dialect, meaning)| format!("{dialect}: {meaning}"))
                .unwrap_or_default(),
            note: match reason {
                None => "sent along".to_owned(),
                Some(stripped) if stripped.instead.is_some() => stripped.reason.to_owned(),
                Some(stripped) => format!("left out: {}", stripped.reason),
            },
        }
    };
    message
        .headers
        .iter()
        .enumerate()
        .take(ROWS)
        .map(row)
        .collect()
}

/// The AMQP properties that are set.
pub(super) fn property_rows(message: &Message) -> Vec<HeaderRow> {
    let Some(properties) = message.properties.as_deref() else {
        return Vec::new();
    };
    let set = properties_of(properties).into_iter();
    let row = |(name, value): (&str, Option<String>)| {
        Some(HeaderRow {
            name: name.to_owned(),
            kind: "property",
            value: value?,
            number: String::new(),
            meaning: String::new(),
            note: String::new(),
        })
    };
    set.filter_map(row).collect()
}

fn properties_of(properties: &AmqpProperties) -> [(&'static str, Option<String>); 15] {
    let p = properties;
    [
        ("exchange", Some(p.exchange.clone())),
        ("routing-key", Some(p.routing_key.clone())),
        ("content-type", p.content_type.clone()),
        ("content-encoding", p.content_encoding.clone()),
        (
            "delivery-mode",
            p.delivery_mode.map(|mode| mode.to_string()),
        ),
        ("priority", p.priority.map(|priority| priority.to_string())),
        ("correlation-id", p.correlation_id.clone()),
        ("reply-to", p.reply_to.clone()),
        ("expiration", p.expiration.clone()),
        ("message-id", p.message_id.clone()),
        ("timestamp", p.timestamp.map(|seconds| seconds.to_string())),
        ("type", p.kind.clone()),
        ("user-id", p.user_id.clone()),
        ("app-id", p.app_id.clone()),
        ("cluster-id", p.cluster_id.clone()),
    ]
}

/// The type in the broker's own words.
pub(super) const fn kind(value: &HeaderValue) -> &'static str {
    match value {
        HeaderValue::Null => "null",
        HeaderValue::Bytes(_) => "bytes",
        HeaderValue::Amqp(value) => match value {
            AmqpValue::Boolean(_) => "boolean",
            AmqpValue::I8(_) => "int8",
            AmqpValue::U8(_) => "uint8",
            AmqpValue::I16(_) => "int16",
            AmqpValue::U16(_) => "uint16",
            AmqpValue::I32(_) => "int32",
            AmqpValue::U32(_) => "uint32",
            AmqpValue::I64(_) => "int64",
            AmqpValue::F32(_) => "float",
            AmqpValue::F64(_) => "double",
            AmqpValue::Decimal { .. } => "decimal",
            AmqpValue::ShortString(_) => "short string",
            AmqpValue::LongString(_) => "long string",
            AmqpValue::Array(_) => "array",
            AmqpValue::Timestamp(_) => "timestamp",
            AmqpValue::Table(_) => "table",
            AmqpValue::ByteArray(_) => "byte array",
            AmqpValue::Void => "void",
        },
    }
}

/// The value for people; what is no text is base64.
pub(super) fn value_text(value: &HeaderValue) -> String {
    match value {
        HeaderValue::Null => "null".to_owned(),
        HeaderValue::Bytes(bytes) => bytes_text(bytes),
        HeaderValue::Amqp(value) => amqp_text(value),
    }
}

pub(super) fn bytes_text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => format!("base64:{}", STANDARD.encode(bytes)),
    }
}

/// Nested values as indented lines.
fn amqp_text(value: &AmqpValue) -> String {
    match value {
        AmqpValue::Array(values) => {
            let items: Vec<_> = values
                .iter()
                .map(|value| indented("- ", &amqp_text(value)))
                .collect();
            items.join("\n")
        }
        AmqpValue::Table(fields) => {
            let lines: Vec<_> = fields
                .iter()
                .map(|(name, value)| field_text(name, value))
                .collect();
            lines.join("\n")
        }
        scalar => scalar_text(scalar),
    }
}

fn field_text(name: &str, value: &AmqpValue) -> String {
    match value {
        AmqpValue::Array(_) | AmqpValue::Table(_) => {
            format!("{name}:\n{}", indented("  ", &amqp_text(value)))
        }
        scalar => format!("{name}: {}", scalar_text(scalar)),
    }
}

fn scalar_text(value: &AmqpValue) -> String {
    match value {
        AmqpValue::LongString(bytes) | AmqpValue::ByteArray(bytes) => bytes_text(bytes),
        AmqpValue::Void => "void".to_owned(),
        other => other.scalar_text().unwrap_or_default(),
    }
}

/// The first line after `mark`, the others under it.
fn indented(mark: &str, text: &str) -> String {
    let margin = " ".repeat(mark.len());
    let lines: Vec<_> = text.lines().collect();
    format!("{mark}{}", lines.join(&format!("\n{margin}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_spring_writes_as_bytes_are_shown_beside_them() {
        let check = |name: &str, bytes: &[u8], expected: &str| {
            let value = HeaderValue::Bytes(bytes.to_vec().into());
            let message = Message {
                headers: vec![crate::domain::Header {
                    name: name.to_owned().into(),
                    value,
                }],
                ..Message::default()
            };
            let rows = header_rows(System::Kafka, &message);
            assert_eq!(rows[0].number, expected, "{name}");
        };
        check("kafka_dlt-original-offset", &4711_i64.to_be_bytes(), "4711");
        check("kafka_original-partition", &7_i32.to_be_bytes(), "7");
        check("retry_topic-attempts", &[4], "4");
        let at = [0x01, 0x8b, 0xcf, 0xe5, 0x68, 0x7b];
        check("retry_topic-backoff-timestamp", &at, "1700000000123");
        check("kafka_dlt-original-offset", b"4711", "");
        check("kafka_dlt-original-topic", &7_i32.to_be_bytes(), "");
    }

    #[test]
    fn a_nested_table_reads_line_by_line() {
        let death = AmqpValue::Table(vec![
            ("queue".to_owned(), AmqpValue::long_string("orders.queue")),
            ("count".to_owned(), AmqpValue::I64(2)),
            (
                "keys".to_owned(),
                AmqpValue::Array(vec![AmqpValue::long_string("a")]),
            ),
        ]);
        let text = value_text(&HeaderValue::Amqp(AmqpValue::Array(vec![death])));
        assert_eq!(text, "- queue: orders.queue\n  count: 2\n  keys:\n    - a");
    }
}
