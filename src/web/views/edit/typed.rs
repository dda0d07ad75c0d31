//! Header values as text with the name of their type, and back. Every type that a broker knows can be
//! chosen; a value that was not touched never comes through here.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::hex;
use crate::domain::{AmqpValue, HeaderValue, System, Timestamp};

/// Kinds of values in Kafka's headers, which are bytes or null.
const KAFKA: [&str; 4] = ["text", "hex", "base64", "null"];

/// Kinds of values in AMQP's headers. RabbitMQ refuses short strings in a table, so none is offered.
const AMQP: [&str; 20] = [
    "long string",
    "long string, hex",
    "long string, base64",
    "byte array, hex",
    "byte array, base64",
    "boolean",
    "int8",
    "uint8",
    "int16",
    "uint16",
    "int32",
    "uint32",
    "int64",
    "float",
    "double",
    "decimal",
    "timestamp",
    "void",
    "array",
    "table",
];

/// Kinds that a person may choose for a header.
pub(crate) const fn kinds(system: System) -> &'static [&'static str] {
    match system {
        System::Kafka => &KAFKA,
        System::RabbitMq => &AMQP,
    }
}

/// The kind of a value and its text, which a browser's form gives back as it was.
pub(crate) fn text_of(value: &HeaderValue) -> (&'static str, String) {
    match value {
        HeaderValue::Null => ("null", String::new()),
        HeaderValue::Bytes(bytes) => either(bytes, "text", "base64"),
        HeaderValue::Amqp(value) => amqp_text(value),
    }
}

fn either(bytes: &[u8], text: &'static str, base64: &'static str) -> (&'static str, String) {
    match std::str::from_utf8(bytes) {
        Ok(plain) if is_plain(plain) => (text, plain.to_owned()),
        _ => (base64, STANDARD.encode(bytes)),
    }
}

/// Text that a form gives back as it was. Browsers drop or change other control characters.
pub(super) fn is_plain(text: &str) -> bool {
    text.chars()
        .all(|c| !c.is_control() || c == '\n' || c == '\t')
}

fn amqp_text(value: &AmqpValue) -> (&'static str, String) {
    match value {
        AmqpValue::Boolean(flag) => ("boolean", flag.to_string()),
        AmqpValue::I8(number) => ("int8", number.to_string()),
        AmqpValue::U8(number) => ("uint8", number.to_string()),
        AmqpValue::I16(number) => ("int16", number.to_string()),
        AmqpValue::U16(number) => ("uint16", number.to_string()),
        AmqpValue::I32(number) => ("int32", number.to_string()),
        AmqpValue::U32(number) => ("uint32", number.to_string()),
        AmqpValue::I64(number) => ("int64", number.to_string()),
        AmqpValue::F32(bits) => ("float", f32::from_bits(*bits).to_string()),
        AmqpValue::F64(bits) => ("double", f64::from_bits(*bits).to_string()),
        AmqpValue::Decimal { scale, value } => ("decimal", format!("{value}e-{scale}")),
        AmqpValue::ShortString(text) => ("short string", text.clone()),
        AmqpValue::LongString(bytes) => either(bytes, "long string", "long string, base64"),
        AmqpValue::ByteArray(bytes) => ("byte array, base64", STANDARD.encode(bytes)),
        AmqpValue::Timestamp(seconds) => ("timestamp", seconds.to_string()),
        AmqpValue::Void => ("void", String::new()),
        AmqpValue::Array(_) => ("array", json(value)),
        AmqpValue::Table(_) => ("table", json(value)),
    }
}

/// Nested values are written as the API writes them.
fn json(value: &AmqpValue) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

/// The value that a kind and a text mean. The error continues "header NAME: ".
pub(crate) fn value_of(kind: &str, text: &str) -> Result<HeaderValue, String> {
    let value = match kind {
        "text" => HeaderValue::Bytes(Bytes::from(text.to_owned())),
        "hex" => HeaderValue::Bytes(hex::parse(text)?),
        "base64" => HeaderValue::Bytes(base64(text)?),
        "null" => HeaderValue::Null,
        _ => HeaderValue::Amqp(amqp_value(kind, text)?),
    };
    Ok(value)
}

fn amqp_value(kind: &str, text: &str) -> Result<AmqpValue, String> {
    let trimmed = text.trim();
    Ok(match kind {
        "long string" => AmqpValue::long_string(text),
        "long string, hex" => AmqpValue::LongString(hex::parse(text)?),
        "long string, base64" => AmqpValue::LongString(base64(text)?),
        "short string" => AmqpValue::ShortString(text.to_owned()),
        "byte array, hex" => AmqpValue::ByteArray(hex::parse(text)?),
        "byte array, base64" => AmqpValue::ByteArray(base64(text)?),
        "boolean" => AmqpValue::Boolean(number(trimmed, "true or false")?),
        "int8" => AmqpValue::I8(number(trimmed, "a whole number from -128 to 127")?),
        "uint8" => AmqpValue::U8(number(trimmed, "a whole number from 0 to 255")?),
        "int16" => AmqpValue::I16(number(trimmed, "a whole number of 16 bits")?),
        "uint16" => AmqpValue::U16(number(trimmed, "a whole number from 0 to 65535")?),
        "int32" => AmqpValue::I32(number(trimmed, "a whole number of 32 bits")?),
        "uint32" => AmqpValue::U32(number(trimmed, "a whole number from 0 to 4294967295")?),
        "int64" => AmqpValue::I64(number(trimmed, "a whole number of 64 bits")?),
        "float" => AmqpValue::F32(number::<f32>(trimmed, "a number")?.to_bits()),
        "double" => AmqpValue::F64(number::<f64>(trimmed, "a number")?.to_bits()),
        "decimal" => decimal(trimmed)?,
        "timestamp" => AmqpValue::Timestamp(seconds(trimmed)?),
        "void" => AmqpValue::Void,
        "array" | "table" => nested(kind, text)?,
        other => {
            return Err(format!(
                "there is no type {other:?}; choose one of the list"
            ));
        }
    })
}

fn number<N: std::str::FromStr>(text: &str, what: &str) -> Result<N, String> {
    text.parse().map_err(|_| format!("{text:?} is not {what}"))
}

pub(super) fn base64(text: &str) -> Result<Bytes, String> {
    let compact: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    STANDARD
        .decode(compact)
        .map(Bytes::from)
        .map_err(|error| format!("not base64: {error}"))
}

fn decimal(text: &str) -> Result<AmqpValue, String> {
    let parsed = text
        .split_once("e-")
        .and_then(|(value, scale)| Some((value.parse().ok()?, scale.parse().ok()?)));
    let (value, scale) =
        parsed.ok_or_else(|| format!("{text:?} is not a decimal; write 3.14 as 314e-2"))?;
    Ok(AmqpValue::Decimal { scale, value })
}

/// Seconds since the epoch, or RFC 3339.
pub(super) fn seconds(text: &str) -> Result<u64, String> {
    let of_calendar = || {
        let millis = Timestamp::parse_rfc3339(text)?.as_millis();
        u64::try_from(millis / 1000).ok()
    };
    text.parse().ok().or_else(of_calendar).ok_or_else(|| {
        format!("{text:?} is no time; write seconds since 1970 or 2026-11-25T09:30:00Z")
    })
}

fn nested(kind: &str, text: &str) -> Result<AmqpValue, String> {
    let value: AmqpValue = serde_json::from_str(text).map_err(|error| {
        format!(
            "not a typed {kind} in JSON, such as {}: {error}",
            example(kind)
        )
    })?;
    match (kind, &value) {
        ("array", AmqpValue::Array(_)) | ("table", AmqpValue::Table(_)) => Ok(value),
        _ => Err(format!("the JSON is not of type {kind}")),
    }
}

fn example(kind: &str) -> &'static str {
    if kind == "array" {
        r#"{"type":"array","value":[{"type":"i32","value":1}]}"#
    } else {
        r#"{"type":"table","value":[["name",{"type":"long_string","value":"text"}]]}"#
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_written_as_text_and_read_back() {
        let amqp = [
            AmqpValue::Boolean(true),
            AmqpValue::I8(-1),
            AmqpValue::U8(200),
            AmqpValue::I16(-300),
            AmqpValue::U16(40_000),
            AmqpValue::I32(-70_000),
            AmqpValue::U32(3_000_000_000),
            AmqpValue::I64(i64::MIN),
            AmqpValue::F32(1.1_f32.to_bits()),
            AmqpValue::F64((-0.0_f64).to_bits()),
            AmqpValue::Decimal {
                scale: 2,
                value: 314,
            },
            AmqpValue::ShortString("s".to_owned()),
            AmqpValue::long_string("a\nb"),
            AmqpValue::LongString(Bytes::from_static(b"\xff\r")),
            AmqpValue::Timestamp(7),
            AmqpValue::ByteArray(Bytes::from_static(b"\x01")),
            AmqpValue::Void,
            AmqpValue::Array(vec![AmqpValue::F32(1)]),
            AmqpValue::Table(vec![("n".to_owned(), AmqpValue::Void)]),
        ];
        let kafka = [
            HeaderValue::Null,
            HeaderValue::Bytes(Bytes::new()),
            HeaderValue::Bytes(Bytes::from_static(b"\x00")),
        ];
        for value in amqp.map(HeaderValue::Amqp).into_iter().chain(kafka) {
            let (kind, text) = text_of(&value);
            assert_eq!(value_of(kind, &text).unwrap(), value, "{kind}");
        }
    }

    #[test]
    fn every_type_on_offer_can_be_read() {
        let sample = |kind: &str| match kind {
            "boolean" => "true".to_owned(),
            "array" | "table" => example(kind).to_owned(),
            "decimal" => "1e-0".to_owned(),
            kind if kind.contains("string") || kind.contains("array") => "00ff".to_owned(),
            _ => "1".to_owned(),
        };
        for kind in AMQP.into_iter().chain(["text", "null"]) {
            assert!(value_of(kind, &sample(kind)).is_ok(), "{kind}");
        }
    }

    #[test]
    fn a_mistake_says_what_would_be_right() {
        let check = |kind: &str, text: &str, expected: &str| {
            let error = value_of(kind, text).unwrap_err();
            assert!(error.contains(expected), "{kind} {text}: {error}");
        };
        check(
            "int8",
            "200",
            "\"200\" is not a whole number from -128 to 127",
        );
        check("boolean", "yes", "true or false");
        check("decimal", "3.14", "314e-2");
        check("timestamp", "today", "2026-11-25T09:30:00Z");
        check("base64", "?", "not base64");
        check("table", "{}", "[[\"name\"");
        check("table", r#"{"type":"void"}"#, "not of type table");
        check("colour", "red", "there is no type");
    }
}
