//! From a broker's message to a dead letter: decoded, identified, classified.

use super::{classify::classify, identity::event_identity};
use crate::dialects;
use crate::domain::conventions::REPLAY_ID;
use crate::domain::{ClusterName, Custody, Message, NewDeadLetter, Position, Timestamp};

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
    let Found {
        cluster,
        position,
        mut message,
        arrived_at,
        custody,
        redelivered,
    } = found;
    let decoded = dialects::decode(&position, &message);
    let event = event_identity(&message);
    let classification = classify(position.system(), position.dlq(), &decoded, &event);
    let replay_id = message
        .header_text(REPLAY_ID)
        .and_then(|text| text.parse().ok());
    let body_omitted = match custody {
        Custody::Broker => omit_large_body(&mut message, body_limit),
        Custody::Store => None,
    };
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
