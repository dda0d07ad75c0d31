//! RabbitMQ's own account: `x-death`, `x-first-death-*` and `x-last-death-*`.
//!
//! One element stands for all deaths in one queue for one reason; its time, exchange and routing keys
//! are those of the *first* of them. The head is the latest; the rest is in no order on 3.10. The
//! queue that a consumer read is often not the head, because retry queues die too: see [`origin`].
//! Clients may have republished any of it in other types, and anybody may have made it up.

mod history;

pub use history::{is_death_history, original_expiration, previous_deaths};

use super::dialect::{Dialect, KnownHeader, Sign};
use super::{Account, MOST_HOPS, header_values as read};
use crate::domain::{
    AmqpValue, AttemptsKind, DeathReason, Decoded, ExchangeName, HeaderValue, Hop, Message, Origin,
    System,
};

const NAME: &str = "x-death";

const HISTORY: &str = "the broker's history; it would be read as the consumer's own attempts, and \
     RabbitMQ up to 3.13 may drop a replay that carries it";
const DELIVERY: &str =
    "the broker's note about the delivery from the DLQ, which means nothing elsewhere";
const COPIES: &str = "routing keys for copies; a replay that goes straight to a queue would send \
     copies to other queues";
const DELAY: &str = "would delay the replay where the delayed-message plugin is in use";

pub(super) const DIALECT: Dialect = Dialect {
    name: NAME,
    title: "RabbitMQ",
    system: Some(System::RabbitMq),
    sign: Sign::Test(|_| true),
    headers: &[
        KnownHeader::stripped(NAME, "every queue in which it died, and why", HISTORY),
        KnownHeader::stripped("x-first-death-queue", "queue of its first death", HISTORY),
        KnownHeader::stripped("x-first-death-reason", "reason of its first death", HISTORY),
        KnownHeader::stripped(
            "x-first-death-exchange",
            "exchange before its first death",
            HISTORY,
        ),
        KnownHeader::stripped("x-last-death-queue", "queue of its last death", HISTORY),
        KnownHeader::stripped("x-last-death-reason", "reason of its last death", HISTORY),
        KnownHeader::stripped(
            "x-last-death-exchange",
            "exchange before its last death",
            HISTORY,
        ),
        KnownHeader::stripped(
            "x-delivery-count",
            "how often the DLQ delivered it",
            DELIVERY,
        ),
        KnownHeader::stripped(
            "x-acquired-count",
            "how often the DLQ handed it out",
            DELIVERY,
        ),
        KnownHeader::stripped("x-stream-offset", "its place in the stream", DELIVERY),
        KnownHeader::stripped("CC", "further routing keys", COPIES),
        KnownHeader::stripped("BCC", "further routing keys, hidden from receivers", COPIES),
        KnownHeader::stripped("x-delay", "how long the broker was to hold it back", DELAY),
    ],
    decode,
};

const FIRST_DEATH: [&str; 3] = [
    "x-first-death-queue",
    "x-first-death-reason",
    "x-first-death-exchange",
];
/// Written by 3.13 and later.
const LAST_DEATH: [&str; 3] = [
    "x-last-death-queue",
    "x-last-death-reason",
    "x-last-death-exchange",
];
/// A message has one key, and one more for each `CC`.
const MOST_ROUTING_KEYS: usize = 20;

/// Reads the history of a message that lies in `dlq`.
fn decode(dlq: &str, message: &Message) -> Option<Account> {
    let first_death = summary(message, &FIRST_DEATH);
    let mut hops = elements(message);
    if hops.is_empty() {
        let last_death = summary(message, &LAST_DEATH);
        hops.extend(last_death.or_else(|| first_death.clone()));
    }
    let head = hops.first()?;
    let origin_hop = origin(dlq, &hops, first_death.as_ref());
    let reason = match head.reason {
        DeathReason::Expired | DeathReason::Unknown => {
            origin_hop.as_ref().map_or(head.reason, |hop| hop.reason)
        }
        telling => telling,
    };
    Some(Account {
        rank: None,
        decoded: Decoded {
            reason,
            attempts: origin_hop.as_ref().and_then(|hop| hop.attempts),
            origin: origin_hop.map(|hop| hop.origin).unwrap_or_default(),
            first_failed_at: hops.iter().filter_map(|hop| hop.first_failed_at).min(),
            last_failed_at: head.last_failed_at,
            hops,
            ..Decoded::default()
        },
    })
}

/// The death in the queue that a consumer read, to which a replay belongs.
///
/// Only a consumer rejects, so a rejection (or a delivery limit) tells. Without one, the queue of the
/// first death tells, unless it is a retry queue into which a consumer published by itself. A retry
/// queue is never the origin: it would send a replay to everybody who is bound to its target.
fn origin(dlq: &str, hops: &[Hop], first_death: Option<&Hop>) -> Option<Hop> {
    let queue = |hop: &Hop| hop.origin.destination.clone();
    let is_work = |hop: &&Hop| queue(hop).is_some_and(|name| name != dlq && !is_retry_queue(&name));
    let by_consumer = |hop: &&Hop| {
        matches!(
            hop.reason,
            DeathReason::Rejected | DeathReason::DeliveryLimit
        )
    };
    let rejected = hops.iter().filter(by_consumer).find(is_work);
    let first = first_death.filter(is_work).map(|first| {
        hops.iter()
            .find(|hop| queue(hop) == queue(first))
            .unwrap_or(first)
    });
    rejected
        .or(first)
        .or_else(|| hops.iter().find(is_work))
        .cloned()
}

/// Whether people would call the queue a retry or delay queue. The topology knows better, but is not
/// to be asked here; a work queue that is called so only loses its suggestion as the destination.
fn is_retry_queue(name: &str) -> bool {
    name.split(|c: char| !c.is_ascii_alphabetic()).any(|word| {
        ["retry", "retries", "delay", "delayed", "wait", "backoff"]
            .iter()
            .any(|known| word.eq_ignore_ascii_case(known))
    })
}

fn elements(message: &Message) -> Vec<Hop> {
    let Some(HeaderValue::Amqp(value)) = message.header(NAME) else {
        return Vec::new();
    };
    let tables = value.as_array().unwrap_or_default();
    let mut hops: Vec<Hop> = tables.iter().filter_map(element).take(MOST_HOPS).collect();
    if let Some((_, rest)) = hops.split_first_mut() {
        rest.sort_by_key(|hop| std::cmp::Reverse(hop.first_failed_at));
    }
    hops
}

fn element(table: &AmqpValue) -> Option<Hop> {
    let queue = table.field("queue").and_then(read::amqp_name);
    let reason = table.field("reason").and_then(AmqpValue::as_text);
    if queue.is_none() && reason.is_none() {
        return None;
    }
    let integer = |name| table.field(name).and_then(read::amqp_integer);
    let count = integer("count").and_then(read::count);
    let first_failed_at = integer("time").and_then(read::seconds);
    let keys = table.field("routing-keys").and_then(AmqpValue::as_array);
    Some(Hop {
        dialect: NAME.to_owned(),
        origin: Origin {
            destination: queue,
            exchange: table.field("exchange").and_then(read::amqp_exchange),
            routing_keys: routing_keys(keys.unwrap_or_default()),
            ..Origin::default()
        },
        reason: DeathReason::parse(reason.unwrap_or_default()),
        attempts: count.map(|count| (count, AttemptsKind::Deaths)),
        first_failed_at,
        last_failed_at: first_failed_at.filter(|_| count == Some(1)),
        ..Hop::default()
    })
}

/// Keys may be empty: to a fanout exchange they usually are.
fn routing_keys(values: &[AmqpValue]) -> Vec<String> {
    values
        .iter()
        .filter_map(read::amqp_exchange)
        .map(|key| key.as_str().to_owned())
        .take(MOST_ROUTING_KEYS)
        .collect()
}

/// The death that three flat headers describe.
fn summary(message: &Message, [queue, reason, exchange]: &[&str; 3]) -> Option<Hop> {
    let queue = message.header(queue).and_then(read::name)?;
    let exchange = message.header(exchange).and_then(HeaderValue::as_text);
    Some(Hop {
        dialect: NAME.to_owned(),
        origin: Origin {
            destination: Some(queue),
            exchange: exchange.map(ExchangeName::from),
            ..Origin::default()
        },
        reason: DeathReason::parse(message.header_text(reason).unwrap_or_default()),
        ..Hop::default()
    })
}

#[cfg(test)]
mod tests;
