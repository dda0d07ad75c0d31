use rdkafka::types::RDKafkaErrorCode;
use thiserror::Error;

use super::wire::WireError;
use crate::domain::{Partition, TopicName};

/// Why librdkafka could not do what was asked.
#[derive(Debug, Error)]
pub enum KafkaError {
    #[error(
        "cannot create a Kafka client; check kafka.bootstrap_servers, kafka.tls and kafka.sasl"
    )]
    Client(#[source] rdkafka::error::KafkaError),
    #[error("reading from Kafka failed")]
    Consume(#[source] rdkafka::error::KafkaError),
    #[error("Kafka gave nothing of topic {topic}, partition {partition} in time")]
    Silent {
        topic: TopicName,
        partition: Partition,
    },
    #[error("cannot assign the partitions")]
    Assign(#[source] rdkafka::error::KafkaError),
    #[error("committing the offset failed")]
    Commit(#[source] rdkafka::error::KafkaError),
    #[error("cannot read the offsets of topic {topic}, partition {partition}")]
    Watermarks {
        topic: TopicName,
        partition: Partition,
        source: rdkafka::error::KafkaError,
    },
    #[error(
        "partition {partition} of topic {topic} has no leader; start the brokers that hold its replicas"
    )]
    NoLeader {
        topic: TopicName,
        partition: Partition,
    },
    #[error("Kafka knows no partition {partition} of a topic {topic} now")]
    NoPartition {
        topic: TopicName,
        partition: Partition,
    },
    #[error("{bytes} bytes were read, which is enough for once")]
    EnoughForOnce { bytes: usize },
    #[error("cannot read the metadata of topic {topic}")]
    Metadata {
        topic: TopicName,
        source: rdkafka::error::KafkaError,
    },
    #[error("cannot create topic {topic}: {reason}")]
    CreateTopic { topic: TopicName, reason: String },
    #[error("cannot delete topic {topic}: {reason}")]
    DeleteTopic { topic: TopicName, reason: String },
    #[error("cannot read the configuration of topic {topic}")]
    TopicConfig { topic: TopicName, source: WireError },
    #[error("cannot read which topics may be read")]
    TopicAccess(#[source] WireError),
    #[error("cannot read the configuration of the brokers")]
    BrokerConfig(#[source] WireError),
    #[error("no broker tells {0}")]
    BrokerSettingMissing(&'static str),
    #[error("a background thread of the Kafka client ended unexpectedly")]
    Background(#[from] tokio::task::JoinError),
}

impl KafkaError {
    /// Whether a consumer may not read one of its topics; it reads on from the others.
    pub fn is_unreadable_topic(&self) -> bool {
        let Self::Consume(error) = self else {
            return false;
        };
        error.rdkafka_error_code() == Some(RDKafkaErrorCode::TopicAuthorizationFailed)
    }
}
