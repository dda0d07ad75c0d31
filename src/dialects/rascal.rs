//! Rascal (Node.js): one table header. Its `recovery` may tell the consumer to reject at once.

use super::dialect::{Dialect, KnownHeader, OnReplay, Sign};
use super::{Account, header_values as read};
use crate::domain::{
    AmqpValue, AttemptsKind, DeathReason, ExchangeName, Failure, HeaderValue, Hop, Message, Origin,
    System,
};

const NAME: &str = "rascal";

pub(super) const DIALECT: Dialect = Dialect {
    name: NAME,
    title: "Rascal",
    system: Some(System::RabbitMq),
    sign: Sign::AnyOf(&[NAME]),
    headers: &[KnownHeader {
        name: NAME,
        meaning: "where the message was first, the error, and how often Rascal recovered it",
        on_replay: OnReplay::Change(
            "goes along without its recovery, which would make the consumer give up at once",
            without_recovery,
        ),
        number: None,
    }],
    decode,
};

fn decode(_: &str, message: &Message) -> Option<Account> {
    let HeaderValue::Amqp(table @ AmqpValue::Table(_)) = message.header(NAME)? else {
        return None;
    };
    let field = |name| table.field(name).and_then(read::amqp_name);
    let error = table.field("error");
    let error_field = |name| {
        let text = error?.field(name)?.as_text()?;
        Some(read::cut_message(text))
    };
    let queue = field("originalQueue");
    let recovery = queue
        .as_deref()
        .and_then(|queue| table.field("recovery")?.field(queue));
    let count = |name| recovery?.field(name).and_then(read::amqp_integer);
    let republished = count("republished").or_else(|| count("forwarded"));
    let hop = Hop {
        dialect: NAME.to_owned(),
        origin: Origin {
            destination: queue,
            exchange: field("originalExchange").map(|name| ExchangeName::from(name.as_str())),
            routing_keys: field("originalRoutingKey").into_iter().collect(),
            ..Origin::default()
        },
        failure: Failure {
            class: error_field("code"),
            message: error_field("message"),
            ..Failure::default()
        },
        reason: DeathReason::Exception,
        attempts: republished
            .and_then(read::count)
            .map(|count| (count, AttemptsKind::Retries)),
        ..Hop::default()
    };
    Account::of_hops(vec![hop], None)
}

fn without_recovery(value: &HeaderValue) -> Option<HeaderValue> {
    let HeaderValue::Amqp(AmqpValue::Table(fields)) = value else {
        return None;
    };
    let is_kept = |name: &str| !matches!(name, "recovery" | "error" | "redeliveries");
    let kept = fields.iter().filter(|(name, _)| is_kept(name)).cloned();
    Some(HeaderValue::Amqp(AmqpValue::Table(kept.collect())))
}
