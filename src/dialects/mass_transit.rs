//! `MassTransit` on RabbitMQ: faults in `<queue>_error`, what no consumer took in `<queue>_skipped`.

use super::dialect::{Dialect, KnownHeader, Sign};
use super::header_sets::{HeaderSet, replaced_set};
use super::{Account, header_values as read};
use crate::domain::{AttemptsKind, DeathReason, Failure, Hop, Message, Origin};

const REASON: &str = "MT-Reason";
const CLASS: &str = "MT-Fault-ExceptionType";
const MESSAGE: &str = "MT-Fault-Message";
const TIMESTAMP: &str = "MT-Fault-Timestamp";
const STACK_TRACE: &str = "MT-Fault-StackTrace";
const ADDRESS: &str = "MT-Fault-InputAddress";
const CONSUMER: &str = "MT-Fault-ConsumerType";
const RETRIES: &str = "MT-Fault-RetryCount";
const REDELIVERIES: &str = "MT-Redelivery-Count";

pub(super) const DIALECT: Dialect = Dialect {
    name: "mass-transit",
    title: "MassTransit",
    system: None,
    sign: Sign::AnyOf(&["MT-Reason", "MT-Fault-*", "MT-Redelivery-Count"]),
    headers: &HEADERS,
    decode,
};

const HEADERS: [KnownHeader; 13] = [
    KnownHeader::error(REASON, "fault, or dead-letter for what no consumer took"),
    KnownHeader::error(CLASS, "class of the innermost exception"),
    KnownHeader::error(MESSAGE, "message of the exception"),
    KnownHeader::error(TIMESTAMP, "when it failed"),
    KnownHeader::error(STACK_TRACE, "stack trace of the exception"),
    KnownHeader::error(ADDRESS, "address of the queue from which it was read"),
    KnownHeader::error(CONSUMER, "consumer that failed"),
    KnownHeader::error("MT-Fault-MessageType", "type of the message"),
    KnownHeader::retry_counter(RETRIES, "how often it was retried at once"),
    KnownHeader::retry_counter("MT-Fault-RedeliveryCount", "how often it was redelivered"),
    KnownHeader::retry_counter(REDELIVERIES, "how often it was redelivered"),
    KnownHeader::error("MT-Fault-*", "written by MassTransit about the fault"),
    KnownHeader::error("MT-Host-*", "machine and process on which it failed"),
];

fn decode(_: &str, message: &Message) -> Option<Account> {
    let found = replaced_set(message, &HEADERS);
    let set = found.sets.first()?;
    let count = |name| set.read(name, read::decimal).and_then(read::count);
    let retries = count(RETRIES).or_else(|| count(REDELIVERIES));
    if !set.has_any_of(&[REASON, CLASS, MESSAGE]) {
        return retries.map(Account::of_retries);
    }
    let hop = Hop {
        attempts: retries.map(|count| (count, AttemptsKind::Retries)),
        ..hop(set)
    };
    Account::of_hops(vec![hop], found.rank)
}

fn hop(set: &HeaderSet) -> Hop {
    let raw_reason = set.read(REASON, read::words);
    let failed_at = set.read(TIMESTAMP, read::rfc3339);
    Hop {
        dialect: DIALECT.name.to_owned(),
        origin: Origin {
            destination: set.read(ADDRESS, read::end_of_address),
            endpoint: set.read(CONSUMER, read::class),
            ..Origin::default()
        },
        failure: Failure {
            class: set.read(CLASS, read::class),
            message: set.read(MESSAGE, read::message),
            stack_trace: set.read(STACK_TRACE, read::stack_trace),
            ..Failure::default()
        },
        reason: match raw_reason.as_deref() {
            Some("dead-letter") => DeathReason::Unrouted,
            _ => DeathReason::Exception,
        },
        raw_reason,
        first_failed_at: failed_at,
        last_failed_at: failed_at,
        ..Hop::default()
    }
}
