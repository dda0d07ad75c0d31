//! What one look at a broker returns, before anything is derived from it.

use std::collections::BTreeMap;
use std::time::Duration;

use uuid::Uuid;

use super::conventions::TAP_DEAD_LETTER_KEY;
use super::{
    ConsumerGroup, ExchangeName, Offset, Partition, QueueName, Timestamp, TopicName, VhostName,
};

/// One look at a Kafka cluster.
#[derive(Clone, Debug, Default)]
pub struct KafkaSample {
    pub cluster_id: Option<String>,
    pub brokers: u32,
    pub topics: Vec<TopicSample>,
    pub groups: Vec<GroupSample>,
    /// When the committed offsets were read, which is before the end offsets (metrics.md).
    pub committed_at: Timestamp,
    pub ends_at: Timestamp,
    pub cost: SampleCost,
    /// What could not be read, each for the page: "group billing: not authorised".
    pub problems: Vec<String>,
}

/// What a sample cost the broker and us.
#[derive(Clone, Debug, Default)]
pub struct SampleCost {
    pub requests: u64,
    /// Requests by API name, for `redrive_sample_requests_total`.
    pub requests_by_api: Vec<(String, u64)>,
    pub duration: Duration,
}

#[derive(Clone, Debug)]
pub struct TopicSample {
    pub topic: TopicName,
    pub topic_id: Option<Uuid>,
    pub internal: bool,
    pub partitions: Vec<PartitionSample>,
}

/// Offsets are absent if the leader did not answer for this partition.
#[derive(Clone, Debug)]
pub struct PartitionSample {
    pub partition: Partition,
    pub log_start: Option<Offset>,
    pub high_watermark: Option<Offset>,
    pub last_stable: Option<Offset>,
    pub replicas: u32,
    pub in_sync_replicas: u32,
}

#[derive(Clone, Debug)]
pub struct GroupSample {
    pub group: ConsumerGroup,
    pub kind: GroupKind,
    /// As the broker names it: `Stable`, `Empty`, `PreparingRebalance`, …
    pub state: String,
    pub members: Vec<GroupMember>,
    pub committed: Vec<CommittedOffset>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupKind {
    /// The protocol with `JoinGroup` and `SyncGroup`.
    Classic,
    /// KIP-848.
    Consumer,
    /// KIP-932.
    Share,
    /// KIP-1071, the own protocol of Kafka Streams.
    Streams,
    /// Kafka Connect workers and others.
    Other,
}

impl GroupKind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::Consumer => "consumer",
            Self::Share => "share",
            Self::Streams => "streams",
            Self::Other => "other",
        }
    }
}

#[derive(Clone, Debug)]
pub struct GroupMember {
    pub member_id: String,
    pub client_id: String,
    pub host: String,
    pub assignment: Vec<(TopicName, Vec<Partition>)>,
}

/// How many members a group has by its description and its state. `None`: some, which the broker does not
/// describe to Redrive.
pub(crate) fn member_count(state: &str, members: &[GroupMember]) -> Option<usize> {
    let has_none = matches!(state, "" | "Empty" | "Dead");
    (has_none || !members.is_empty()).then_some(members.len())
}

/// For a share group, where its first record stands that is not done with: later ones may be.
#[derive(Clone, Debug)]
pub struct CommittedOffset {
    pub topic: TopicName,
    pub partition: Partition,
    pub offset: Offset,
}

/// One look at a RabbitMQ cluster.
#[derive(Clone, Debug, Default)]
pub struct RabbitMqSample {
    pub version: String,
    pub taken_at: Timestamp,
    /// When the counters of the queues were read: earlier than the rest where listing them is slow and
    /// the last listing was used again.
    pub counters_at: Timestamp,
    /// Where the counts came from, for the status page: "prometheus plugin", "management API".
    pub counts_from: String,
    pub queues: Vec<QueueSample>,
    pub exchanges: Vec<ExchangeSample>,
    pub bindings: Vec<BindingSample>,
    /// By node: each counts for itself and begins anew by itself. A node that did not answer is absent.
    pub dead_lettered: BTreeMap<String, Vec<DeadLetteredCounter>>,
    /// Virtual hosts whose queues the broker does not show, and why; for the status page.
    pub hidden_vhosts: Option<String>,
    pub cost: SampleCost,
    pub problems: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum QueueType {
    Classic,
    Quorum,
    Stream,
    Other,
}

impl QueueType {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::Quorum => "quorum",
            Self::Stream => "stream",
            Self::Other => "other",
        }
    }
}

/// The effective delivery limit of a quorum queue; the strictest comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeliveryLimit {
    Limited(u64),
    Unlimited,
}

/// What a look costs each message of a quorum queue that it shows: one of the deliveries that the queue's limit
/// allows. RabbitMQ lets a message come back as often as the limit says, and destroys it the next time
/// (rabbitmq4.md 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LookCost {
    pub limit: u64,
}

impl LookCost {
    /// Deliveries that a look leaves to others, and to connections that break.
    pub const SPARE: u64 = 5;

    /// Whether a message that came back so often has too few deliveries left to be given back.
    pub const fn wears_out(self, came_back: u64) -> bool {
        came_back.saturating_add(Self::SPARE) > self.limit
    }
}

/// A queue with its effective settings (arguments and policies merged) and its counts. A count that
/// the source does not give is absent, never 0.
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are RabbitMQ's own flags"
)]
#[derive(Clone, Debug)]
pub struct QueueSample {
    pub vhost: VhostName,
    pub queue: QueueName,
    pub queue_type: QueueType,
    pub durable: bool,
    pub exclusive: bool,
    pub auto_delete: bool,
    pub dead_letter: Option<DeadLetterTarget>,
    pub message_ttl: Option<Duration>,
    /// The queue is deleted when unused for so long.
    pub expires: Option<Duration>,
    pub max_length: Option<u64>,
    pub max_length_bytes: Option<u64>,
    /// `drop-head` if a limit is set and nothing else is said.
    pub overflow: Option<String>,
    pub single_active_consumer: bool,
    pub delivery_limit: Option<DeliveryLimit>,
    pub messages: Option<u64>,
    pub ready: Option<u64>,
    pub unacked: Option<u64>,
    pub bytes: Option<u64>,
    pub consumers: Option<u64>,
    pub counters: Option<QueueCounters>,
}

impl QueueSample {
    /// A queue with copies of events, which a tap of this or another Redrive declared.
    pub fn is_of_a_tap(&self) -> bool {
        let target = self.dead_letter.as_ref();
        target.is_some_and(|target| {
            target.exchange.as_str().is_empty()
                && target.routing_key.as_deref() == Some(TAP_DEAD_LETTER_KEY)
        })
    }
}

/// Where a queue's dead letters go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetterTarget {
    pub exchange: ExchangeName,
    /// `None`: each message keeps its own routing keys.
    pub routing_key: Option<String>,
}

/// Totals since the queue or its statistics began; they fall back to 0 when a broker restarts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueCounters {
    pub published: u64,
    /// Acknowledgements and deliveries that need none.
    pub settled: u64,
    pub redelivered: u64,
    /// Deliveries of all kinds: the first of a message and every later one.
    pub delivered: u64,
}

impl QueueSample {
    /// A durable classic queue without settings, of which no counts are known.
    pub fn classic(vhost: VhostName, queue: QueueName) -> Self {
        Self {
            vhost,
            queue,
            queue_type: QueueType::Classic,
            durable: true,
            exclusive: false,
            auto_delete: false,
            dead_letter: None,
            message_ttl: None,
            expires: None,
            max_length: None,
            max_length_bytes: None,
            overflow: None,
            single_active_consumer: false,
            delivery_limit: None,
            messages: None,
            ready: None,
            unacked: None,
            bytes: None,
            consumers: None,
            counters: None,
        }
    }
}

#[derive(Clone, Debug)]
pub struct ExchangeSample {
    pub vhost: VhostName,
    pub exchange: ExchangeName,
    /// direct, topic, fanout, headers, or a plugin's.
    pub kind: String,
    pub alternate_exchange: Option<ExchangeName>,
}

#[derive(Clone, Debug)]
pub struct BindingSample {
    pub vhost: VhostName,
    pub exchange: ExchangeName,
    pub destination: BindingDestination,
    pub routing_key: String,
    /// A binding to a headers exchange: its key says nothing.
    pub has_arguments: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BindingDestination {
    Queue(QueueName),
    Exchange(ExchangeName),
}

/// One series of the plugin's dead-letter counters.
#[derive(Clone, Debug)]
pub struct DeadLetteredCounter {
    pub queue_type: String,
    pub strategy: String,
    pub reason: DeathReasonLabel,
    pub count: u64,
}

/// The reason as RabbitMQ's metric names spell it.
pub type DeathReasonLabel = String;
