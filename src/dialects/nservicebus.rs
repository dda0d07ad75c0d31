//! `NServiceBus`, whose endpoints share one `error` queue. Its transport removes the broker's history.

use super::dialect::{Dialect, KnownHeader, Sign};
use super::header_sets::replaced_set;
use super::{Account, header_values as read};
use crate::domain::{
    AttemptsKind, DeathReason, Failure, HeaderValue, Hop, Message, Origin, Timestamp,
};

const FAILED_QUEUE: &str = "NServiceBus.FailedQ";
const TIME: &str = "NServiceBus.TimeOfFailure";
const CLASS: &str = "NServiceBus.ExceptionInfo.ExceptionType";
const INNER_CLASS: &str = "NServiceBus.ExceptionInfo.InnerExceptionType";
const MESSAGE: &str = "NServiceBus.ExceptionInfo.Message";
const STACK_TRACE: &str = "NServiceBus.ExceptionInfo.StackTrace";
const RETRIES: &str = "NServiceBus.Retries";
const ENDPOINT: &str = "NServiceBus.ProcessingEndpoint";

pub(super) const DIALECT: Dialect = Dialect {
    name: "nservicebus",
    title: "NServiceBus",
    system: None,
    sign: Sign::AnyOf(&[FAILED_QUEUE, "NServiceBus.ExceptionInfo.*", RETRIES]),
    headers: &HEADERS,
    decode,
};

const HEADERS: [KnownHeader; 12] = [
    KnownHeader::error(FAILED_QUEUE, "queue from which it was read"),
    KnownHeader::error(TIME, "when it failed"),
    KnownHeader::error(CLASS, "class of the exception"),
    KnownHeader::error(INNER_CLASS, "class of the exception inside"),
    KnownHeader::error(MESSAGE, "message of the exception"),
    KnownHeader::error(STACK_TRACE, "stack trace of the exception"),
    KnownHeader::error("NServiceBus.ExceptionInfo.*", "about the exception"),
    KnownHeader::retry_counter(RETRIES, "how often it was retried with a delay"),
    KnownHeader::retry_counter("NServiceBus.FLRetries", "how often it was retried at once"),
    KnownHeader::error(
        "ServiceControl.EditOf",
        "belongs to an edit in ServiceControl",
    ),
    KnownHeader::kept(ENDPOINT, "endpoint that processed it"),
    KnownHeader::kept(
        "NServiceBus.EnclosedMessageTypes",
        "types of the message, the most derived first",
    ),
];

fn decode(_: &str, message: &Message) -> Option<Account> {
    let found = replaced_set(message, &HEADERS);
    let set = found.sets.first()?;
    let retries = set.read(RETRIES, read::decimal).and_then(read::count);
    if !set.has_any_of(&[FAILED_QUEUE, CLASS, MESSAGE]) {
        return retries.map(Account::of_retries);
    }
    let failed_at = set.read(TIME, time_of_failure);
    let outer = set.read(CLASS, read::class);
    let inner = set.read(INNER_CLASS, read::class);
    let hop = Hop {
        dialect: DIALECT.name.to_owned(),
        origin: Origin {
            destination: set.read(FAILED_QUEUE, read::name),
            consumer: set.read(ENDPOINT, read::name).map(Into::into),
            ..Origin::default()
        },
        failure: Failure {
            wrapper_class: outer.clone().filter(|_| inner.is_some()),
            class: inner.or(outer),
            message: set.read(MESSAGE, read::message),
            stack_trace: set.read(STACK_TRACE, read::stack_trace),
            ..Failure::default()
        },
        reason: DeathReason::Exception,
        attempts: retries.map(|count| (count, AttemptsKind::Retries)),
        first_failed_at: failed_at,
        last_failed_at: failed_at,
        ..Hop::default()
    };
    Account::of_hops(vec![hop], found.rank)
}

/// `2026-11-24 02:00:00:500000 Z`, with a colon before the microseconds.
fn time_of_failure(value: &HeaderValue) -> Option<Timestamp> {
    let text = value.as_text()?.trim().strip_suffix('Z')?.trim_end();
    let (date, time) = text.split_once(' ')?;
    let (seconds, fraction) = time.rsplit_once(':')?;
    Timestamp::parse_rfc3339(&format!("{date}T{seconds}.{fraction}Z"))
}
