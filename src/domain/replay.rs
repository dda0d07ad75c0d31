use std::fmt;

use serde::{Deserialize, Serialize};

use super::{
    ClusterName, DeadLetterId, ExchangeName, Offset, Partition, QueueName, ReplayId, ReplayJobId,
    ReplayNumber, ReplayState, RevisionNumber, Timestamp, TopicName, VhostName,
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

/// One replay of one dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replay {
    pub id: ReplayId,
    pub number: ReplayNumber,
    pub job: ReplayJobId,
    pub dead_letter: DeadLetterId,
    pub revision: RevisionNumber,
    pub destination: Destination,
    /// How many times this dead letter has been replayed in total, this one included.
    pub attempt: u32,
    pub state: ReplayState,
    pub updated_at: Timestamp,
}
