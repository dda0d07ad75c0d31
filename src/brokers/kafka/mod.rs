//! Kafka: the only place that names rdkafka and kafka-protocol.
//!
//! [`wire`] samples. librdkafka consumes, produces and administers: [`DlqConsumer`] reads DLQ topics
//! from offsets that the store knows, [`ReplayProducer`] sends replays, [`scan_for_headers`] looks for
//! what a crashed process sent, [`RecordReader`]
//! fetches what pointers point to, [`GroupConsumer`] is an ordinary consumer for the sample workload.
//! Headers go through [`headers`], the one module with unsafe code.

mod admin;
mod client_log;
mod consumer;
mod error;
mod group_consumer;
mod headers;
mod partitioner;
mod producer;
mod record;
mod records_at;
mod scan;
pub mod wire;

pub use admin::{KafkaAdmin, PartitionReplicas, TopicDescription, Watermarks};
pub use consumer::{AssignedPartition, DlqConsumer};
pub use error::KafkaError;
pub use group_consumer::{GroupConsumer, StartAt};
pub use partitioner::partition_for_key;
pub use producer::{Batching, ReplayProducer, SendError};
pub use record::KafkaRecord;
pub use records_at::RecordReader;
pub use scan::{ScanResult, scan_for_headers};

use rdkafka::ClientConfig;

use crate::config::KafkaConfig;

/// What all librdkafka clients share.
fn client_config(config: &KafkaConfig) -> ClientConfig {
    let mut client = ClientConfig::new();
    client
        .set("bootstrap.servers", config.bootstrap_servers.join(","))
        .set("client.id", "redrive")
        // A broker that restarts is found again within seconds, not minutes.
        .set("reconnect.backoff.max.ms", "2000")
        .set("socket.keepalive.enable", "true")
        // Below this librdkafka tells its whole life; what comes goes through `ClientLog`.
        .set_log_level(rdkafka::config::RDKafkaLogLevel::Error);
    client
}
