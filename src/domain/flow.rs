use super::{ClusterName, ExchangeName, System, Timestamp, TopicName, VhostName};

/// What events are published to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Channel {
    Topic {
        cluster: ClusterName,
        topic: TopicName,
    },
    Exchange {
        cluster: ClusterName,
        vhost: VhostName,
        exchange: ExchangeName,
    },
}

/// Events that a service published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedFlow {
    /// `None`: they do not say which.
    pub source: Option<String>,
    pub to: Channel,
    pub events: u64,
}

/// Events of a service that name an event of the channel as their cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CausedFlow {
    pub cause: Channel,
    pub source: String,
    pub events: u64,
}

/// Dead letters of one origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadFlow {
    pub system: System,
    pub cluster: ClusterName,
    /// Of a RabbitMQ queue.
    pub vhost: VhostName,
    /// The topic or queue from which they came.
    pub source: Option<String>,
    pub consumer: Option<String>,
    pub dlq: String,
    pub dead_letters: u64,
}

/// What was seen to flow since a time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObservedFlows {
    /// When the counted events begin; dead letters are counted from there as well.
    pub since: Timestamp,
    pub published: Vec<PublishedFlow>,
    pub caused: Vec<CausedFlow>,
    pub dead: Vec<DeadFlow>,
}
