//! What people ask of a replay and what they are told before and after they confirm it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::domain::{
    ClusterName, ConsumerGroup, DeadLetterId, Destination, ExchangeName, Filter, QueueName,
    ReplayId, ReplayJobId, ReplayOptions, RevisionNumber, Timestamp, TopicName, VhostName,
};
use crate::store::{RefusedReplay, StoreError};

/// What shall be replayed, and whereto.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayRequest {
    pub selection: Selection,
    pub revision: RevisionChoice,
    pub destination: DestinationChoice,
    pub options: ReplayOptions,
}

/// Which dead letters are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// Exactly these; one that is named twice is replayed once.
    DeadLetters(Vec<DeadLetterId>),
    /// All that match when the job is confirmed, without those that were replayed already.
    Filter(Filter),
}

/// Which text of a dead letter is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RevisionChoice {
    /// The newest edit, or the original if there is none.
    #[default]
    Latest,
    /// This one; 0 is the original. A dead letter without it is refused.
    Number(RevisionNumber),
}

/// Where replays go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DestinationChoice {
    /// Where each message came from: its Kafka topic and partition, or, by the default exchange, the
    /// RabbitMQ queue in which it died. A dead letter whose headers do not tell is refused.
    #[default]
    Original,
    /// A topic; each record gets the partition of its key.
    KafkaTopic {
        cluster: ClusterName,
        topic: TopicName,
    },
    /// One queue, reached by the default exchange: nobody else gets a copy.
    Queue {
        cluster: ClusterName,
        vhost: VhostName,
        queue: QueueName,
    },
    /// An exchange: every queue that it routes the key to gets a copy.
    Exchange {
        cluster: ClusterName,
        vhost: VhostName,
        exchange: ExchangeName,
        routing_key: String,
    },
}

/// Who asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    pub name: String,
    /// The address from which they asked, for the audit.
    pub address: String,
}

/// The unknown replays that somebody saw before deciding about all of them.
#[derive(Clone, Copy, Debug)]
pub struct SeenUnknown {
    /// What is unknown only since then is not decided.
    pub through: Timestamp,
    /// With another number nothing is decided. `None` if nobody counted them.
    pub count: Option<u64>,
}

/// What a person decides about a replay that is *unknown*.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Under the same replay ID; consumers that know it may drop the second copy.
    SendAgain,
    AcceptAsSent,
    /// The dead letter is open again.
    AcceptAsFailed,
}

impl Decision {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SendAgain => "send_again",
            Self::AcceptAsSent => "accept_as_sent",
            Self::AcceptAsFailed => "accept_as_failed",
        }
    }
}

/// What a replay would do, shown before anybody confirms it. Nothing was written for it.
#[derive(Clone, Debug, Default)]
pub struct Preflight {
    /// How many dead letters the selection names or matches.
    pub matching: u64,
    /// Events that would be sent.
    pub eligible: u64,
    /// Of these, events that were sent before, by an earlier replay, and were named nevertheless.
    pub already_replayed: u64,
    /// Events that are refused, by the kind of reason.
    pub refused: BTreeMap<RefusalKind, u64>,
    /// The first thousand, in the order in which they would be sent.
    pub events: Vec<PreflightEvent>,
    /// Who will receive the replays, one for each destination, those of most events first.
    pub audiences: Vec<Audience>,
    /// What the options of the request may do, sentences without a full stop.
    pub cautions: Vec<String>,
}

/// What would happen to one dead letter.
#[derive(Clone, Debug)]
pub struct PreflightEvent {
    pub dead_letter: DeadLetterId,
    pub revision: RevisionNumber,
    /// An earlier replay of it was sent.
    pub replayed_before: bool,
    pub verdict: Result<Destination, Refusal>,
    /// What the person should know: "the topic could not be checked, Kafka does not answer".
    pub warnings: Vec<String>,
}

/// Why a dead letter cannot be replayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub kind: RefusalKind,
    /// For people, a sentence without a full stop.
    pub reason: String,
}

/// The kinds of refusals, for the numbers above the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalKind {
    /// A replay of it is planned, being sent, or unknown.
    Active,
    /// It was sent before. A filter leaves it out; whoever names it may send it again.
    AlreadyReplayed,
    /// It has left its queue, or was never there.
    Gone,
    /// Its headers do not tell where it came from, or that place does not exist.
    NoDestination,
    /// The destination's cluster forbids writes, is not configured, or is of the other system.
    NotAllowed,
    /// It lacks the body or the revision that was asked for.
    Incomplete,
    /// It still lies in a RabbitMQ queue: a replay would be a second copy.
    StillInQueue,
    /// Its JSON Schema does not allow the payload.
    InvalidPayload,
}

impl RefusalKind {
    /// For people: "3 events are refused: …".
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "a replay is already active",
            Self::AlreadyReplayed => "already replayed",
            Self::Gone => "no longer there",
            Self::NoDestination => "no known destination",
            Self::NotAllowed => "destination not allowed",
            Self::Incomplete => "body or revision missing",
            Self::StillInQueue => "still in its queue",
            Self::InvalidPayload => "payload not valid by its schema",
        }
    }
}

/// Who receives what is sent to one destination.
#[derive(Clone, Debug)]
pub struct Audience {
    /// Without the partition on Kafka.
    pub destination: Destination,
    /// Events that would go there.
    pub events: usize,
    pub recipients: Vec<Recipient>,
    /// The recipients are as of the last sample; `false` if there is none of this cluster.
    pub known: bool,
}

/// One who receives every replay of a destination, whether it failed on it or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recipient {
    Group {
        group: ConsumerGroup,
        /// Absent if the broker does not describe them.
        members: Option<usize>,
        /// Some of these events failed in this group.
        failed: bool,
    },
    Queue {
        queue: QueueName,
        /// Absent if the broker does not tell.
        consumers: Option<u64>,
    },
}

/// A job that was confirmed and is on disk.
#[derive(Clone, Debug)]
pub struct JobStarted {
    pub job: ReplayJobId,
    /// In the order in which they will be sent; none yet of a large job, which becomes whole afterwards.
    pub planned: Vec<ReplayId>,
    pub refused: Vec<RefusedReplay>,
}

/// Why a request about replays was refused. Nothing was written.
#[derive(Debug, Error)]
pub enum ReplayError {
    #[error("nothing is selected; name dead letters or give a filter that matches some")]
    NothingSelected,
    /// Each dead letter with its own reason.
    #[error("none of the selected dead letters can be replayed")]
    NothingEligible { refused: Vec<RefusedReplay> },
    #[error("there is no replay job {0}")]
    NoSuchJob(ReplayJobId),
    #[error(
        "meanwhile the number of unknown replays changed from {seen} to {found}; look again and decide"
    )]
    OtherUnknown { seen: u64, found: u64 },
    #[error("replay job {0} is paused already")]
    PausedAlready(ReplayJobId),
    #[error("replay job {0} is not paused")]
    NotPaused(ReplayJobId),
    #[error("a rate of 0 events per second sends nothing; pause the job instead")]
    NoRate,
    #[error("stop_percent {0} is none; give 0 to 100")]
    NoPercentage(u8),
    #[error(transparent)]
    Store(#[from] StoreError),
}
