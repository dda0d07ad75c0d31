//! The headers that hand-written consumers put on what they publish to a DLQ, the sample workload
//! among them: `x-error-class`, `x-original-topic` and their kin in [`conventions`]. On RabbitMQ also
//! `x-retry-count` and `x-original-routing-key`, by which consumers count that know no `x-death`.
//!
//! Writers either replace these headers or append them; the set written last is the latest death.

use super::header_sets::{HeaderSet, header_sets};
use super::{Account, header_values as read};
use crate::domain::conventions as header;
use crate::domain::{
    AttemptsKind, ConsumerGroup, DeathReason, Decoded, Failure, Hop, Message, Origin,
};

pub(super) const NAME: &str = "x-error";

/// The headers that describe a death.
pub(super) const ERROR_HEADERS: [&str; 10] = [
    header::ERROR_CLASS,
    header::ERROR_MESSAGE,
    header::ERROR_STACKTRACE,
    header::ORIGINAL_TOPIC,
    header::ORIGINAL_PARTITION,
    header::ORIGINAL_OFFSET,
    header::ORIGINAL_TIMESTAMP,
    header::CONSUMER_GROUP,
    header::FAILED_AT,
    header::ATTEMPTS,
];

/// Some of the names are common words of applications; only beside one of these do they speak of a
/// death. (`x-original-topic` alone would also match other frameworks.)
const SIGNS_OF_A_DEATH: [&str; 3] = [
    header::ERROR_CLASS,
    header::ERROR_MESSAGE,
    header::ERROR_STACKTRACE,
];

/// Whether the headers of this dialect on the message speak of a death.
pub(super) fn is_present(message: &Message) -> bool {
    SIGNS_OF_A_DEATH
        .iter()
        .any(|name| message.header(name).is_some())
}

pub(super) fn decode(message: &Message) -> Option<Account> {
    let (sets, last_header) = header_sets(message, &ERROR_HEADERS);
    let hops: Vec<Hop> = if is_present(message) {
        sets.iter().map(hop).collect()
    } else {
        Vec::new()
    };
    let retries = message
        .header(header::RETRY_COUNT)
        .and_then(read::decimal)
        .and_then(read::count)
        .map(|count| (count, AttemptsKind::Retries));
    let routing_key = message
        .header(header::ORIGINAL_ROUTING_KEY)
        .and_then(read::name);
    if hops.is_empty() && retries.is_none() && routing_key.is_none() {
        return None;
    }
    let latest = hops.first();
    let mut origin = latest.map(|hop| hop.origin.clone()).unwrap_or_default();
    origin.routing_keys.extend(routing_key);
    Some(Account {
        last_header: last_header.filter(|_| !hops.is_empty()),
        decoded: Decoded {
            origin,
            failure: latest.map(|hop| hop.failure.clone()).unwrap_or_default(),
            reason: latest.map_or(DeathReason::Unknown, |hop| hop.reason),
            attempts: latest.and_then(|hop| hop.attempts).or(retries),
            first_failed_at: hops.iter().filter_map(|hop| hop.first_failed_at).min(),
            last_failed_at: latest.and_then(|hop| hop.last_failed_at),
            hops,
        },
    })
}

fn hop(set: &HeaderSet) -> Hop {
    let integer = |name| set.read(name, read::decimal);
    let failed_at = set.read(header::FAILED_AT, read::rfc3339);
    Hop {
        dialect: NAME.to_owned(),
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
            wrapper_class: None,
            message: set.read(header::ERROR_MESSAGE, read::message),
            stack_trace: set.read(header::ERROR_STACKTRACE, read::stack_trace),
        },
        reason: DeathReason::Exception,
        attempts: integer(header::ATTEMPTS)
            .and_then(read::count)
            .map(|count| (count, AttemptsKind::Deliveries)),
        first_failed_at: failed_at,
        last_failed_at: failed_at,
    }
}
