//! Spring Kafka's retry topics (`@RetryableTopic`). The names are those of the recoverer without
//! `dlt-`, except the consumer group's; the `original` headers are not appended and name the main topic.

use super::dialect::{Dialect, KnownHeader, Sign};
use super::header_sets::replaced_set;
use super::spring_kafka::{
    ORIGINAL_CONSUMER_GROUP, of_value_or_key, spring_failure, timestamp_type,
};
use super::{Account, header_values as read};
use crate::domain::{AttemptsKind, ConsumerGroup, DeathReason, HeaderValue, Hop, Message, Origin};

const ORIGINAL_TOPIC: &str = "kafka_original-topic";
const ORIGINAL_PARTITION: &str = "kafka_original-partition";
const ORIGINAL_OFFSET: &str = "kafka_original-offset";
const ORIGINAL_TIMESTAMP: &str = "kafka_original-timestamp";
const ORIGINAL_TIMESTAMP_TYPE: &str = "kafka_original-timestamp-type";
const EXCEPTION_CLASS: &str = "kafka_exception-fqcn";
const CAUSE_CLASS: &str = "kafka_exception-cause-fqcn";
const EXCEPTION_MESSAGE: &str = "kafka_exception-message";
const EXCEPTION_STACK_TRACE: &str = "kafka_exception-stacktrace";
const KEY_EXCEPTION_CLASS: &str = "kafka_key-exception-fqcn";
const KEY_EXCEPTION_MESSAGE: &str = "kafka_key-exception-message";
const KEY_EXCEPTION_STACK_TRACE: &str = "kafka_key-exception-stacktrace";
const ATTEMPTS: &str = "retry_topic-attempts";
const FIRST_SEEN: &str = "retry_topic-original-timestamp";
const BACK_OFF: &str = "retry_topic-backoff-timestamp";

pub(super) const DIALECT: Dialect = Dialect {
    name: "spring-retry-topic",
    title: "Spring Kafka retry topics",
    system: None,
    sign: Sign::AnyOf(&[
        "kafka_original-*",
        "kafka_exception-*",
        "kafka_key-exception-*",
        "retry_topic-*",
    ]),
    headers: &HEADERS,
    decode,
};

const HEADERS: [KnownHeader; 20] = [
    KnownHeader::error(ORIGINAL_TOPIC, "main topic from which it was read first"),
    KnownHeader::error(ORIGINAL_PARTITION, "partition of that topic")
        .with_number(read::fixed_width),
    KnownHeader::error(ORIGINAL_OFFSET, "offset in that partition").with_number(read::fixed_width),
    KnownHeader::error(
        ORIGINAL_TIMESTAMP,
        "time of the original record, in milliseconds",
    )
    .with_number(read::fixed_width),
    KnownHeader::error(
        ORIGINAL_TIMESTAMP_TYPE,
        "whether the producer or the broker gave that time",
    ),
    KnownHeader::error(
        ORIGINAL_CONSUMER_GROUP,
        "consumer group of the listener that failed",
    ),
    KnownHeader::error(
        EXCEPTION_CLASS,
        "outermost exception, usually Spring's own wrapper",
    ),
    KnownHeader::error(CAUSE_CLASS, "first exception below Spring's wrappers"),
    KnownHeader::error(EXCEPTION_MESSAGE, "message of the exception"),
    KnownHeader::error(EXCEPTION_STACK_TRACE, "stack trace of the exception"),
    KnownHeader::error(KEY_EXCEPTION_CLASS, "exception while the key was read"),
    KnownHeader::error(KEY_EXCEPTION_MESSAGE, "message of the exception of the key"),
    KnownHeader::error(
        KEY_EXCEPTION_STACK_TRACE,
        "stack trace of the exception of the key",
    ),
    KnownHeader::stripped(
        ATTEMPTS,
        "number of the next attempt",
        "Spring reads it as its counter and would send a replay straight back to the DLT",
    )
    .with_number(attempt_number),
    KnownHeader::error(
        FIRST_SEEN,
        "when the main topic's listener had it first, in milliseconds",
    )
    .with_number(big_integer),
    KnownHeader::error(BACK_OFF, "when the retry is due, in milliseconds").with_number(big_integer),
    KnownHeader::error("retry_topic-*", "written by Spring's retry topics"),
    KnownHeader::error("kafka_original-*", "written by Spring's retry topics"),
    KnownHeader::error("kafka_exception-*", "written by Spring's retry topics"),
    KnownHeader::error(
        "kafka_key-exception-*",
        "exception while the key was read, by Spring's retry topics",
    ),
];

fn decode(_: &str, message: &Message) -> Option<Account> {
    let found = replaced_set(message, &HEADERS);
    let set = found.sets.first()?;
    let integer = |name| set.read(name, read::fixed_width);
    let of_value = [EXCEPTION_CLASS, EXCEPTION_MESSAGE, EXCEPTION_STACK_TRACE];
    let of_key = [
        KEY_EXCEPTION_CLASS,
        KEY_EXCEPTION_MESSAGE,
        KEY_EXCEPTION_STACK_TRACE,
    ];
    let first_seen = || {
        set.read(FIRST_SEEN, big_integer)
            .and_then(read::milliseconds)
    };
    let hop = Hop {
        dialect: DIALECT.name.to_owned(),
        origin: Origin {
            destination: set.read(ORIGINAL_TOPIC, read::name),
            partition: integer(ORIGINAL_PARTITION).and_then(read::partition),
            offset: integer(ORIGINAL_OFFSET).and_then(read::offset),
            timestamp: integer(ORIGINAL_TIMESTAMP)
                .and_then(read::milliseconds)
                .or_else(first_seen),
            timestamp_type: set.read(ORIGINAL_TIMESTAMP_TYPE, timestamp_type),
            consumer: set
                .read(ORIGINAL_CONSUMER_GROUP, read::name)
                .map(ConsumerGroup::from),
            ..Origin::default()
        },
        failure: spring_failure(set, of_value_or_key(set, of_value, of_key), CAUSE_CLASS),
        reason: DeathReason::Exception,
        // It counts the attempt to come, which the DLT does not bring.
        attempts: set
            .read(ATTEMPTS, attempt_number)
            .and_then(|next| read::count(next - 1))
            .map(|count| (count, AttemptsKind::Deliveries)),
        ..Hop::default()
    };
    Account::of_hops(vec![hop], found.rank)
}

/// Four bytes since 2.8, one unsigned byte before.
fn attempt_number(value: &HeaderValue) -> Option<i64> {
    match value.as_bytes() {
        Some([byte]) if !byte.is_ascii_digit() => Some(i64::from(*byte)),
        _ => read::fixed_width(value),
    }
}

/// Java's `BigInteger`: big-endian, as short as it goes, with its sign in the first bit.
fn big_integer(value: &HeaderValue) -> Option<i64> {
    let bytes = value.as_bytes()?;
    let (first, rest) = bytes.split_first()?;
    if rest.len() > 7 {
        return None;
    }
    let first = i64::from(first.cast_signed());
    Some(
        rest.iter()
            .fold(first, |number, byte| (number << 8) | i64::from(*byte)),
    )
}

#[cfg(test)]
mod tests {
    use super::super::headers_stripped_on_replay;
    use super::*;
    use crate::domain::{Header, System};

    #[test]
    fn java_big_integers_of_every_length_are_read() {
        let check = |bytes: &[u8], expected| {
            let value = HeaderValue::Bytes(bytes.to_vec().into());
            assert_eq!(big_integer(&value), expected, "{bytes:?}");
        };
        check(&[], None);
        check(&[0], Some(0));
        check(&[0xff], Some(-1));
        check(&[0, 0xff], Some(255));
        check(
            &[0x01, 0x8b, 0xcf, 0xe5, 0x68, 0x7b],
            Some(1_700_000_000_123),
        );
        check(
            &[0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            Some(i64::MAX),
        );
        check(&[0; 9], None);
    }

    #[test]
    fn an_exception_of_the_key_is_told_where_the_value_has_none_and_no_replay_carries_it() {
        let key = [
            Header::text(ORIGINAL_TOPIC, "orders"),
            Header::text(KEY_EXCEPTION_CLASS, "com.acme.KeyError"),
            Header::text(KEY_EXCEPTION_MESSAGE, "no UUID"),
            Header::text(KEY_EXCEPTION_STACK_TRACE, "com.acme.KeyError: no UUID"),
        ];
        let check = |headers: Vec<Header>, expected: (&str, &str)| {
            let message = Message {
                headers,
                ..Message::default()
            };
            let failure = decode("orders-dlt", &message).unwrap().decoded.failure;
            let found = (failure.class.unwrap(), failure.message.unwrap());
            assert_eq!((found.0.as_str(), found.1.as_str()), expected);
            let stripped = headers_stripped_on_replay(System::Kafka, &message);
            assert_eq!(stripped.len(), message.headers.len());
        };
        check(key.to_vec(), ("com.acme.KeyError", "no UUID"));
        let value = [
            Header::text(EXCEPTION_CLASS, "com.acme.ValueError"),
            Header::text(EXCEPTION_MESSAGE, "no JSON"),
        ];
        let both = [key.as_slice(), &value].concat();
        check(both, ("com.acme.ValueError", "no JSON"));
    }

    #[test]
    fn attempts_are_one_byte_or_four() {
        let check = |bytes: &[u8], expected| {
            let value = HeaderValue::Bytes(bytes.to_vec().into());
            assert_eq!(attempt_number(&value), expected, "{bytes:?}");
        };
        check(&[4], Some(4));
        check(&[200], Some(200));
        check(&[0, 0, 0, 4], Some(4));
        check(b"4", Some(4));
        check(&[0, 4], None);
    }
}
