//! Kafka Streams since 4.2 (KIP-1034, `errors.dead.letter.queue.topic.name`).
//!
//! The exception is its class, and by the proposal `class: message`; the message may be null. The topic
//! may be an internal one of the application.

use super::dialect::{Dialect, KnownHeader, Sign};
use super::header_sets::{HeaderSet, appended_sets};
use super::{Account, header_values as read, stack_trace};
use crate::domain::{DeathReason, Hop, Message, Origin, System};

const EXCEPTION: &str = "__streams.errors.exception";
const MESSAGE: &str = "__streams.errors.message";
const STACK_TRACE: &str = "__streams.errors.stacktrace";
const TOPIC: &str = "__streams.errors.topic";
const PARTITION: &str = "__streams.errors.partition";
const OFFSET: &str = "__streams.errors.offset";

pub(super) const DIALECT: Dialect = Dialect {
    name: "kafka-streams",
    title: "Kafka Streams",
    system: Some(System::Kafka),
    sign: Sign::AnyOf(&["__streams.errors.*"]),
    headers: &HEADERS,
    decode,
};

const HEADERS: [KnownHeader; 7] = [
    KnownHeader::error(EXCEPTION, "outermost exception"),
    KnownHeader::error(MESSAGE, "message of the exception"),
    KnownHeader::error(STACK_TRACE, "stack trace of the exception"),
    KnownHeader::error(TOPIC, "topic from which the application read it"),
    KnownHeader::error(PARTITION, "partition of that topic"),
    KnownHeader::error(OFFSET, "offset in that partition"),
    KnownHeader::error("__streams.errors.*", "written by Kafka Streams"),
];

fn decode(_: &str, message: &Message) -> Option<Account> {
    let found = appended_sets(message, &HEADERS);
    Account::of_hops(found.sets.iter().map(hop).collect(), found.rank)
}

fn hop(set: &HeaderSet) -> Hop {
    let integer = |name| set.read(name, read::decimal);
    let exception = set.read(EXCEPTION, read::message);
    let (class, own_message) = match exception.as_deref().map(|text| text.split_once(": ")) {
        Some(Some((class, message))) => (Some(class.to_owned()), Some(message.to_owned())),
        _ => (exception, None),
    };
    Hop {
        dialect: DIALECT.name.to_owned(),
        origin: Origin {
            destination: set.read(TOPIC, read::name),
            partition: integer(PARTITION).and_then(read::partition),
            offset: integer(OFFSET).and_then(read::offset),
            ..Origin::default()
        },
        failure: stack_trace::java_failure(
            class,
            set.read(MESSAGE, read::message).or(own_message),
            set.read(STACK_TRACE, read::stack_trace),
        ),
        reason: DeathReason::Exception,
        ..Hop::default()
    }
}
