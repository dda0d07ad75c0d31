use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    AttemptsKind, ClusterName, ConsumerGroup, DeadLetterId, DeathReason, Decoded, FailureGroupId,
    Message, Offset, Partition, QueueName, ReplayId, RevisionNumber, System, Timestamp, TopicName,
    VhostName,
};

/// Where a dead letter lay in its broker, which is its identity.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "system", rename_all = "lowercase")]
pub enum Position {
    Kafka {
        topic: TopicName,
        /// Tells a recreated topic from its namesake; `None` from brokers before 2.8.
        topic_id: Option<Uuid>,
        partition: Partition,
        offset: Offset,
    },
    RabbitMq {
        vhost: VhostName,
        queue: QueueName,
        /// SHA-256 in hex of everything about the message that a redelivery does not change
        /// (broker-facts C.4). Equal fingerprints form a multiset: this is no unique key.
        fingerprint: String,
    },
}

impl Position {
    pub const fn system(&self) -> System {
        match self {
            Self::Kafka { .. } => System::Kafka,
            Self::RabbitMq { .. } => System::RabbitMq,
        }
    }

    /// The DLQ: the topic, or the queue without its virtual host.
    pub fn dlq(&self) -> &str {
        match self {
            Self::Kafka { topic, .. } => topic.as_str(),
            Self::RabbitMq { queue, .. } => queue.as_str(),
        }
    }

    /// The value of header `x-replay-source` for a replay of what lies here.
    pub fn replay_source(&self, cluster: &ClusterName) -> String {
        match self {
            Self::Kafka {
                topic,
                partition,
                offset,
                ..
            } => {
                format!("kafka:{cluster}/{topic}/{partition}@{offset}")
            }
            Self::RabbitMq {
                vhost,
                queue,
                fingerprint,
            } => {
                format!(
                    "amqp:{vhost}/{queue}#{}",
                    fingerprint.get(..16).unwrap_or(fingerprint)
                )
            }
        }
    }
}

/// The business identity of an event, read from its headers and then from its JSON body.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EventIdentity {
    pub event_id: Option<String>,
    pub event_type: Option<String>,
    pub correlation_id: Option<String>,
    pub causation_id: Option<String>,
    pub aggregate_id: Option<String>,
}

/// The failure group of a dead letter and how it was derived.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Classification {
    pub group: FailureGroupId,
    /// What the page shows as the group's name: exception and parameterised message.
    pub title: String,
    /// "grouped by …".
    pub explanation: String,
}

/// Who holds the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Custody {
    /// The broker keeps it and the store indexes it: a Kafka topic, or an observed RabbitMQ queue.
    Broker,
    /// The message was taken from its RabbitMQ queue; the store is the record.
    Store,
    /// A RabbitMQ stream keeps it, whatever is done with the dead letter.
    Stream,
}

impl Custody {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Broker => "broker",
            Self::Store => "store",
            Self::Stream => "stream",
        }
    }

    /// The inverse of [`Custody::as_str`].
    pub fn parse(text: &str) -> Self {
        match text {
            "store" => Self::Store,
            "stream" => Self::Stream,
            _ => Self::Broker,
        }
    }
}

/// The order of a list of dead letters. Both are that in which Redrive took them in: only that is an order of the
/// rows and of the full-text index alike, so a page of any filter ends after its rows and nothing is sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeadLetterOrder {
    #[default]
    Newest,
    Oldest,
}

impl DeadLetterOrder {
    pub const ALL: [Self; 2] = [Self::Newest, Self::Oldest];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Newest => "newest",
            Self::Oldest => "oldest",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|order| order.as_str() == text)
    }
}

/// A dead letter on its way into the store.
#[derive(Clone, Debug)]
pub struct NewDeadLetter {
    pub cluster: ClusterName,
    pub position: Position,
    pub message: Message,
    /// Why the whole body is not in `message`, for example because it exceeds the limit.
    pub body_omitted: Option<String>,
    /// When it arrived in the DLQ: the record's timestamp on Kafka; on RabbitMQ the last death, or
    /// else the time at which it was seen.
    pub dead_at: Timestamp,
    pub decoded: Decoded,
    pub event: EventIdentity,
    pub classification: Classification,
    pub custody: Custody,
    /// Header `x-replay-id`: this message is a replay of ours that died again.
    pub replay_id: Option<ReplayId>,
    /// RabbitMQ delivered it with `redelivered = true`, so it may already be stored.
    pub redelivered: bool,
}

impl NewDeadLetter {
    /// See [`DeadLetter::has_body_in_topic`].
    pub fn has_body_in_topic(&self) -> bool {
        let place = (self.position.system(), self.custody);
        lies_in_topic(self.body_omitted.as_deref(), &self.decoded, place)
    }
}

/// What a dead letter waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeadLetterStatus {
    /// Nothing was done about it yet, or its last replay failed or was cancelled. What died again stays
    /// replayed; its successor in the DLQ is the open one.
    Open,
    /// A replay of it is planned, being sent, or unknown.
    Replaying,
    /// A replay of it was sent; its outcome is in the replay's state.
    Replayed,
    /// RabbitMQ, observed queues: it was not in the last window.
    Gone,
    /// A person put it aside, with a reason and for a time; it can be restored.
    Discarded,
}

impl DeadLetterStatus {
    pub const ALL: [Self; 5] = [
        Self::Open,
        Self::Replaying,
        Self::Replayed,
        Self::Gone,
        Self::Discarded,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Replaying => "replaying",
            Self::Replayed => "replayed",
            Self::Gone => "gone",
            Self::Discarded => "discarded",
        }
    }
}

impl fmt::Display for DeadLetterStatus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A word that is none of the known ones.
#[derive(Debug, thiserror::Error)]
#[error("{word:?} is none of {expected}")]
pub struct UnknownWord {
    pub word: String,
    pub expected: &'static str,
}

impl FromStr for DeadLetterStatus {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or_else(|| UnknownWord {
                word: text.to_owned(),
                expected: "open, replaying, replayed, gone, discarded",
            })
    }
}

/// What lists show of a dead letter: no body, no headers.
#[derive(Clone, Debug)]
pub struct DeadLetterSummary {
    pub id: DeadLetterId,
    pub cluster: ClusterName,
    pub position: Position,
    pub status: DeadLetterStatus,
    pub custody: Custody,
    pub dead_at: Timestamp,
    /// When the store first held it.
    pub indexed_at: Timestamp,
    pub reason: DeathReason,
    /// Topic or queue of origin.
    pub source: Option<String>,
    pub consumer: Option<ConsumerGroup>,
    pub failure_class: Option<String>,
    pub failure_message: Option<String>,
    pub event: EventIdentity,
    pub group: FailureGroupId,
    /// Bytes of key, body and headers.
    pub size: u64,
    pub attempts: Option<(u64, AttemptsKind)>,
    /// Highest revision; 0 if it was never edited.
    pub latest_revision: RevisionNumber,
    /// The replay that brought it back here, if it is a replay that died again.
    pub died_from_replay: Option<ReplayId>,
    /// The stored row that it may repeat (RabbitMQ redelivery, broker-facts C.4).
    pub possible_duplicate_of: Option<DeadLetterId>,
}

impl DeadLetterSummary {
    /// Its message is in a RabbitMQ queue that Redrive only observes, so that a replay would be a second
    /// copy of it.
    pub fn lies_in_observed_queue(&self) -> bool {
        self.custody == Custody::Broker && self.position.system() == System::RabbitMq
    }
}

/// Everything the store holds about one dead letter.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    pub summary: DeadLetterSummary,
    pub message: Message,
    pub body_omitted: Option<String>,
    pub decoded: Decoded,
    pub group_title: String,
    pub group_explanation: String,
}

impl DeadLetter {
    /// Its body lies in a Kafka topic, from where it can be fetched until retention removes it there: it was too
    /// large for the store, or the record only points to another (KIP-1191), which could not be read for now.
    pub fn has_body_in_topic(&self) -> bool {
        let place = (self.summary.position.system(), self.summary.custody);
        lies_in_topic(self.body_omitted.as_deref(), &self.decoded, place)
    }
}

fn lies_in_topic(omitted: Option<&str>, decoded: &Decoded, place: (System, Custody)) -> bool {
    let is_there = |why: &str| !decoded.payload_absent || why.ends_with(TRIED_AGAIN);
    omitted.is_some_and(is_there) && place == (System::Kafka, Custody::Broker)
}

/// How the reason ends for which the original of a pointer is not here, if it may be had later.
pub const TRIED_AGAIN: &str = "; Redrive tries again by itself";

/// An edit: the whole message as it shall be replayed.
#[derive(Clone, Debug)]
pub struct Revision {
    pub dead_letter: DeadLetterId,
    pub number: RevisionNumber,
    pub message: Message,
    pub author: String,
    pub created_at: Timestamp,
    pub note: Option<String>,
}
