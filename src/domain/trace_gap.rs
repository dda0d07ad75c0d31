use serde::Deserialize;

use super::{ClusterName, Timestamp, TopicName, VhostName};

/// What a tap follows: a topic of Kafka, or the exchanges of a virtual host of RabbitMQ.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TapPlace {
    /// All that are followed of a cluster of Kafka.
    Topics,
    Topic(TopicName),
    Vhost(VhostName),
}

/// Why a tap did not see what was published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GapReason {
    /// More was published than it read, and its queue was full.
    FellBehind,
    /// It kept only some traces, those whole.
    Thinned,
    /// It went on at the end.
    Skipped,
}

impl GapReason {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FellBehind => "fell_behind",
            Self::Thinned => "thinned",
            Self::Skipped => "skipped",
        }
    }
}

/// A time in which events may have passed that no trace has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceGap {
    pub cluster: ClusterName,
    pub place: TapPlace,
    pub from: Timestamp,
    pub to: Timestamp,
    pub reason: GapReason,
}
