//! From a broker's message to a dead letter: decoded, identified, classified.

use super::classify::{by_rule, classify};
use super::pointers::{Fetched, NotFetched};
use crate::config::Config;
use crate::dialects;
use crate::domain::conventions::REPLAY_ID;
use crate::domain::{
    ClusterName, Custody, Decoded, Message, NewDeadLetter, Origin, Position, System, TRIED_AGAIN,
    Timestamp,
};
use crate::event_identity::event_identity;

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

/// Decodes, identifies and classifies. The configured limit cuts bodies that the broker keeps anyway; a
/// message that is taken from its broker is always stored whole.
pub(super) fn dead_letter(found: Found, config: &Config, now: Timestamp) -> NewDeadLetter {
    dead_letter_or_pointer(found, None, config, now)
}

/// Exceptions and messages come from headers, and are hidden with them; where it came from stays.
fn hide_failures(decoded: &mut Decoded, visible: Decoded) {
    decoded.failure = visible.failure;
    let mut failures = visible.hops.into_iter().map(|hop| hop.failure);
    for hop in &mut decoded.hops {
        hop.failure = failures.next().unwrap_or_default();
    }
}

/// The same for what may be a pointer, with what became of the search for its original.
pub(super) fn dead_letter_or_pointer(
    found: Found,
    fetched: Option<Fetched>,
    config: &Config,
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
    let mut decoded = dialects::decode(&position, &message);
    if config.masking.is_on() {
        let visible = dialects::decode(&position, &config.masking.without(&message));
        hide_failures(&mut decoded, visible);
    }
    let is_original = matches!(fetched, Some(Ok(_)));
    let not_fetched = match fetched {
        Some(Ok(original)) => {
            message = original;
            None
        }
        Some(Err(NotFetched::ForNow(reason))) => Some(format!(
            "{}, and {reason}{TRIED_AGAIN}",
            only_a_pointer(&decoded.origin)
        )),
        Some(Err(NotFetched::ForGood(reason))) => Some(not_to_be_had(&decoded.origin, &reason)),
        None if decoded.payload_absent => Some(not_to_be_had(&decoded.origin, "it was not read")),
        None => None,
    };
    let original = dialects::readable(&message);
    let readable = original.as_ref().unwrap_or(&message);
    let event = event_identity(readable, config);
    let classification = by_rule(
        config.grouping.rules(),
        (&cluster, &position),
        &decoded,
        &event,
    )
    .unwrap_or_else(|| classify(position.system(), position.dlq(), &decoded, &event));
    // Only now, since a group stays the same when a guess becomes better.
    guess_source(&position, &mut decoded.origin);
    let replay_id = message
        .header_text(REPLAY_ID)
        .and_then(|text| text.parse().ok());
    let body_limit = config.dead_letters.body_limit_bytes;
    let body_omitted = not_fetched.or_else(|| match custody {
        // It lies in the topic of its origin, which keeps it for nobody.
        _ if is_original => None,
        Custody::Broker | Custody::Stream => {
            omit_large_body(&mut message, body_limit, position.system())
        }
        Custody::Store => None,
    });
    let told = decoded.last_failed_at.or(arrived_at);
    NewDeadLetter {
        dead_at: died_at(position.system(), told, now),
        cluster,
        position,
        message,
        body_omitted,
        decoded,
        event,
        classification,
        custody,
        replay_id,
        redelivered,
    }
}

/// When it died, before it was seen. RabbitMQ tells whole seconds (`x-death`), in which case it is as late as may be: at
/// its beginning the second would often lie before the publish that the death followed.
fn died_at(system: System, told: Option<Timestamp>, now: Timestamp) -> Timestamp {
    let Some(told) = told else { return now };
    let is_whole_second = system == System::RabbitMq && told.0 % 1_000 == 0;
    let latest = if is_whole_second {
        told.end_of_second()
    } else {
        told
    };
    latest.min(now)
}

fn guess_source(position: &Position, origin: &mut Origin) {
    if origin.destination.is_none() {
        let source = dialects::source_by_name(position.system(), position.dlq());
        origin.destination = source.map(str::to_owned);
        origin.guessed = source.is_some();
    }
}

/// What to say of a record that only points to its original (KIP-1191): sent as it is, it would be a
/// tombstone without a key.
fn not_to_be_had(origin: &Origin, why: &str) -> String {
    format!(
        "{}, and {why}; give key and value by an edit, or set errors.deadletterqueue.copy.record.enable = \
         true for the group",
        only_a_pointer(origin)
    )
}

fn only_a_pointer(origin: &Origin) -> String {
    let topic = origin.destination.as_deref().unwrap_or("a topic");
    let partition = origin
        .partition
        .map(|partition| format!(", partition {partition}"));
    let offset = origin.offset.map(|offset| format!(", offset {offset}"));
    format!(
        "the broker dead-lettered only a pointer to {topic}{}{}",
        partition.unwrap_or_default(),
        offset.unwrap_or_default()
    )
}

fn omit_large_body(message: &mut Message, body_limit: usize, system: System) -> Option<String> {
    let length = message.body.as_ref().map_or(0, bytes::Bytes::len);
    if length <= body_limit {
        return None;
    }
    message.body = None;
    let place = match system {
        System::Kafka => {
            "lies in its topic only; fetch it, on its page or by redrive dead-letters fetch-bodies"
        }
        System::RabbitMq => "lies in the broker only",
    };
    Some(format!(
        "its body of {length} bytes is larger than dead_letters.body_limit_bytes = {body_limit} and {place}"
    ))
}

/// Whether a body was left out that is so long, by what [`omit_large_body`] said of it.
pub(super) fn tells_length(omitted: &str, length: usize) -> bool {
    omitted.starts_with(&format!("its body of {length} bytes "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::conventions::{ERROR_CLASS, ORIGINAL_TOPIC};
    use crate::domain::{Header, Offset, Partition};

    fn letter_in(topic: &str, headers: &[(&str, &str)]) -> NewDeadLetter {
        let headers = headers
            .iter()
            .map(|(name, value)| Header::text(name, *value));
        let found = Found {
            cluster: "main".into(),
            position: Position::Kafka {
                topic: topic.into(),
                topic_id: None,
                partition: Partition(0),
                offset: Offset(0),
            },
            message: Message {
                headers: headers.collect(),
                ..Message::default()
            },
            arrived_at: None,
            custody: Custody::Broker,
            redelivered: false,
        };
        dead_letter(found, &Config::default(), Timestamp(0))
    }

    #[test]
    fn a_source_that_no_header_tells_is_guessed_and_called_so() {
        let check = |topic, headers, expected: (Option<&str>, bool)| {
            let origin = letter_in(topic, headers).decoded.origin;
            let found = (origin.destination.as_deref(), origin.guessed);
            assert_eq!(found, expected, "{topic}");
        };
        check("orders.dlq", &[], (Some("orders"), true));
        check("failures", &[], (None, false));
        let told = [(ERROR_CLASS, "E"), (ORIGINAL_TOPIC, "shipments")];
        check("orders.dlq", &told, (Some("shipments"), false));
    }

    #[test]
    fn a_death_of_rabbitmq_is_as_late_in_its_second_as_may_be() {
        let check = |system, told: Option<i64>, expected| {
            let found = died_at(system, told.map(Timestamp), Timestamp(5_400));
            assert_eq!(found, Timestamp(expected), "{system:?} {told:?}");
        };
        check(System::RabbitMq, Some(3_000), 3_999);
        check(System::RabbitMq, Some(5_000), 5_400);
        check(System::RabbitMq, Some(3_001), 3_001);
        check(System::RabbitMq, Some(9_000), 5_400);
        check(System::RabbitMq, None, 5_400);
        check(System::Kafka, Some(3_000), 3_000);
        check(System::Kafka, Some(9_000), 5_400);
    }

    #[test]
    fn a_guess_makes_no_group() {
        let explanation = letter_in("orders.dlq", &[]).classification.explanation;
        assert!(
            explanation.ends_with("among dead letters in orders.dlq"),
            "{explanation}"
        );
    }
}
