//! `SmallRye` Reactive Messaging and Quarkus on Kafka: `dead-letter-queue` and `delayed-retry-topic`.
//!
//! Its own headers come first and those of the record behind them, so the *first* set is the latest.

use super::dialect::{Dialect, KnownHeader, Sign};
use super::header_sets::{HeaderSet, prepended_sets};
use super::{Account, header_values as read};
use crate::domain::{AttemptsKind, DeathReason, Failure, Hop, Message, Origin, System};

pub(super) const DEAD_LETTER_QUEUE: Dialect = Dialect {
    name: "smallrye",
    title: "SmallRye Reactive Messaging",
    system: Some(System::Kafka),
    sign: Sign::AnyOf(&["dead-letter-reason", "dead-letter-exception-class-name"]),
    headers: &DEAD_LETTER_HEADERS,
    decode: decode_dead_letter,
};

pub(super) const DELAYED_RETRY_TOPIC: Dialect = Dialect {
    name: "smallrye-delayed-retry",
    title: "SmallRye delayed retry topics",
    system: Some(System::Kafka),
    sign: Sign::AnyOf(&["delayed-retry-*"]),
    headers: &RETRY_HEADERS,
    decode: decode_retry,
};

const DEAD_LETTER_HEADERS: [KnownHeader; 7] = [
    KnownHeader::error(
        "dead-letter-exception-class-name",
        "exception of the consumer",
    ),
    KnownHeader::error("dead-letter-cause-class-name", "cause of the exception"),
    KnownHeader::error("dead-letter-reason", "message of the exception"),
    KnownHeader::error("dead-letter-cause", "message of the cause"),
    KnownHeader::error("dead-letter-topic", "topic from which it was read"),
    KnownHeader::error("dead-letter-partition", "partition of that topic"),
    KnownHeader::error("dead-letter-offset", "offset in that partition"),
];

const COUNT: &str = "delayed-retry-count";
const ORIGINAL_TIMESTAMP: &str = "delayed-retry-original-timestamp";
const FIRST_PROCESSING: &str = "delayed-retry-first-processing-timestamp";

/// So many of the headers below are those of a failure, one set a hop.
const FAILURE_HEADERS: usize = 7;

const RETRY_HEADERS: [KnownHeader; 10] = [
    KnownHeader::error(
        "delayed-retry-exception-class-name",
        "exception of the consumer",
    ),
    KnownHeader::error("delayed-retry-cause-class-name", "cause of the exception"),
    KnownHeader::error("delayed-retry-reason", "message of the exception"),
    KnownHeader::error("delayed-retry-cause", "message of the cause"),
    KnownHeader::error("delayed-retry-topic", "topic from which it was read"),
    KnownHeader::error("delayed-retry-partition", "partition of that topic"),
    KnownHeader::error("delayed-retry-offset", "offset in that partition"),
    KnownHeader::retry_counter(COUNT, "how often it went through a retry topic"),
    KnownHeader::error(ORIGINAL_TIMESTAMP, "time of the original record"),
    KnownHeader::error(FIRST_PROCESSING, "when it was tried first"),
];

fn decode_dead_letter(_: &str, message: &Message) -> Option<Account> {
    let found = prepended_sets(message, &DEAD_LETTER_HEADERS);
    let hop = |set: &HeaderSet| hop(set, "dead-letter", DEAD_LETTER_QUEUE.name);
    Account::of_hops(found.sets.iter().map(hop).collect(), found.rank)
}

fn decode_retry(_: &str, message: &Message) -> Option<Account> {
    // The counter and the two times are written anew at each retry and stand behind everything.
    let found = prepended_sets(message, &RETRY_HEADERS[..FAILURE_HEADERS]);
    let hop = |set: &HeaderSet| hop(set, "delayed-retry", DELAYED_RETRY_TOPIC.name);
    let mut hops: Vec<Hop> = found.sets.iter().map(hop).collect();
    let integer = |name| message.header(name).and_then(read::decimal);
    let first_topic = hops.last()?.origin.clone();
    let latest = hops.first_mut()?;
    latest.attempts = integer(COUNT)
        .and_then(read::count)
        .map(|count| (count, AttemptsKind::Retries));
    latest.first_failed_at = integer(FIRST_PROCESSING).and_then(read::milliseconds);
    let endpoint = latest.origin.endpoint.clone();
    let mut account = Account::of_hops(hops, found.rank)?;
    // The later hops died in retry topics, from which nothing is to be replayed.
    account.decoded.origin = Origin {
        timestamp: integer(ORIGINAL_TIMESTAMP).and_then(read::milliseconds),
        endpoint,
        ..first_topic
    };
    Some(account)
}

/// What a method throws stands two causes below `SmallRye`'s own exception and is not in the headers:
/// the cause that is there says nothing.
const REFLECTION: &str = "java.lang.reflect.InvocationTargetException";

/// The method of the application that threw, by `SmallRye`'s message about it.
fn method(reason: &str) -> Option<String> {
    let method = reason.strip_prefix("SRMSG00103: Exception thrown when calling the method ")?;
    (method.len() <= 255).then(|| method.to_owned())
}

fn hop(set: &HeaderSet, prefix: &str, dialect: &str) -> Hop {
    let integer = |name: &str| set.read(&format!("{prefix}-{name}"), read::decimal);
    let class = |name: &str| set.read(&format!("{prefix}-{name}"), read::class);
    let message = |name: &str| set.read(&format!("{prefix}-{name}"), read::message);
    let (exception, cause) = (class("exception-class-name"), class("cause-class-name"));
    let (reason, cause_message) = (message("reason"), message("cause"));
    let endpoint = reason.as_deref().and_then(method);
    let failure = if cause.as_deref().is_some_and(|class| class != REFLECTION) {
        Failure {
            class: cause,
            wrapper_class: exception,
            message: cause_message,
            wrapper_message: reason,
            ..Failure::default()
        }
    } else {
        Failure {
            class: exception,
            message: reason,
            ..Failure::default()
        }
    };
    Hop {
        dialect: dialect.to_owned(),
        origin: Origin {
            destination: set.read(&format!("{prefix}-topic"), read::name),
            partition: integer("partition").and_then(read::partition),
            offset: integer("offset").and_then(read::offset),
            endpoint,
            ..Origin::default()
        },
        failure,
        reason: DeathReason::Exception,
        ..Hop::default()
    }
}
