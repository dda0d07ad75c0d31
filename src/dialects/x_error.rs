//! The headers that hand-written consumers put on what they publish to a DLQ, the sample workload
//! among them: `x-error-class`, `x-original-topic` and their kin in [`conventions`].
//!
//! Writers either replace these headers or append them; the set written last is the latest death.

use super::dialect::{Dialect, KnownHeader, Sign};
use super::header_sets::{HeaderSet, appended_sets};
use super::{Account, header_values as read};
use crate::domain::conventions as header;
use crate::domain::{AttemptsKind, ConsumerGroup, DeathReason, Failure, Hop, Message, Origin};

pub(super) const DIALECT: Dialect = Dialect {
    name: "x-error",
    title: "Hand-written consumer",
    system: None,
    // Some of the names are common words of applications; only beside one of these do they speak of a
    // death. (`x-original-topic` alone would also match other frameworks.)
    sign: Sign::AnyOf(&[
        header::ERROR_CLASS,
        header::ERROR_MESSAGE,
        header::ERROR_STACKTRACE,
    ]),
    headers: &HEADERS,
    decode,
};

const HEADERS: [KnownHeader; 10] = [
    KnownHeader::error(header::ERROR_CLASS, "class of the error"),
    KnownHeader::error(header::ERROR_MESSAGE, "message of the error"),
    KnownHeader::error(header::ERROR_STACKTRACE, "stack trace of the error"),
    KnownHeader::error(header::ORIGINAL_TOPIC, "topic from which it was read"),
    KnownHeader::error(header::ORIGINAL_PARTITION, "partition of that topic"),
    KnownHeader::error(header::ORIGINAL_OFFSET, "offset in that partition"),
    KnownHeader::error(
        header::ORIGINAL_TIMESTAMP,
        "time of the original record, in milliseconds",
    ),
    KnownHeader::error(header::CONSUMER_GROUP, "consumer group that gave up"),
    KnownHeader::error(header::FAILED_AT, "when the consumer gave up"),
    KnownHeader::error(header::ATTEMPTS, "how often the consumer tried in all"),
];

fn decode(_: &str, message: &Message) -> Option<Account> {
    let found = appended_sets(message, &HEADERS);
    Account::of_hops(found.sets.iter().map(hop).collect(), found.rank)
}

fn hop(set: &HeaderSet) -> Hop {
    let integer = |name| set.read(name, read::decimal);
    let failed_at = set.read(header::FAILED_AT, read::rfc3339);
    Hop {
        dialect: DIALECT.name.to_owned(),
        origin: Origin {
            destination: set.read(header::ORIGINAL_TOPIC, read::name),
            partition: integer(header::ORIGINAL_PARTITION).and_then(read::partition),
            offset: integer(header::ORIGINAL_OFFSET).and_then(read::offset),
            timestamp: integer(header::ORIGINAL_TIMESTAMP).and_then(read::milliseconds),
            consumer: set
                .read(header::CONSUMER_GROUP, read::name)
                .map(ConsumerGroup::from),
            ..Origin::default()
        },
        failure: Failure {
            class: set.read(header::ERROR_CLASS, read::class),
            message: set.read(header::ERROR_MESSAGE, read::message),
            stack_trace: set.read(header::ERROR_STACKTRACE, read::stack_trace),
            ..Failure::default()
        },
        reason: DeathReason::Exception,
        attempts: integer(header::ATTEMPTS)
            .and_then(read::count)
            .map(|count| (count, AttemptsKind::Deliveries)),
        first_failed_at: failed_at,
        last_failed_at: failed_at,
        ..Hop::default()
    }
}
