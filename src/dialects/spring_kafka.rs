//! Spring Kafka's `DeadLetterPublishingRecoverer`, in its default form since 2.2. The recovering
//! exception handlers of its Kafka Streams support and of Spring Cloud Stream's binder write the same.
//!
//! Integers are big-endian Java `int` and `long`. The `original` headers are appended at each hop; the
//! exception is replaced since 2.8 and was appended before. Spring's class headers name its own
//! wrapper and the exception right below it; the root cause stands only in the stack trace.

use super::dialect::{Dialect, KnownHeader, Sign};
use super::header_sets::{HeaderSet, appended_sets};
use super::{Account, header_values as read, stack_trace};
use crate::domain::{ConsumerGroup, DeathReason, Failure, Hop, Message, Origin, TimestampType};

const ORIGINAL_TOPIC: &str = "kafka_dlt-original-topic";
const ORIGINAL_PARTITION: &str = "kafka_dlt-original-partition";
const ORIGINAL_OFFSET: &str = "kafka_dlt-original-offset";
const ORIGINAL_TIMESTAMP: &str = "kafka_dlt-original-timestamp";
const ORIGINAL_TIMESTAMP_TYPE: &str = "kafka_dlt-original-timestamp-type";
pub(super) const ORIGINAL_CONSUMER_GROUP: &str = "kafka_dlt-original-consumer-group";
const EXCEPTION_CLASS: &str = "kafka_dlt-exception-fqcn";
const CAUSE_CLASS: &str = "kafka_dlt-exception-cause-fqcn";
const EXCEPTION_MESSAGE: &str = "kafka_dlt-exception-message";
const EXCEPTION_STACK_TRACE: &str = "kafka_dlt-exception-stacktrace";
const KEY_EXCEPTION_CLASS: &str = "kafka_dlt-key-exception-fqcn";
const KEY_EXCEPTION_MESSAGE: &str = "kafka_dlt-key-exception-message";
const KEY_EXCEPTION_STACK_TRACE: &str = "kafka_dlt-key-exception-stacktrace";

pub(super) const DIALECT: Dialect = Dialect {
    name: "spring-kafka",
    title: "Spring Kafka",
    system: None,
    sign: Sign::AnyOf(&[
        "kafka_dlt-*",
        "springDeserializerException*",
        "kafka_deliveryAttempt",
        "kafka_listenerInfo",
    ]),
    headers: &HEADERS,
    decode,
};

const HEADERS: [KnownHeader; 17] = [
    KnownHeader::error(ORIGINAL_TOPIC, "topic from which the listener read it"),
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
    KnownHeader::error(
        "springDeserializerException*",
        "exception of Spring's deserializer as a Java object, which is not opened here",
    ),
    KnownHeader::retry_counter(
        "kafka_deliveryAttempt",
        "how often the container delivered it to the listener",
    )
    .with_number(read::fixed_width),
    KnownHeader::error("kafka_listenerInfo", "name that the listener was given"),
    KnownHeader::error("kafka_dlt-*", "written by Spring's error handling"),
];

fn decode(_: &str, message: &Message) -> Option<Account> {
    let found = appended_sets(message, &HEADERS);
    let tells = |set: &&HeaderSet| {
        set.has_any_of(&[ORIGINAL_TOPIC, ORIGINAL_OFFSET]) || failure(set) != Failure::default()
    };
    let mut hops: Vec<Hop> = found.sets.iter().filter(tells).map(hop).collect();
    give_the_only_failure_to_the_latest(&mut hops);
    let latest = hops.first()?;
    let origin = hops
        .iter()
        .find(|hop| hop.origin.destination.as_deref().is_some_and(is_work_topic))
        .unwrap_or(latest)
        .origin
        .clone();
    let with_failure = hops.iter().find(|hop| hop.failure != Failure::default());
    let failure = with_failure.map(|hop| hop.failure.clone());
    let mut account = Account::of_hops(hops, found.rank)?;
    account.decoded.origin = origin;
    account.decoded.failure = failure.unwrap_or_default();
    Some(account)
}

/// Since 2.8 the exception of the death before is taken away and the new one written before the new
/// `original` headers, so that it stands among those of the older death.
fn give_the_only_failure_to_the_latest(hops: &mut [Hop]) {
    let is_told = |hop: &&mut Hop| hop.failure != Failure::default();
    let mut told = hops.iter_mut().filter(is_told);
    if let (Some(only), None) = (told.next(), told.next()) {
        let failure = std::mem::take(&mut only.failure);
        if let Some(latest) = hops.first_mut() {
            latest.failure = failure;
        }
    }
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
        dialect: DIALECT.name.to_owned(),
        origin: Origin {
            destination: set.read(ORIGINAL_TOPIC, read::name),
            partition: integer(ORIGINAL_PARTITION).and_then(read::partition),
            offset: integer(ORIGINAL_OFFSET).and_then(read::offset),
            timestamp: integer(ORIGINAL_TIMESTAMP).and_then(read::milliseconds),
            timestamp_type: set.read(ORIGINAL_TIMESTAMP_TYPE, timestamp_type),
            consumer: set
                .read(ORIGINAL_CONSUMER_GROUP, read::name)
                .map(ConsumerGroup::from),
            ..Origin::default()
        },
        failure: failure(set),
        reason: DeathReason::Exception,
        ..Hop::default()
    }
}

pub(super) fn timestamp_type(value: &crate::domain::HeaderValue) -> Option<TimestampType> {
    TimestampType::parse(value.as_text()?)
}

fn failure(set: &HeaderSet) -> Failure {
    let of_value = [EXCEPTION_CLASS, EXCEPTION_MESSAGE, EXCEPTION_STACK_TRACE];
    let of_key = [
        KEY_EXCEPTION_CLASS,
        KEY_EXCEPTION_MESSAGE,
        KEY_EXCEPTION_STACK_TRACE,
    ];
    spring_failure(set, of_value_or_key(set, of_value, of_key), CAUSE_CLASS)
}

/// The names of the headers that tell the failure: of the value, or of the key where the value has none.
pub(super) fn of_value_or_key<'a>(
    set: &HeaderSet,
    of_value: [&'a str; 3],
    of_key: [&'a str; 3],
) -> [&'a str; 3] {
    if set.has_any_of(&of_value) {
        of_value
    } else {
        of_key
    }
}

/// The failure in headers of class, message and stack trace, and perhaps the class of the cause.
pub(super) fn spring_failure(
    set: &HeaderSet,
    [class, message, stack_trace]: [&str; 3],
    cause: &str,
) -> Failure {
    let outermost = set.read(class, read::class);
    let stack_trace = set.read(stack_trace, read::stack_trace);
    let message = set.read(message, read::message);
    let root = stack_trace.as_deref().and_then(stack_trace::root_cause);
    let (root_class, root_message) =
        root.map_or((None, None), |root| (Some(root.class), root.message));
    let class = root_class
        .or_else(|| set.read(cause, read::class))
        .or_else(|| outermost.clone());
    let root_message = root_message.map(|text| read::cut_message(&text));
    Failure {
        wrapper_class: outermost.filter(|outermost| Some(outermost) != class.as_ref()),
        class,
        wrapper_message: root_message
            .is_some()
            .then(|| message.clone())
            .flatten()
            .filter(|said| Some(said) != root_message.as_ref()),
        message: root_message.or(message),
        stack_trace,
        stage: None,
    }
}

#[cfg(test)]
mod tests;
