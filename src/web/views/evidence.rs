//! What is known about a replay and how, in a sentence.

use crate::domain::{Destination, Landing, PassedBy, Replay, ReplayState, Timestamp};
use crate::web::markup;

/// The sentence for a replay as it is now.
pub(crate) fn evidence(replay: &Replay, now: Timestamp) -> String {
    let ago = |at: Timestamp| markup::ago_text(at, now);
    match &replay.state {
        ReplayState::Planned => "waits for its turn".to_owned(),
        ReplayState::Sending { started_at, .. } => {
            format!("handed to the broker {}", ago(*started_at))
        }
        ReplayState::Sent { at, landing } => format!(
            "the broker confirmed it {}{}; {}",
            ago(*at),
            landed(*landing),
            what_is_missing(&replay.destination)
        ),
        ReplayState::Passed { landing, by, .. } => format!(
            "{}; it counts as consumed once the DLQ was read without finding it and nothing waits in retry topics",
            passed(by, *landing, now)
        ),
        ReplayState::Consumed {
            landing, by, at, ..
        } => format!(
            "{}, and {} the DLQ had been read beyond that without finding it",
            passed(by, *landing, now),
            ago(*at)
        ),
        ReplayState::DiedAgain {
            at, dead_letter, ..
        } => {
            format!("came back {} as dead letter {dead_letter}", ago(*at))
        }
        ReplayState::NotSeenAgain {
            sent_at,
            landing,
            at,
        } => format!(
            "sent {}{}; until {} {}, which is no proof that it was consumed",
            ago(*sent_at),
            landed(*landing),
            ago(*at),
            what_stayed_away(&replay.destination)
        ),
        ReplayState::Failed { at, reason } => format!("failed {}: {reason}", ago(*at)),
        ReplayState::Unknown { at, reason } => format!(
            "since {} nobody can tell whether it was sent: {reason}",
            ago(*at)
        ),
        ReplayState::Cancelled { at } => format!("cancelled {} before it was sent", ago(*at)),
    }
}

const fn what_is_missing(destination: &Destination) -> &'static str {
    match destination {
        Destination::Kafka { .. } => "no consumer was seen to go beyond it yet",
        Destination::RabbitMq { .. } => {
            "RabbitMQ does not tell who consumed it; if it dies again, it is seen here"
        }
    }
}

const fn what_stayed_away(destination: &Destination) -> &'static str {
    match destination {
        Destination::Kafka { .. } => "neither a commit beyond it nor a death was seen",
        Destination::RabbitMq { .. } => "it did not come back to a DLQ",
    }
}

fn passed(by: &[PassedBy], landing: Landing, now: Timestamp) -> String {
    let named = by.iter().map(|passed| {
        let when = markup::ago_text(passed.at, now);
        format!("{} ({when})", passed.group)
    });
    let groups = named.collect::<Vec<_>>().join(", ");
    format!("{groups} committed beyond it{}", landed(Some(landing)))
}

fn landed(landing: Option<Landing>) -> String {
    landing.map_or_else(String::new, |landing| {
        format!(
            " at partition {}, offset {}",
            landing.partition, landing.offset
        )
    })
}
