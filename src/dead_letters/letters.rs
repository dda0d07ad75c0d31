//! From a broker's message to a dead letter: decoded, identified, classified.

use super::{classify::classify, identity::event_identity, pointers::Fetched};
use crate::dialects;
use crate::domain::conventions::REPLAY_ID;
use crate::domain::{ClusterName, Custody, Message, NewDeadLetter, Origin, Position, Timestamp};

/// A message as it was found in a DLQ.
pub(super) struct Found {
    pub(super) cluster: ClusterName,
    pub(super) position: Position,
    pub(super) message: Message,
    /// The broker's own time of its arrival, where there is one.
    pub(super) arrived_at: Option<Timestamp>,
    pub(super) custody: Custody,
    pub(super) redelivered: bool,
}

/// Decodes, identifies and classifies. `body_limit` cuts what the broker keeps anyway; a message that
/// is taken from its broker is always stored whole.
pub(super) fn dead_letter(found: Found, body_limit: usize, now: Timestamp) -> NewDeadLetter {
    dead_letter_or_pointer(found, None, body_limit, now)
}

/// The same for what may be a pointer, with what became of the search for its original.
pub(super) fn dead_letter_or_pointer(
    found: Found,
    fetched: Option<Fetched>,
    body_limit: usize,
    now: Timestamp,
) -> NewDeadLetter {
    let Found {
        cluster,
        position,
        mut message,
        arrived_at,
        custody,
        redelivered,
    } = found;
    let decoded = dialects::decode(&position, &message);
    let not_fetched = match fetched {
        Some(Ok(original)) => {
            message = original;
            None
        }
        Some(Err(reason)) => Some(points_elsewhere(&decoded.origin, &reason)),
        None if decoded.payload_absent => {
            Some(points_elsewhere(&decoded.origin, "it was not read"))
        }
        None => None,
    };
    let original = dialects::unwrapped(&message).map(|(original, _)| original);
    let event = event_identity(original.as_ref().unwrap_or(&message));
    let classification = classify(position.system(), position.dlq(), &decoded, &event);
    let replay_id = message
        .header_text(REPLAY_ID)
        .and_then(|text| text.parse().ok());
    let body_omitted = not_fetched.or_else(|| match custody {
        Custody::Broker | Custody::Stream => omit_large_body(&mut message, body_limit),
        Custody::Store => None,
    });
    NewDeadLetter {
        cluster,
        position,
        message,
        body_omitted,
        dead_at: decoded
            .last_failed_at
            .or(arrived_at)
            .unwrap_or(now)
            .min(now),
        decoded,
        event,
        classification,
        custody,
        replay_id,
        redelivered,
    }
}

/// What to say of a record that only points to its original (KIP-1191): sent as it is, it would be a
/// tombstone without a key.
fn points_elsewhere(origin: &Origin, why: &str) -> String {
    let topic = origin.destination.as_deref().unwrap_or("a topic");
    let partition = origin
        .partition
        .map(|partition| format!(", partition {partition}"));
    let offset = origin.offset.map(|offset| format!(", offset {offset}"));
    format!(
        "the broker dead-lettered only a pointer to {topic}{}{}, and {why}; give key and value by an \
         edit, or set errors.deadletterqueue.copy.record.enable = true for the group",
        partition.unwrap_or_default(),
        offset.unwrap_or_default()
    )
}

fn omit_large_body(message: &mut Message, body_limit: usize) -> Option<String> {
    let length = message.body.as_ref().map_or(0, bytes::Bytes::len);
    if length <= body_limit {
        return None;
    }
    message.body = None;
    Some(format!(
        "its body of {length} bytes is larger than dead_letters.body_limit_bytes = {body_limit}; it \
         lies in the broker only"
    ))
}
