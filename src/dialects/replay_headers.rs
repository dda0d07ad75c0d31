//! What a replay leaves behind: the story of the death, which consumers would read as their own.

use serde::Serialize;

use super::{header_values, spring_kafka, x_death, x_error};
use crate::domain::conventions::{self, REPLAY_HEADERS};
use crate::domain::{AmqpProperties, Decoded, Header, Message, System, Timestamp};

/// A header that a replay does not carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StrippedHeader {
    /// Its place in [`Message::headers`].
    pub index: usize,
    /// For people, a sentence without a full stop.
    pub reason: &'static str,
}

/// A basic property that a replay does not carry as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PropertyChange {
    /// The property's name in AMQP, such as `user-id`.
    pub property: &'static str,
    /// For people, a sentence without a full stop.
    pub reason: &'static str,
}

const HISTORY: &str = "the broker's history; it would be read as the consumer's own attempts, and \
     RabbitMQ up to 3.13 may drop a replay that carries it";
const DELIVERY: &str =
    "the broker's note about the delivery from the DLQ, which means nothing elsewhere";
const COPIES: &str = "routing keys for copies; a replay that goes straight to a queue would send \
     copies to other queues";
const DELAY: &str = "would delay the replay where the delayed-message plugin is in use";
const RETRY_COUNTER: &str =
    "the consumer's retry counter; with it the consumer would give up at once";
const ERROR: &str = "describes the death, which the replay is to undo";
const EARLIER_REPLAY: &str = "belongs to an earlier replay; this one writes its own";

/// Counters by which consumers of several frameworks decide to give up.
const RETRY_COUNTERS: [&str; 8] = [
    conventions::RETRY_COUNT,
    // Spring AMQP.
    "retry-count",
    // MassTransit.
    "MT-Redelivery-Count",
    "MT-Fault-RetryCount",
    // Rascal: its `recovery` may say "reject at once".
    "rascal",
    // SmallRye.
    "delayed-retry-count",
    // Watermill.
    "_watermill_requeuer_retries",
    "X-Message-Stamp-Symfony\\Component\\Messenger\\Stamp\\RedeliveryStamp",
];

/// The headers that a replay of this message leaves behind, in order. Everything else is carried in
/// its place, with duplicates, nulls and types.
pub fn headers_stripped_on_replay(system: System, message: &Message) -> Vec<StrippedHeader> {
    let has_error_headers = x_error::is_present(message);
    message
        .headers
        .iter()
        .enumerate()
        .filter_map(|(index, header)| {
            let reason = stripped_everywhere(header, has_error_headers)
                .or_else(|| stripped_on(system, header))?;
            Some(StrippedHeader { index, reason })
        })
        .collect()
}

fn stripped_everywhere(header: &Header, has_error_headers: bool) -> Option<&'static str> {
    if is_one_of(header, &REPLAY_HEADERS) {
        return Some(EARLIER_REPLAY);
    }
    if is_one_of(header, &RETRY_COUNTERS) {
        return Some(RETRY_COUNTER);
    }
    let is_error = has_error_headers && is_one_of(header, &x_error::ERROR_HEADERS)
        || spring_kafka::is_error_header(&header.name);
    is_error.then_some(ERROR)
}

fn stripped_on(system: System, header: &Header) -> Option<&'static str> {
    if system == System::Kafka {
        return None;
    }
    match header.name.as_ref() {
        name if x_death::is_history(name) => Some(HISTORY),
        b"x-delivery-count" | b"x-acquired-count" | b"x-stream-offset" => Some(DELIVERY),
        b"CC" | b"BCC" => Some(COPIES),
        b"x-delay" => Some(DELAY),
        _ => None,
    }
}

fn is_one_of(header: &Header, names: &[&str]) -> bool {
    names.iter().any(|name| name.as_bytes() == header.name)
}

/// The basic properties for a replay over a connection of `connection_user`, and what differs.
///
/// Exchange and routing key stay those of the delivery from the DLQ: the destination replaces them.
pub fn properties_on_replay(
    original: &AmqpProperties,
    connection_user: &str,
) -> (AmqpProperties, Vec<PropertyChange>) {
    let mut properties = original.clone();
    let mut changes = Vec::new();
    let mut change = |property, reason| changes.push(PropertyChange { property, reason });
    if properties
        .user_id
        .as_deref()
        .is_some_and(|user| user != connection_user)
    {
        properties.user_id = None;
        change("user-id", "the broker refuses another user's name");
    }
    if properties.reply_to.as_deref() == Some("amq.rabbitmq.reply-to") {
        properties.reply_to = None;
        change(
            "reply-to",
            "the caller who waited for a direct reply is gone",
        );
    }
    if properties.expiration.take().is_some() {
        change(
            "expiration",
            "the replay could expire before it is consumed",
        );
    }
    if properties.delivery_mode != Some(2) {
        properties.delivery_mode = Some(2);
        change(
            "delivery-mode",
            "a transient message would be lost at a restart",
        );
    }
    (properties, changes)
}

/// The value of header `x-replay-prev-error`: what the stripped headers said, as compact JSON of at
/// most 2 KiB; `None` if they said nothing.
pub fn previous_error(decoded: &Decoded) -> Option<String> {
    if decoded.hops.is_empty() {
        return None;
    }
    // JSON may need six bytes for one of text, so the length is known only afterwards.
    [1_500, 600, 200, 60, 0]
        .into_iter()
        .filter_map(|limit| serde_json::to_string(&PreviousError::of(decoded, limit)).ok())
        .find(|json| json.len() <= LONGEST_PREVIOUS_ERROR)
}

const LONGEST_PREVIOUS_ERROR: usize = 2 * 1024;

#[derive(Serialize)]
struct PreviousError<'a> {
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    class: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempts: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failed_at: Option<String>,
}

impl<'a> PreviousError<'a> {
    fn of(decoded: &'a Decoded, limit: usize) -> Self {
        let cut = |text: &Option<String>, limit| {
            text.as_deref().map(|text| header_values::cut(text, limit))
        };
        Self {
            reason: decoded.reason.as_str(),
            source: cut(&decoded.origin.destination, limit),
            class: cut(&decoded.failure.class, limit.min(200)),
            message: cut(&decoded.failure.message, limit),
            attempts: decoded.attempts.map(|(count, _)| count),
            failed_at: decoded.last_failed_at.map(Timestamp::to_rfc3339),
        }
    }
}

#[cfg(test)]
mod tests;
