//! Celery: the headers of a task, which tell no death by themselves; the broker's history does that.

use super::dialect::{Dialect, KnownHeader, OnReplay, Sign};
use super::{Account, header_values as read};
use crate::domain::{AmqpValue, AttemptsKind, HeaderValue, Message, System};

pub(super) const DIALECT: Dialect = Dialect {
    name: "celery",
    title: "Celery",
    system: Some(System::RabbitMq),
    sign: Sign::AllOf(&["task", "id", "root_id"]),
    headers: &[
        KnownHeader::kept("task", "name of the task"),
        KnownHeader::kept("id", "ID of the task"),
        KnownHeader::kept("root_id", "ID of the task that began the chain"),
        KnownHeader::kept("parent_id", "ID of the task that sent this one"),
        KnownHeader {
            name: "retries",
            meaning: "how often the task was retried",
            on_replay: OnReplay::Change("set to 0, so that the task may be retried again", zero),
            number: None,
        },
        KnownHeader {
            name: "expires",
            meaning: "when the worker discards the task",
            on_replay: OnReplay::Change(
                "emptied, since a worker discards an expired task and says nothing",
                void,
            ),
            number: None,
        },
        KnownHeader::kept("argsrepr", "arguments of the task, for people"),
        KnownHeader::kept("kwargsrepr", "named arguments of the task, for people"),
        KnownHeader::kept("origin", "process that sent the task"),
        KnownHeader::kept("eta", "when the task is due"),
        KnownHeader::kept("timelimit", "how long the task may run"),
        KnownHeader::kept("lang", "language of the task"),
    ],
    decode,
};

fn decode(_: &str, message: &Message) -> Option<Account> {
    let task = message.header("task").and_then(read::name)?;
    let mut account = Account::default();
    account.decoded.origin.endpoint = Some(task);
    let retries = message.header("retries").and_then(read::decimal);
    account.decoded.attempts = retries
        .and_then(read::count)
        .filter(|count| *count > 0)
        .map(|count| (count, AttemptsKind::Retries));
    Some(account)
}

fn zero(value: &HeaderValue) -> Option<HeaderValue> {
    let HeaderValue::Amqp(value) = value else {
        return None;
    };
    let zero = match value {
        AmqpValue::I32(1..) => AmqpValue::I32(0),
        AmqpValue::I64(1..) => AmqpValue::I64(0),
        AmqpValue::I16(1..) => AmqpValue::I16(0),
        AmqpValue::I8(1..) => AmqpValue::I8(0),
        AmqpValue::U8(1..) => AmqpValue::U8(0),
        _ => return None,
    };
    Some(HeaderValue::Amqp(zero))
}

fn void(value: &HeaderValue) -> Option<HeaderValue> {
    let is_set = *value != HeaderValue::Amqp(AmqpValue::Void);
    is_set.then_some(HeaderValue::Amqp(AmqpValue::Void))
}
