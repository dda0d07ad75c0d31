use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{
    ClusterName, ConsumerGroup, DeadLetterId, ExchangeName, Offset, Partition, QueueName, ReplayId,
    ReplayJobId, RevisionNumber, Timestamp, TopicName, UnknownWord, VhostName,
};

/// Where a replay goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "system", rename_all = "lowercase")]
pub enum Destination {
    Kafka {
        cluster: ClusterName,
        topic: TopicName,
        /// `None`: chosen by murmur2 of the key, as Java producers do.
        partition: Option<Partition>,
    },
    RabbitMq {
        cluster: ClusterName,
        vhost: VhostName,
        /// Empty: the default exchange, whose routing key is the queue name.
        exchange: ExchangeName,
        routing_key: String,
    },
}

impl Destination {
    pub const fn cluster(&self) -> &ClusterName {
        match self {
            Self::Kafka { cluster, .. } | Self::RabbitMq { cluster, .. } => cluster,
        }
    }

    /// The default exchange's route to one queue.
    pub fn queue(cluster: ClusterName, vhost: VhostName, queue: &QueueName) -> Self {
        Self::RabbitMq {
            cluster,
            vhost,
            exchange: ExchangeName::default(),
            routing_key: queue.as_str().to_owned(),
        }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kafka {
                topic,
                partition: Some(partition),
                ..
            } => {
                write!(formatter, "topic {topic}, partition {partition}")
            }
            Self::Kafka {
                topic,
                partition: None,
                ..
            } => write!(formatter, "topic {topic}"),
            Self::RabbitMq {
                exchange,
                routing_key,
                ..
            } if exchange.as_str().is_empty() => {
                write!(formatter, "queue {routing_key}")
            }
            Self::RabbitMq {
                exchange,
                routing_key,
                ..
            } => {
                write!(formatter, "exchange {exchange}, routing key {routing_key}")
            }
        }
    }
}

/// Where a Kafka replay landed, from the delivery report or from the recovery scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Landing {
    pub partition: Partition,
    pub offset: Offset,
}

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
            (S::Planned, E::Sending { at, high_watermark }) => S::Sending {
                started_at: at,
                high_watermark,
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
            (
                state @ (S::Sending { .. }
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

/// One replay of one dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replay {
    pub id: ReplayId,
    pub job: ReplayJobId,
    pub dead_letter: DeadLetterId,
    pub revision: RevisionNumber,
    pub destination: Destination,
    /// How many times this dead letter has been replayed in total, this one included.
    pub attempt: u32,
    pub state: ReplayState,
    pub updated_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Timestamp = Timestamp(1);
    const LANDING: Landing = Landing {
        partition: Partition(0),
        offset: Offset(7),
    };

    fn sent() -> ReplayState {
        ReplayState::Planned
            .advance(ReplayEvent::Sending {
                at: AT,
                high_watermark: None,
            })
            .and_then(|s| {
                s.advance(ReplayEvent::Confirmed {
                    at: AT,
                    landing: Some(LANDING),
                })
            })
            .unwrap()
    }

    fn passed_by(group: &str) -> ReplayEvent {
        ReplayEvent::PassedBy(PassedBy {
            group: group.into(),
            at: AT,
        })
    }

    #[test]
    fn a_replay_is_consumed_only_after_it_passed_and_settled() {
        assert!(sent().advance(ReplayEvent::Settled { at: AT }).is_err());
        let consumed = sent()
            .advance(passed_by("payments"))
            .and_then(|state| state.advance(ReplayEvent::Settled { at: AT }))
            .unwrap();
        assert_eq!(consumed.name(), ReplayStateName::Consumed);
    }

    #[test]
    fn died_again_may_follow_consumed_but_never_the_reverse() {
        let seen = ReplayEvent::SeenInDlq {
            at: AT,
            dead_letter: DeadLetterId(2),
        };
        let died = sent()
            .advance(passed_by("payments"))
            .and_then(|state| state.advance(ReplayEvent::Settled { at: AT }))
            .and_then(|state| state.advance(seen))
            .unwrap();
        assert_eq!(died.name(), ReplayStateName::DiedAgain);
        assert!(
            died.clone()
                .advance(ReplayEvent::Settled { at: AT })
                .is_err()
        );
        assert!(died.advance(passed_by("payments")).is_err());
    }

    #[test]
    fn what_was_sent_is_never_planned_again() {
        assert!(sent().advance(ReplayEvent::ProvenAbsent).is_err());
        assert!(sent().advance(ReplayEvent::SendAgain).is_err());
        assert!(sent().advance(ReplayEvent::Cancel { at: AT }).is_err());
    }

    #[test]
    fn a_group_is_listed_once_however_often_it_commits() {
        let state = sent()
            .advance(passed_by("a"))
            .and_then(|state| state.advance(passed_by("b")))
            .and_then(|state| state.advance(passed_by("a")))
            .unwrap();
        let ReplayState::Passed { by, .. } = state else {
            panic!("{state:?}")
        };
        assert_eq!(
            by.iter().map(|p| p.group.as_str()).collect::<Vec<_>>(),
            ["a", "b"]
        );
    }

    #[test]
    fn every_state_survives_its_stored_form() {
        for name in ReplayStateName::ALL {
            assert_eq!(name.as_str().parse::<ReplayStateName>().unwrap(), name);
        }
        let state = sent();
        let stored = serde_json::to_string(&state).unwrap();
        assert_eq!(serde_json::from_str::<ReplayState>(&stored).unwrap(), state);
    }
}
