//! What the pages and the metrics see: samples with everything derived from them.

use std::sync::Arc;
use std::time::Duration;

use super::{BindingSample, ExchangeSample, QueueRole, member_count};
use super::{
    ClusterName, ConsumerGroup, DeadLetteredCounter, GroupKind, GroupMember, Offset, Partition,
    PartitionSample, QueueName, QueueSample, SampleCost, System, Timestamp, TopicName,
};
use uuid::Uuid;

/// All clusters as of one sampling interval. Cheap to share behind an `Arc`, never changed.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub taken_at: Timestamp,
    /// In the order of the configuration. Shared, because each cluster is sampled at its own time and
    /// the numbers of the others are carried over.
    pub clusters: Vec<Arc<ClusterSnapshot>>,
}

impl Snapshot {
    pub fn cluster(&self, name: &ClusterName) -> Option<&ClusterSnapshot> {
        self.clusters
            .iter()
            .map(Arc::as_ref)
            .find(|cluster| cluster.name == *name)
    }

    pub fn groups(&self) -> impl Iterator<Item = (&ClusterSnapshot, &GroupStatus)> {
        self.clusters.iter().map(Arc::as_ref).flat_map(|cluster| {
            cluster
                .kafka()
                .into_iter()
                .flat_map(move |k| k.groups.iter().map(move |g| (cluster, g)))
        })
    }

    pub fn queues(&self) -> impl Iterator<Item = (&ClusterSnapshot, &QueueStatus)> {
        self.clusters.iter().map(Arc::as_ref).flat_map(|cluster| {
            let detail = cluster.rabbitmq().into_iter();
            detail.flat_map(move |r| r.queues.iter().map(move |queue| (cluster, queue)))
        })
    }
}

/// One cluster: the last numbers that were read, and whether they are fresh.
#[derive(Clone, Debug)]
pub struct ClusterSnapshot {
    pub name: ClusterName,
    pub system: System,
    pub health: BrokerHealth,
    /// `None` until the first successful sample.
    pub detail: Option<ClusterDetail>,
}

impl ClusterSnapshot {
    pub fn kafka(&self) -> Option<&KafkaDetail> {
        match &self.detail {
            Some(ClusterDetail::Kafka(detail)) => Some(detail),
            _ => None,
        }
    }

    pub fn rabbitmq(&self) -> Option<&RabbitMqDetail> {
        match &self.detail {
            Some(ClusterDetail::RabbitMq(detail)) => Some(detail),
            _ => None,
        }
    }
}

#[derive(Clone, Debug, Default)]
pub struct BrokerHealth {
    /// The last sample succeeded.
    pub up: bool,
    /// Why the last sample failed.
    pub error: Option<String>,
    /// When the numbers in `detail` were read.
    pub last_success: Option<Timestamp>,
    pub cost: SampleCost,
    /// How long our own work on the answers took.
    pub deriving_took: Duration,
    /// What a successful sample could not read, and what to do about it.
    pub problems: Vec<String>,
    /// Version and source of the numbers, for the status page: ("version", "3.10.8").
    pub facts: Vec<(String, String)>,
}

#[derive(Clone, Debug)]
pub enum ClusterDetail {
    Kafka(KafkaDetail),
    RabbitMq(RabbitMqDetail),
}

#[derive(Clone, Debug, Default)]
pub struct KafkaDetail {
    pub topics: Vec<TopicStatus>,
    pub groups: Vec<GroupStatus>,
}

impl KafkaDetail {
    pub fn topic(&self, topic: &TopicName) -> Option<&TopicStatus> {
        self.topics.iter().find(|status| status.topic == *topic)
    }
}

#[derive(Clone, Debug)]
pub struct TopicStatus {
    pub topic: TopicName,
    pub topic_id: Option<Uuid>,
    pub internal: bool,
    pub partitions: Vec<PartitionSample>,
    /// Messages per second since the sample before.
    pub produce_rate: Option<f64>,
    /// Messages produced since Redrive started watching.
    pub produced_total: u64,
}

#[derive(Clone, Debug)]
pub struct GroupStatus {
    pub group: ConsumerGroup,
    pub kind: GroupKind,
    pub state: String,
    pub members: Vec<GroupMember>,
    pub verdict: GroupVerdict,
    pub topics: Vec<GroupTopicStatus>,
    /// Messages, summed over the partitions whose lag is known.
    pub lag: u64,
    /// Seconds, the worst partition; absent if no partition's is known.
    pub time_lag: Option<TimeLag>,
    /// Messages per second.
    pub consume_rate: Option<f64>,
    /// Messages per second of the topics that it reads.
    pub produce_rate: Option<f64>,
    /// Messages that retention removed before this group read them, since Redrive started watching.
    pub lost_total: u64,
}

impl GroupStatus {
    /// `None`: there are some, which the broker does not describe to Redrive.
    pub fn member_count(&self) -> Option<usize> {
        member_count(&self.state, &self.members)
    }
}

#[derive(Clone, Debug)]
pub struct GroupTopicStatus {
    pub topic: TopicName,
    pub lag: u64,
    /// Messages that the group committed since Redrive started watching.
    pub processed_total: u64,
    pub lost_total: u64,
    pub partitions: Vec<GroupPartitionStatus>,
}

#[derive(Clone, Debug)]
pub struct GroupPartitionStatus {
    pub partition: Partition,
    pub committed: Offset,
    pub log_start: Option<Offset>,
    pub log_end: Option<Offset>,
    /// Absent while the log end is unknown.
    pub lag: Option<u64>,
    pub time_lag: Option<TimeLag>,
    /// The share of the log between its start and the committed offset; 0 means that retention is
    /// about to remove what was not read.
    pub retention_headroom: Option<f64>,
}

/// How old the oldest message is that a group has not read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TimeLag {
    Exactly(Duration),
    /// Proven to be at least that.
    AtLeast(Duration),
}

impl TimeLag {
    pub const fn duration(self) -> Duration {
        match self {
            Self::Exactly(duration) | Self::AtLeast(duration) => duration,
        }
    }
}

/// The group's condition over the last samples, the worst partition deciding (metrics.md).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GroupVerdict {
    Ok,
    /// Lag never shrank over the window.
    Slow,
    /// A committed offset went back.
    Rewound,
    /// Members, lag, and no progress.
    Stalled,
    /// No members, lag, and no progress over the window.
    Stopped,
    /// Lag and nobody to read it.
    NoMembers,
    /// Retention removed what was not read.
    Lost,
}

impl GroupVerdict {
    pub const ALL: [Self; 7] = [
        Self::Ok,
        Self::Slow,
        Self::Rewound,
        Self::Stalled,
        Self::Stopped,
        Self::NoMembers,
        Self::Lost,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Slow => "slow",
            Self::Rewound => "rewound",
            Self::Stalled => "stalled",
            Self::Stopped => "stopped",
            Self::NoMembers => "no_members",
            Self::Lost => "lost",
        }
    }
}

#[derive(Clone, Debug, Default)]
pub struct RabbitMqDetail {
    pub version: String,
    pub queues: Vec<QueueStatus>,
    pub exchanges: Vec<ExchangeSample>,
    pub bindings: Vec<BindingSample>,
    pub dead_lettered: Vec<DeadLetteredCounter>,
}

#[derive(Clone, Debug)]
pub struct QueueStatus {
    pub sample: QueueSample,
    pub role: QueueRole,
    /// Queues that the dead letters of this one really reach.
    pub dead_letters_to: Vec<QueueName>,
    /// It has a dead-letter exchange, and what is sent there vanishes.
    pub dead_letters_unroutable: bool,
    /// Messages go round between it and its retry queues, and none is settled.
    pub circling: Option<Circling>,
    pub rates: QueueRates,
    /// Totals since Redrive started watching; they do not fall when a broker restarts.
    pub totals: super::QueueCounters,
}

/// Messages per second since the sample before; absent if the source gives no counters.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct QueueRates {
    pub publish: Option<f64>,
    pub settle: Option<f64>,
    pub redeliver: Option<f64>,
}

/// Messages that a work queue delivers, that its consumers reject, and that come back from its retry queues.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Circling {
    /// Since then no message of the queue was settled.
    pub since: Timestamp,
    /// Deliveries since then.
    pub delivered: u64,
    /// The retry queues on the way back, in the order in which messages pass them.
    pub through: Vec<QueueName>,
}
