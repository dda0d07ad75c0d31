//! Spring Kafka's `DeadLetterPublishingRecoverer`, in its default form since 2.2.
//!
//! Integers are big-endian Java `int` and `long`. The `original` headers are appended at each hop; the
//! exception is replaced since 2.8 and was appended before. Spring's class headers name its own
//! wrapper and the exception right below it; the root cause stands only in the stack trace.

use super::header_sets::{HeaderSet, header_sets};
use super::{Account, header_values as read, stack_trace};
use crate::domain::{ConsumerGroup, DeathReason, Decoded, Failure, Hop, Message, Origin};

pub(super) const NAME: &str = "spring-kafka";

const ORIGINAL_TOPIC: &str = "kafka_dlt-original-topic";
const ORIGINAL_PARTITION: &str = "kafka_dlt-original-partition";
const ORIGINAL_OFFSET: &str = "kafka_dlt-original-offset";
const ORIGINAL_TIMESTAMP: &str = "kafka_dlt-original-timestamp";
const ORIGINAL_TIMESTAMP_TYPE: &str = "kafka_dlt-original-timestamp-type";
const ORIGINAL_CONSUMER_GROUP: &str = "kafka_dlt-original-consumer-group";
const EXCEPTION_CLASS: &str = "kafka_dlt-exception-fqcn";
const CAUSE_CLASS: &str = "kafka_dlt-exception-cause-fqcn";
const EXCEPTION_MESSAGE: &str = "kafka_dlt-exception-message";
const EXCEPTION_STACK_TRACE: &str = "kafka_dlt-exception-stacktrace";
const KEY_EXCEPTION_CLASS: &str = "kafka_dlt-key-exception-fqcn";
const KEY_EXCEPTION_MESSAGE: &str = "kafka_dlt-key-exception-message";
const KEY_EXCEPTION_STACK_TRACE: &str = "kafka_dlt-key-exception-stacktrace";

const ALL_HEADERS: [&str; 13] = [
    ORIGINAL_TOPIC,
    ORIGINAL_PARTITION,
    ORIGINAL_OFFSET,
    ORIGINAL_TIMESTAMP,
    ORIGINAL_TIMESTAMP_TYPE,
    ORIGINAL_CONSUMER_GROUP,
    EXCEPTION_CLASS,
    CAUSE_CLASS,
    EXCEPTION_MESSAGE,
    EXCEPTION_STACK_TRACE,
    KEY_EXCEPTION_CLASS,
    KEY_EXCEPTION_MESSAGE,
    KEY_EXCEPTION_STACK_TRACE,
];

/// Everything that Spring's error handling leaves on a record, its retry topics included: a stale
/// `retry_topic-attempts` would send a replay straight back to the DLT.
const WRITTEN_BY_SPRING: [&str; 8] = [
    "kafka_dlt-",
    "kafka_original-",
    "kafka_exception-",
    "kafka_key-exception-",
    "retry_topic-",
    "springDeserializerException",
    "kafka_deliveryAttempt",
    "kafka_listenerInfo",
];

/// Whether Spring's error handling wrote this header.
pub(super) fn is_error_header(name: &[u8]) -> bool {
    WRITTEN_BY_SPRING
        .iter()
        .any(|prefix| name.starts_with(prefix.as_bytes()))
}

pub(super) fn decode(message: &Message) -> Option<Account> {
    let (sets, last_header) = header_sets(message, &ALL_HEADERS);
    let hops: Vec<Hop> = sets.iter().map(hop).collect();
    let latest = hops.first()?;
    let origin = hops
        .iter()
        .find(|hop| hop.origin.destination.as_deref().is_some_and(is_work_topic))
        .unwrap_or(latest);
    let with_failure = hops.iter().find(|hop| hop.failure != Failure::default());
    Some(Account {
        last_header,
        decoded: Decoded {
            origin: origin.origin.clone(),
            failure: with_failure
                .map(|hop| hop.failure.clone())
                .unwrap_or_default(),
            reason: DeathReason::Exception,
            attempts: None,
            first_failed_at: None,
            last_failed_at: None,
            hops,
        },
    })
}

/// A record that failed again in a retry topic or in the DLT belongs to the topic before.
fn is_work_topic(topic: &str) -> bool {
    let topic = topic.to_ascii_lowercase();
    let without_index = topic.trim_end_matches(|c: char| c.is_ascii_digit() || c == '-');
    !["-dlt", ".dlt", "-retry", ".retry", "_retry"]
        .iter()
        .any(|suffix| topic.ends_with(suffix) || without_index.ends_with(suffix))
}

fn hop(set: &HeaderSet) -> Hop {
    let integer = |name| set.read(name, read::fixed_width);
    Hop {
        dialect: NAME.to_owned(),
        origin: Origin {
            destination: set.read(ORIGINAL_TOPIC, read::name),
            partition: integer(ORIGINAL_PARTITION).and_then(read::partition),
            offset: integer(ORIGINAL_OFFSET).and_then(read::offset),
            timestamp: integer(ORIGINAL_TIMESTAMP).and_then(read::milliseconds),
            consumer: set
                .read(ORIGINAL_CONSUMER_GROUP, read::name)
                .map(ConsumerGroup::from),
            ..Origin::default()
        },
        failure: failure(set),
        reason: DeathReason::Exception,
        attempts: None,
        first_failed_at: None,
        last_failed_at: None,
    }
}

fn failure(set: &HeaderSet) -> Failure {
    let of_value = [EXCEPTION_CLASS, EXCEPTION_MESSAGE, EXCEPTION_STACK_TRACE];
    let of_key = [
        KEY_EXCEPTION_CLASS,
        KEY_EXCEPTION_MESSAGE,
        KEY_EXCEPTION_STACK_TRACE,
    ];
    let [class, message, stack_trace] = if set.has_any_of(&of_value) {
        of_value
    } else {
        of_key
    };
    let outermost = set.read(class, read::class);
    let stack_trace = set.read(stack_trace, read::stack_trace);
    let root = stack_trace.as_deref().and_then(stack_trace::root_cause);
    let (root_class, root_message) =
        root.map_or((None, None), |root| (Some(root.class), root.message));
    let class = root_class
        .or_else(|| set.read(CAUSE_CLASS, read::class))
        .or_else(|| outermost.clone());
    Failure {
        wrapper_class: outermost.filter(|outermost| Some(outermost) != class.as_ref()),
        class,
        message: root_message
            .map(|text| read::cut_message(&text))
            .or_else(|| set.read(message, read::message)),
        stack_trace,
    }
}

#[cfg(test)]
mod tests;
