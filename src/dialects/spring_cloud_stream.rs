//! Spring Cloud Stream's Kafka binder. Its headers are always appended; the group stands only in the
//! usual name of the DLQ, `error.<destination>.<group>`.

use super::dialect::{Dialect, KnownHeader, Sign};
use super::header_sets::{HeaderSet, appended_sets};
use super::spring_kafka::{spring_failure, timestamp_type};
use super::{Account, header_values as read};
use crate::domain::{DeathReason, Hop, Message, Origin, System};

const TOPIC: &str = "x-original-topic";
const PARTITION: &str = "x-original-partition";
const OFFSET: &str = "x-original-offset";
const TIMESTAMP: &str = "x-original-timestamp";
const TIMESTAMP_TYPE: &str = "x-original-timestamp-type";
const CLASS: &str = "x-exception-fqcn";
const MESSAGE: &str = "x-exception-message";
const STACK_TRACE: &str = "x-exception-stacktrace";

pub(super) const DIALECT: Dialect = Dialect {
    name: "spring-cloud-stream",
    title: "Spring Cloud Stream",
    system: Some(System::Kafka),
    sign: Sign::AnyOf(&["x-exception-*"]),
    headers: &HEADERS,
    decode,
};

const HEADERS: [KnownHeader; 8] = [
    KnownHeader::error(TOPIC, "topic from which the binder read it"),
    KnownHeader::error(PARTITION, "partition of that topic"),
    KnownHeader::error(OFFSET, "offset in that partition"),
    KnownHeader::error(TIMESTAMP, "time of the original record, in milliseconds"),
    KnownHeader::error(
        TIMESTAMP_TYPE,
        "whether the producer or the broker gave that time",
    ),
    KnownHeader::error(CLASS, "outermost exception"),
    KnownHeader::error(MESSAGE, "message of the exception"),
    KnownHeader::error(STACK_TRACE, "stack trace of the exception"),
];

fn decode(dlq: &str, message: &Message) -> Option<Account> {
    decode_as(DIALECT.name, dlq, message)
}

/// Reads the headers wherever the binder wrote them.
pub(super) fn decode_as(dialect: &str, dlq: &str, message: &Message) -> Option<Account> {
    let found = appended_sets(message, &HEADERS);
    let hops = found.sets.iter().map(|set| hop(dialect, dlq, set));
    Account::of_hops(hops.collect(), found.rank)
}

pub(super) fn is_error_header(name: &str) -> bool {
    HEADERS.iter().any(|known| known.matches(name.as_bytes()))
}

fn hop(dialect: &str, dlq: &str, set: &HeaderSet) -> Hop {
    let integer = |name| set.read(name, read::fixed_width);
    let destination = set.read(TOPIC, read::name);
    let group = destination.as_deref().and_then(|topic| {
        dlq.strip_prefix("error.")?
            .strip_prefix(topic)?
            .strip_prefix('.')
    });
    Hop {
        dialect: dialect.to_owned(),
        origin: Origin {
            consumer: group.map(Into::into),
            destination,
            partition: integer(PARTITION).and_then(read::partition),
            offset: integer(OFFSET).and_then(read::offset),
            timestamp: integer(TIMESTAMP).and_then(read::milliseconds),
            timestamp_type: set.read(TIMESTAMP_TYPE, timestamp_type),
            ..Origin::default()
        },
        failure: spring_failure(set, [CLASS, MESSAGE, STACK_TRACE], ""),
        reason: DeathReason::Exception,
        ..Hop::default()
    }
}
