use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

use super::{ConsumerGroup, DeadLetterId, Landing, Timestamp, UnknownWord};

/// One group whose committed offset went beyond the replayed record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassedBy {
    pub group: ConsumerGroup,
    pub at: Timestamp,
}

/// The states of a replay with what each knows. Only [`ReplayState::advance`] changes one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum ReplayState {
    Planned,
    /// Committed before the first byte leaves. From here on a crash has to prove what became of it.
    Sending {
        started_at: Timestamp,
        /// Kafka: the high watermark of the destination partition before sending.
        high_watermark: Option<Landing>,
        /// Kafka: which topic of that name it was, if that is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        topic_id: Option<Uuid>,
    },
    /// The broker confirmed it.
    Sent {
        at: Timestamp,
        landing: Option<Landing>,
    },
    /// At least one consumer group committed beyond it. It may still die again.
    Passed {
        sent_at: Timestamp,
        landing: Landing,
        by: Vec<PassedBy>,
    },
    /// Passed, and intake has since read the DLQ beyond its end without finding it.
    Consumed {
        sent_at: Timestamp,
        landing: Landing,
        by: Vec<PassedBy>,
        at: Timestamp,
    },
    /// It is back in a DLQ.
    DiedAgain {
        /// Absent where it was uncertain whether it was sent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sent_at: Option<Timestamp>,
        at: Timestamp,
        dead_letter: DeadLetterId,
    },
    /// Sent, and neither a commit nor a death was seen for the configured time. Not a success.
    NotSeenAgain {
        sent_at: Timestamp,
        landing: Option<Landing>,
        at: Timestamp,
    },
    /// Nothing reached the destination; the dead letter is open again.
    Failed {
        at: Timestamp,
        reason: String,
    },
    /// It may or may not have been sent; waits for evidence or for a person.
    Unknown {
        at: Timestamp,
        reason: String,
    },
    Cancelled {
        at: Timestamp,
    },
}

/// What happened to a replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplayEvent {
    Sending {
        at: Timestamp,
        high_watermark: Option<Landing>,
        topic_id: Option<Uuid>,
    },
    Confirmed {
        at: Timestamp,
        landing: Option<Landing>,
    },
    Refused {
        at: Timestamp,
        reason: String,
    },
    /// Proven: nothing reached the destination, so it may be sent again under the same ID.
    ProvenAbsent,
    /// A person decided that an unknown replay shall be sent again.
    SendAgain,
    /// A person decided that an unknown replay did arrive.
    AcceptAsSent {
        at: Timestamp,
    },
    /// A person decided that an unknown replay never arrived.
    AcceptAsFailed {
        at: Timestamp,
    },
    Unprovable {
        at: Timestamp,
        reason: String,
    },
    PassedBy(PassedBy),
    /// Intake read the DLQs beyond their end after the pass and the settle time is over.
    Settled {
        at: Timestamp,
    },
    SeenInDlq {
        at: Timestamp,
        dead_letter: DeadLetterId,
    },
    Silence {
        at: Timestamp,
    },
    Cancel {
        at: Timestamp,
    },
}

/// A transition that would contradict what is already known.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("a replay that is {state} cannot take the event {event:?}")]
pub struct IllegalTransition {
    pub state: ReplayStateName,
    pub event: Box<ReplayEvent>,
}

impl ReplayState {
    /// The next state, or a refusal that leaves everything as it was.
    #[expect(
        clippy::too_many_lines,
        reason = "one table of all transitions reads best whole"
    )]
    pub fn advance(self, event: ReplayEvent) -> Result<Self, IllegalTransition> {
        use ReplayEvent as E;
        use ReplayState as S;
        Ok(match (self, event) {
            (
                S::Planned,
                E::Sending {
                    at,
                    high_watermark,
                    topic_id,
                },
            ) => S::Sending {
                started_at: at,
                high_watermark,
                topic_id,
            },
            (S::Planned, E::Cancel { at }) => S::Cancelled { at },
            (S::Planned | S::Sending { .. }, E::Refused { at, reason }) => S::Failed { at, reason },
            (S::Sending { .. } | S::Unknown { .. }, E::Confirmed { at, landing }) => {
                S::Sent { at, landing }
            }
            (S::Sending { .. } | S::Unknown { .. }, E::ProvenAbsent)
            | (S::Unknown { .. }, E::SendAgain) => S::Planned,
            (S::Sending { .. }, E::Unprovable { at, reason }) => S::Unknown { at, reason },
            (S::Unknown { .. }, E::AcceptAsSent { at }) => S::Sent { at, landing: None },
            (S::Unknown { .. }, E::AcceptAsFailed { at }) => S::Failed {
                at,
                reason: "a person decided that it never arrived".to_owned(),
            },
            (
                S::Sent {
                    at: sent_at,
                    landing: Some(landing),
                }
                | S::NotSeenAgain {
                    sent_at,
                    landing: Some(landing),
                    ..
                },
                E::PassedBy(passed),
            ) => S::Passed {
                sent_at,
                landing,
                by: vec![passed],
            },
            (
                S::Passed {
                    sent_at,
                    landing,
                    by,
                },
                E::PassedBy(passed),
            ) => S::Passed {
                sent_at,
                landing,
                by: with_group(by, passed),
            },
            (
                S::Consumed {
                    sent_at,
                    landing,
                    by,
                    at,
                },
                E::PassedBy(passed),
            ) => S::Consumed {
                sent_at,
                landing,
                by: with_group(by, passed),
                at,
            },
            (
                S::Passed {
                    sent_at,
                    landing,
                    by,
                },
                E::Settled { at },
            ) => S::Consumed {
                sent_at,
                landing,
                by,
                at,
            },
            (
                S::Sent {
                    at: sent_at,
                    landing,
                },
                E::Silence { at },
            ) => S::NotSeenAgain {
                sent_at,
                landing,
                at,
            },
            // Also of what somebody, or an error, took for not sent.
            (
                state @ (S::Planned
                | S::Failed { .. }
                | S::Cancelled { .. }
                | S::Sending { .. }
                | S::Sent { .. }
                | S::Passed { .. }
                | S::Consumed { .. }
                | S::NotSeenAgain { .. }
                | S::Unknown { .. }),
                E::SeenInDlq { at, dead_letter },
            ) => S::DiedAgain {
                sent_at: state.sent_at(),
                at,
                dead_letter,
            },
            (state, event) => {
                return Err(IllegalTransition {
                    state: state.name(),
                    event: Box::new(event),
                });
            }
        })
    }

    /// When it was sent, as far as that is known.
    pub const fn sent_at(&self) -> Option<Timestamp> {
        match self {
            Self::Sent { at: sent_at, .. }
            | Self::Passed { sent_at, .. }
            | Self::Consumed { sent_at, .. }
            | Self::NotSeenAgain { sent_at, .. } => Some(*sent_at),
            Self::Sending { started_at, .. } => Some(*started_at),
            Self::DiedAgain { sent_at, .. } => *sent_at,
            Self::Planned | Self::Failed { .. } | Self::Unknown { .. } | Self::Cancelled { .. } => {
                None
            }
        }
    }

    pub const fn name(&self) -> ReplayStateName {
        match self {
            Self::Planned => ReplayStateName::Planned,
            Self::Sending { .. } => ReplayStateName::Sending,
            Self::Sent { .. } => ReplayStateName::Sent,
            Self::Passed { .. } => ReplayStateName::Passed,
            Self::Consumed { .. } => ReplayStateName::Consumed,
            Self::DiedAgain { .. } => ReplayStateName::DiedAgain,
            Self::NotSeenAgain { .. } => ReplayStateName::NotSeenAgain,
            Self::Failed { .. } => ReplayStateName::Failed,
            Self::Unknown { .. } => ReplayStateName::Unknown,
            Self::Cancelled { .. } => ReplayStateName::Cancelled,
        }
    }
}

fn with_group(mut by: Vec<PassedBy>, passed: PassedBy) -> Vec<PassedBy> {
    if !by.iter().any(|known| known.group == passed.group) {
        by.push(passed);
    }
    by
}

/// The state without its data: a column, a label, a badge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplayStateName {
    Planned,
    Sending,
    Sent,
    Passed,
    Consumed,
    DiedAgain,
    NotSeenAgain,
    Failed,
    Unknown,
    Cancelled,
}

impl ReplayStateName {
    pub const ALL: [Self; 10] = [
        Self::Planned,
        Self::Sending,
        Self::Sent,
        Self::Passed,
        Self::Consumed,
        Self::DiedAgain,
        Self::NotSeenAgain,
        Self::Failed,
        Self::Unknown,
        Self::Cancelled,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Sending => "sending",
            Self::Sent => "sent",
            Self::Passed => "passed",
            Self::Consumed => "consumed",
            Self::DiedAgain => "died_again",
            Self::NotSeenAgain => "not_seen_again",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether the replay still holds its dead letter: a second replay would risk sending it twice.
    pub const fn is_active(self) -> bool {
        matches!(self, Self::Planned | Self::Sending | Self::Unknown)
    }
}

impl fmt::Display for ReplayStateName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for ReplayStateName {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|name| name.as_str() == text)
            .ok_or_else(|| UnknownWord {
                word: text.to_owned(),
                expected: "planned, sending, sent, passed, consumed, died_again, not_seen_again, \
                       failed, unknown, cancelled",
            })
    }
}

#[cfg(test)]
mod tests;
