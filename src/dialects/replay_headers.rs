//! What a replay leaves behind: the story of the death, which consumers would read as their own.

use serde::Serialize;

use super::dialect::{Dialect, KnownHeader, OnReplay};
use super::{header_values, present_dialects};
use crate::domain::conventions::REPLAY_HEADERS;
use crate::domain::{AmqpProperties, HeaderValue, LastDeath, Message, System, Timestamp};

/// A header that a replay does not carry as it is.
#[derive(Clone, Debug, PartialEq)]
pub struct StrippedHeader {
    /// Its place in [`Message::headers`].
    pub index: usize,
    /// For people, a sentence without a full stop.
    pub reason: &'static str,
    /// What the replay carries under the name instead; `None` for nothing.
    pub instead: Option<HeaderValue>,
}

impl StrippedHeader {
    const fn left_out(index: usize, reason: &'static str) -> Self {
        Self {
            index,
            reason,
            instead: None,
        }
    }
}

/// A basic property that a replay does not carry as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PropertyChange {
    /// The property's name in AMQP, such as `user-id`.
    pub property: &'static str,
    /// For people, a sentence without a full stop.
    pub reason: &'static str,
}

const EARLIER_REPLAY: &str = "belongs to an earlier replay; this one writes its own";

/// The headers that a replay of this message leaves behind or changes, in order, as the dialects that
/// are present demand. Everything else is carried in its place, with duplicates, nulls and types.
pub fn headers_stripped_on_replay(system: System, message: &Message) -> Vec<StrippedHeader> {
    let present: Vec<&Dialect> = present_dialects(system, message).collect();
    let headers = message.headers.iter().enumerate();
    headers
        .filter_map(|(index, header)| {
            if REPLAY_HEADERS
                .iter()
                .any(|name| name.as_bytes() == header.name)
            {
                return Some(StrippedHeader::left_out(index, EARLIER_REPLAY));
            }
            let mut demands = present
                .iter()
                .filter_map(|dialect| dialect.header(&header.name));
            demands.find_map(|known| on_replay(message, index, known))
        })
        .collect()
}

fn on_replay(message: &Message, index: usize, known: &KnownHeader) -> Option<StrippedHeader> {
    let header = &message.headers[index];
    match &known.on_replay {
        OnReplay::Keep => None,
        OnReplay::Strip(reason) => Some(StrippedHeader::left_out(index, reason)),
        OnReplay::KeepLast(reason) => {
            let mut later = message.headers[index + 1..].iter();
            later
                .any(|later| later.name == header.name)
                .then(|| StrippedHeader::left_out(index, reason))
        }
        OnReplay::Change(reason, change) => Some(StrippedHeader {
            index,
            reason,
            instead: Some(change(&header.value)?),
        }),
    }
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
pub fn previous_error(death: &LastDeath) -> Option<String> {
    if !death.is_told {
        return None;
    }
    // JSON may need six bytes for one of text, so the length is known only afterwards.
    [1_500, 600, 200, 60, 0]
        .into_iter()
        .filter_map(|limit| serde_json::to_string(&PreviousError::of(death, limit)).ok())
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
    fn of(death: &'a LastDeath, limit: usize) -> Self {
        let cut = |text: &Option<String>, limit| {
            text.as_deref().map(|text| header_values::cut(text, limit))
        };
        Self {
            reason: death.reason.as_str(),
            source: cut(&death.origin.destination, limit),
            class: cut(&death.failure.class, limit.min(200)),
            message: cut(&death.failure.message, limit),
            attempts: death.attempts.map(|(count, _)| count),
            failed_at: death.last_failed_at.map(Timestamp::to_rfc3339),
        }
    }
}

#[cfg(test)]
mod tests;
