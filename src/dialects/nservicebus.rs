//! `NServiceBus`, whose endpoints share one `error` queue. Its transport removes the broker's history.

use super::dialect::{Dialect, KnownHeader, Sign};
use super::header_sets::{HeaderSet, replaced_set};
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
    let hop = Hop {
        dialect: DIALECT.name.to_owned(),
        origin: Origin {
            destination: set.read(FAILED_QUEUE, read::name),
            consumer: set.read(ENDPOINT, read::name).map(Into::into),
            ..Origin::default()
        },
        failure: failure(set),
        reason: DeathReason::Exception,
        attempts: retries.map(|count| (count, AttemptsKind::Retries)),
        first_failed_at: failed_at,
        last_failed_at: failed_at,
        ..Hop::default()
    };
    Account::of_hops(vec![hop], found.rank)
}

/// The message is that of the outer exception; what the inner one says stands only in the stack trace.
fn failure(set: &HeaderSet) -> Failure {
    let outer = set.read(CLASS, read::class);
    let message = set.read(MESSAGE, read::message);
    let stack_trace = set.read(STACK_TRACE, read::stack_trace);
    let Some(inner) = set.read(INNER_CLASS, read::class) else {
        return Failure {
            class: outer,
            message,
            stack_trace,
            ..Failure::default()
        };
    };
    let inner_message = stack_trace
        .as_deref()
        .and_then(|trace| message_inside(trace, &inner));
    Failure {
        wrapper_class: outer,
        wrapper_message: message,
        class: Some(inner),
        message: inner_message.map(read::cut_message),
        stack_trace,
        stage: None,
    }
}

/// What follows `---> Acme.PaymentFailed: ` in an exception of .NET as text, up to the next exception or frame.
fn message_inside<'a>(trace: &'a str, class: &str) -> Option<&'a str> {
    let (_, inside) = trace.split_once(&format!("---> {class}: "))?;
    let ends = ["---> ", "\n   at ", "\r\n   at ", "\n   --- "];
    let end = ends.iter().filter_map(|mark| inside.find(mark)).min();
    let message = inside.get(..end.unwrap_or(inside.len()))?.trim();
    (!message.is_empty()).then_some(message)
}

/// `2026-11-24 02:00:00:500000 Z`, with a colon before the microseconds.
fn time_of_failure(value: &HeaderValue) -> Option<Timestamp> {
    let text = value.as_text()?.trim().strip_suffix('Z')?.trim_end();
    let (date, time) = text.split_once(' ')?;
    let (seconds, fraction) = time.rsplit_once(':')?;
    Timestamp::parse_rfc3339(&format!("{date}T{seconds}.{fraction}Z"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Header;

    #[test]
    fn class_and_message_are_of_one_exception() {
        let check = |inner: &str, trace: &str, expected: [Option<&str>; 4]| {
            let told = [
                (CLASS, "Acme.Wrapper"),
                (INNER_CLASS, inner),
                (MESSAGE, "outer"),
                (STACK_TRACE, trace),
            ];
            let told = told.into_iter().filter(|(_, text)| !text.is_empty());
            let message = Message {
                headers: told.map(|(name, text)| Header::text(name, text)).collect(),
                ..Message::default()
            };
            let found = decode("error", &message).unwrap().decoded.failure;
            let found = [
                found.class,
                found.message,
                found.wrapper_class,
                found.wrapper_message,
            ];
            assert_eq!(found.each_ref().map(Option::as_deref), expected, "{trace}");
        };
        let frames = "\n   at Acme.Pay()\n   --- End of inner exception stack trace ---";
        let around = |inside: &str| format!("Acme.Wrapper: outer\n ---> {inside}{frames}");
        let (wrapper, outer) = (Some("Acme.Wrapper"), Some("outer"));
        check("", "Acme.Wrapper: outer", [wrapper, outer, None, None]);
        let failed = Some("Acme.Failed");
        check("Acme.Failed", "", [failed, None, wrapper, outer]);
        let trace = around("Acme.Failed: no money:\nnone at all");
        let said = Some("no money:\nnone at all");
        check("Acme.Failed", &trace, [failed, said, wrapper, outer]);
        let trace = around("Acme.Failed: no money\n ---> System.Exception: x");
        let expected = [failed, Some("no money"), wrapper, outer];
        check("Acme.Failed", &trace, expected);
        let trace = around("Acme.Failed");
        check("Acme.Failed", &trace, [failed, None, wrapper, outer]);
    }
}
