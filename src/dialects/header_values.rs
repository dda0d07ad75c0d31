//! Reads single header values, which may have any type, any length and any bytes.
//!
//! What cannot be what it claims to be is `None`; nothing here guesses, panics or grows beyond the
//! limits below.

use crate::domain::{AmqpValue, ExchangeName, HeaderValue, Offset, Partition, Timestamp};

/// Topics hold at most 249 bytes and AMQP names at most 255, so a longer one names nothing.
const LONGEST_NAME: usize = 255;
const LONGEST_CLASS: usize = 512;
const LONGEST_MESSAGE: usize = 4 * 1024;
const LONGEST_STACK_TRACE: usize = 64 * 1024;
/// The last millisecond of the year 9999; a later time is a wrong unit or an attack on sorting.
const LATEST_MILLISECOND: i64 = 253_402_300_799_999;

/// The name of a topic, queue or group. A cut name would be the name of something else, so a name
/// that is too long is none.
pub(super) fn name(value: &HeaderValue) -> Option<String> {
    let text = value.as_text()?.trim();
    (!text.is_empty() && text.len() <= LONGEST_NAME).then(|| text.to_owned())
}

/// As [`name`], of a field inside a table.
pub(super) fn amqp_name(value: &AmqpValue) -> Option<String> {
    let text = value.as_text()?;
    (!text.is_empty() && text.len() <= LONGEST_NAME).then(|| text.to_owned())
}

/// The name of an exchange, of which the empty one is the default exchange.
pub(super) fn amqp_exchange(value: &AmqpValue) -> Option<ExchangeName> {
    let text = value.as_text()?;
    (text.len() <= LONGEST_NAME).then(|| ExchangeName::from(text))
}

/// The name of an exception class.
pub(super) fn class(value: &HeaderValue) -> Option<String> {
    readable(value, LONGEST_CLASS).map(|text| text.trim().to_owned())
}

/// An error message, cut at its end.
pub(super) fn message(value: &HeaderValue) -> Option<String> {
    readable(value, LONGEST_MESSAGE)
}

/// A stack trace, cut in its middle: the cause stands last in some languages and first in others.
pub(super) fn stack_trace(value: &HeaderValue) -> Option<String> {
    let bytes = bytes(value)?;
    if bytes.len() <= LONGEST_STACK_TRACE {
        return readable(value, LONGEST_STACK_TRACE);
    }
    let (head, _) = bytes.split_at(LONGEST_STACK_TRACE / 2);
    let (_, tail) = bytes.split_at(bytes.len() - LONGEST_STACK_TRACE / 2);
    let left_out = bytes.len() - head.len() - tail.len();
    Some(format!(
        "{}\n… {left_out} bytes left out …\n{}",
        String::from_utf8_lossy(head),
        String::from_utf8_lossy(tail)
    ))
}

/// An error message that was taken from a longer text.
pub(super) fn cut_message(text: &str) -> String {
    cut(text, LONGEST_MESSAGE)
}

/// At most `limit` bytes of text, at a character's end, with a mark if something is missing.
pub(super) fn cut(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(limit);
    format!("{}…", &text[..end])
}

/// An integer as decimal text, or of any AMQP type: client libraries change types when they copy.
pub(super) fn decimal(value: &HeaderValue) -> Option<i64> {
    match value {
        HeaderValue::Amqp(value) => amqp_integer(value),
        _ => value.as_text()?.trim().parse().ok(),
    }
}

/// A Java `int` or `long` as big-endian bytes. Other writers use decimal text, and eight digits read
/// as a `long` would exceed 3 × 10^18, which is no offset and no time: so digits are text.
pub(super) fn fixed_width(value: &HeaderValue) -> Option<i64> {
    let HeaderValue::Bytes(bytes) = value else {
        return decimal(value);
    };
    if bytes.iter().all(u8::is_ascii_digit) {
        return decimal(value);
    }
    match bytes.len() {
        4 => Some(i32::from_be_bytes(bytes.as_ref().try_into().ok()?).into()),
        8 => Some(i64::from_be_bytes(bytes.as_ref().try_into().ok()?)),
        _ => None,
    }
}

/// An integer of any AMQP type, also as a float or as decimal text.
pub(super) fn amqp_integer(value: &AmqpValue) -> Option<i64> {
    match value {
        AmqpValue::F32(bits) => whole(f64::from(f32::from_bits(*bits))),
        AmqpValue::F64(bits) => whole(f64::from_bits(*bits)),
        AmqpValue::ShortString(_) | AmqpValue::LongString(_) => {
            value.as_text()?.trim().parse().ok()
        }
        AmqpValue::Timestamp(seconds) => i64::try_from(*seconds).ok(),
        _ => value.as_integer(),
    }
}

fn whole(number: f64) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a whole number below 2^53 is exact as i64"
    )]
    (number.fract() == 0.0 && number.abs() < EXACT).then_some(number as i64)
}

pub(super) fn partition(number: i64) -> Option<Partition> {
    let number = i32::try_from(number).ok()?;
    (number >= 0).then_some(Partition(number))
}

pub(super) fn offset(number: i64) -> Option<Offset> {
    (number >= 0).then_some(Offset(number))
}

/// A count of attempts; a negative one is none.
pub(super) fn count(number: i64) -> Option<u64> {
    u64::try_from(number).ok()
}

/// A time in milliseconds. Kafka writes −1 for none.
pub(super) fn milliseconds(number: i64) -> Option<Timestamp> {
    (0..=LATEST_MILLISECOND)
        .contains(&number)
        .then_some(Timestamp(number))
}

/// A time in seconds.
pub(super) fn seconds(number: i64) -> Option<Timestamp> {
    milliseconds(number.checked_mul(1_000)?)
}

/// A time in RFC 3339.
pub(super) fn rfc3339(value: &HeaderValue) -> Option<Timestamp> {
    let text = value.as_text().filter(|text| text.len() <= LONGEST_NAME)?;
    milliseconds(Timestamp::parse_rfc3339(text)?.as_millis())
}

/// What the writer said in its own words, such as a reason or a stage; cut at its end.
pub(super) fn words(value: &HeaderValue) -> Option<String> {
    readable(value, LONGEST_CLASS).map(|text| text.trim().to_owned())
}

/// The queue or topic at the end of an address such as `rabbitmq://host/vhost/orders?durable=true`.
pub(super) fn end_of_address(value: &HeaderValue) -> Option<String> {
    let address = value.as_text()?.trim();
    let path = address.split(['?', '#']).next()?.trim_end_matches('/');
    let last = path.rsplit('/').next()?;
    (!last.is_empty() && last.len() <= LONGEST_NAME).then(|| last.to_owned())
}

/// Text of at most `limit` bytes with what is not UTF-8 replaced; `None` if nothing can be read.
fn readable(value: &HeaderValue, limit: usize) -> Option<String> {
    let bytes = bytes(value)?;
    let within = bytes.get(..limit + 1).unwrap_or(bytes);
    let text = cut(&String::from_utf8_lossy(within), limit);
    (!text.trim().is_empty()).then_some(text)
}

fn bytes(value: &HeaderValue) -> Option<&[u8]> {
    match value {
        HeaderValue::Amqp(AmqpValue::ShortString(text)) => Some(text.as_bytes()),
        _ => value.as_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kafka(bytes: &[u8]) -> HeaderValue {
        HeaderValue::Bytes(bytes.to_vec().into())
    }

    #[test]
    fn integers_are_read_in_every_encoding_that_writers_use() {
        let cases: &[(&[u8], Option<i64>, Option<i64>)] = &[
            // bytes, as fixed width, as decimal text
            (&[0, 0, 0, 7], Some(7), None),
            (&[0xff, 0xff, 0xff, 0xff], Some(-1), None),
            (&[0, 0, 0, 0, 0, 0, 1, 0], Some(256), None),
            (b"7", Some(7), Some(7)),
            (b"1234", Some(1234), Some(1234)),
            (b"12345678", Some(12_345_678), Some(12_345_678)),
            (b"-123", Some(0x2d31_3233), Some(-123)),
            (b"12 ", None, Some(12)),
            (b"", None, None),
            (&[0, 1], None, None),
            (b"99999999999999999999", None, None),
            (b"\xff", None, None),
        ];
        for (bytes, wide, text) in cases {
            assert_eq!(fixed_width(&kafka(bytes)), *wide, "{bytes:?}");
            assert_eq!(decimal(&kafka(bytes)), *text, "{bytes:?}");
        }
        assert_eq!(fixed_width(&HeaderValue::Null), None);
    }

    #[test]
    fn an_amqp_count_keeps_its_value_in_every_type() {
        let cases = [
            (AmqpValue::I64(3), Some(3)),
            (AmqpValue::U8(3), Some(3)),
            (AmqpValue::F64(3.0_f64.to_bits()), Some(3)),
            (AmqpValue::F32(3.0_f32.to_bits()), Some(3)),
            (AmqpValue::F64(3.5_f64.to_bits()), None),
            (AmqpValue::F64(f64::NAN.to_bits()), None),
            (AmqpValue::F64(f64::INFINITY.to_bits()), None),
            (AmqpValue::long_string("3"), Some(3)),
            (AmqpValue::long_string("three"), None),
            (AmqpValue::Timestamp(u64::MAX), None),
            (AmqpValue::Void, None),
        ];
        for (value, expected) in cases {
            assert_eq!(amqp_integer(&value), expected, "{value:?}");
        }
    }

    #[test]
    fn numbers_that_cannot_be_what_they_claim_are_none() {
        assert_eq!(partition(-1), None);
        assert_eq!(partition(i64::from(i32::MAX) + 1), None);
        assert_eq!(offset(-1), None);
        assert_eq!(count(-1), None);
        assert_eq!(milliseconds(-1), None);
        assert_eq!(milliseconds(i64::MAX), None);
        assert_eq!(seconds(i64::MAX), None);
        assert_eq!(seconds(1), Some(Timestamp(1_000)));
        assert_eq!(rfc3339(&kafka(b"yesterday")), None);
        assert_eq!(
            rfc3339(&kafka(b"1970-01-01T00:00:01Z")),
            Some(Timestamp(1_000))
        );
    }

    #[test]
    fn text_is_cut_and_never_refused_for_its_bytes() {
        assert_eq!(name(&kafka(b" orders ")), Some("orders".to_owned()));
        assert_eq!(name(&kafka(b"")), None);
        assert_eq!(name(&kafka(&[b'a'; 256])), None);
        assert_eq!(message(&kafka(b"caf\xe9")), Some("caf\u{fffd}".to_owned()));
        assert_eq!(message(&kafka(b" ")), None);
        let long = message(&kafka("ü".repeat(3_000).as_bytes())).unwrap();
        assert!(long.len() <= LONGEST_MESSAGE + '…'.len_utf8() && long.ends_with("ü…"));
        let stack = format!("head{}tail", "\n".repeat(100_000));
        let stack = stack_trace(&kafka(stack.as_bytes())).unwrap();
        assert!(stack.starts_with("head") && stack.ends_with("tail"));
        assert!(stack.contains("34472 bytes left out"), "{}", stack.len());
    }
}
