use super::{
    ClusterName, DeadLetterId, DeadLetterStatus, EventIdentity, Offset, Partition, ReplayId,
    ReplayJobId, ReplayStateName, System, Timestamp, TopicName,
};

/// Where a record of Kafka stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordPlace {
    pub cluster: ClusterName,
    pub topic: TopicName,
    pub partition: Partition,
    pub offset: Offset,
}

/// Who gave an event its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TimeBasis {
    /// The producer or the broker, as the topic is configured.
    Record,
    /// The record has no time: Redrive saw it then.
    Observed,
}

/// An event as the tap saw it pass: no key, no body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracedEvent {
    pub place: RecordPlace,
    pub at: Timestamp,
    pub basis: TimeBasis,
    pub event: EventIdentity,
    /// The replay of Redrive that sent it.
    pub replay: Option<ReplayId>,
    /// The trace of the application, 32 hex digits, from `traceparent` or B3.
    pub application_trace: Option<String>,
}

/// A dead letter as a trace needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracedLetter {
    pub id: DeadLetterId,
    pub cluster: ClusterName,
    pub system: System,
    pub dlq: String,
    /// When it died.
    pub at: Timestamp,
    pub event: EventIdentity,
    pub status: DeadLetterStatus,
    /// Exception and message, or the reason.
    pub failure: String,
    pub consumer: Option<String>,
    /// The record that its headers name as the original.
    pub original: Option<RecordPlace>,
    /// The replay that died again with it.
    pub died_from: Option<ReplayId>,
}

/// A replay as a trace needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracedReplay {
    pub id: ReplayId,
    pub job: ReplayJobId,
    pub letter: DeadLetterId,
    /// When it was sent; absent where that is not known.
    pub at: Option<Timestamp>,
    pub state: ReplayStateName,
    pub destination: String,
    pub attempt: u32,
    /// Where it landed.
    pub landed: Option<RecordPlace>,
}
