//! Wolverine (.NET), on Kafka and RabbitMQ alike; where the message was is told since 2026 only.

use super::dialect::{Dialect, KnownHeader, Sign};
use super::header_sets::replaced_set;
use super::{Account, header_values as read};
use crate::domain::{AttemptsKind, DeathReason, Failure, Hop, Message, Origin};

const CLASS: &str = "exception-type";
const MESSAGE: &str = "exception-message";
const STACK_TRACE: &str = "exception-stack";
const FAILED_AT: &str = "failed-at";
const DESTINATION: &str = "original-destination";
const PARTITION: &str = "original-partition";
const OFFSET: &str = "original-offset";
const ATTEMPTS: &str = "attempts";

pub(super) const DIALECT: Dialect = Dialect {
    name: "wolverine",
    title: "Wolverine",
    system: None,
    sign: Sign::AllOf(&[CLASS, MESSAGE]),
    headers: &HEADERS,
    decode,
};

const HEADERS: [KnownHeader; 8] = [
    KnownHeader::error(CLASS, "class of the exception"),
    KnownHeader::error(MESSAGE, "message of the exception"),
    KnownHeader::error(STACK_TRACE, "stack trace, cut by Wolverine"),
    KnownHeader::error(FAILED_AT, "when it failed, in milliseconds"),
    KnownHeader::error(DESTINATION, "address at which it was received"),
    KnownHeader::error(PARTITION, "partition of that topic"),
    KnownHeader::error(OFFSET, "offset in that partition"),
    KnownHeader::retry_counter(ATTEMPTS, "how often Wolverine tried it"),
];

fn decode(_: &str, message: &Message) -> Option<Account> {
    let found = replaced_set(message, &HEADERS);
    let set = found.sets.first()?;
    let integer = |name| set.read(name, read::decimal);
    let failed_at = integer(FAILED_AT).and_then(read::milliseconds);
    let hop = Hop {
        dialect: DIALECT.name.to_owned(),
        origin: Origin {
            destination: set.read(DESTINATION, read::end_of_address),
            partition: integer(PARTITION).and_then(read::partition),
            offset: integer(OFFSET).and_then(read::offset),
            ..Origin::default()
        },
        failure: Failure {
            class: set.read(CLASS, read::class),
            message: set.read(MESSAGE, read::message),
            stack_trace: set.read(STACK_TRACE, read::stack_trace),
            ..Failure::default()
        },
        reason: DeathReason::Exception,
        attempts: integer(ATTEMPTS)
            .and_then(read::count)
            .map(|count| (count, AttemptsKind::Deliveries)),
        first_failed_at: failed_at,
        last_failed_at: failed_at,
        ..Hop::default()
    };
    Account::of_hops(vec![hop], found.rank)
}
