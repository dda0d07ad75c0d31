//! The errant-record reporter of Kafka Connect's sinks, with
//! `errors.deadletterqueue.context.headers.enable`; without that it writes no headers at all.
//!
//! Headers are appended; the message of the exception may be null. The consumer group of a sink is
//! `connect-` and the connector's name.

use super::dialect::{Dialect, KnownHeader, Sign};
use super::header_sets::{HeaderSet, appended_sets};
use super::{Account, header_values as read, stack_trace};
use crate::domain::{DeathReason, Failure, Hop, Message, Origin, System};

const TOPIC: &str = "__connect.errors.topic";
const PARTITION: &str = "__connect.errors.partition";
const OFFSET: &str = "__connect.errors.offset";
const CONNECTOR: &str = "__connect.errors.connector.name";
const TASK: &str = "__connect.errors.task.id";
const STAGE: &str = "__connect.errors.stage";
const EXECUTING_CLASS: &str = "__connect.errors.class.name";
const CLASS: &str = "__connect.errors.exception.class.name";
const MESSAGE: &str = "__connect.errors.exception.message";
const STACK_TRACE: &str = "__connect.errors.exception.stacktrace";

pub(super) const DIALECT: Dialect = Dialect {
    name: "kafka-connect",
    title: "Kafka Connect",
    system: Some(System::Kafka),
    sign: Sign::AnyOf(&["__connect.errors.*"]),
    headers: &HEADERS,
    decode,
};

const HEADERS: [KnownHeader; 11] = [
    KnownHeader::error(TOPIC, "topic from which the sink read it"),
    KnownHeader::error(PARTITION, "partition of that topic"),
    KnownHeader::error(OFFSET, "offset in that partition"),
    KnownHeader::error(CONNECTOR, "connector that failed"),
    KnownHeader::error(TASK, "task of the connector"),
    KnownHeader::error(STAGE, "step at which it failed"),
    KnownHeader::error(EXECUTING_CLASS, "class that ran at that step"),
    KnownHeader::error(CLASS, "outermost exception"),
    KnownHeader::error(MESSAGE, "message of the exception"),
    KnownHeader::error(STACK_TRACE, "stack trace of the exception"),
    KnownHeader::error("__connect.errors.*", "written by Kafka Connect"),
];

fn decode(_: &str, message: &Message) -> Option<Account> {
    let found = appended_sets(message, &HEADERS);
    Account::of_hops(found.sets.iter().map(hop).collect(), found.rank)
}

fn hop(set: &HeaderSet) -> Hop {
    let integer = |name| set.read(name, read::decimal);
    let connector = set.read(CONNECTOR, read::name);
    let task = integer(TASK);
    let endpoint = connector
        .as_deref()
        .zip(task)
        .map(|(connector, task)| format!("{connector}, task {task}"));
    Hop {
        dialect: DIALECT.name.to_owned(),
        origin: Origin {
            destination: set.read(TOPIC, read::name),
            partition: integer(PARTITION).and_then(read::partition),
            offset: integer(OFFSET).and_then(read::offset),
            consumer: connector.map(|name| format!("connect-{name}").as_str().into()),
            endpoint,
            ..Origin::default()
        },
        failure: failure(set),
        reason: DeathReason::Exception,
        ..Hop::default()
    }
}

fn failure(set: &HeaderSet) -> Failure {
    let stage = set.read(STAGE, read::words);
    let executing = set.read(EXECUTING_CLASS, read::class);
    let stage = match (stage, executing) {
        (Some(stage), Some(class)) => Some(format!("{stage} in {class}")),
        (stage, class) => stage.or(class),
    };
    Failure {
        stage,
        ..stack_trace::java_failure(
            set.read(CLASS, read::class),
            set.read(MESSAGE, read::message),
            set.read(STACK_TRACE, read::stack_trace),
        )
    }
}
