//! Kafka: the only place that names rdkafka and kafka-protocol.
//!
//! [`wire`] samples. librdkafka consumes, produces and administers: [`DlqConsumer`] reads DLQ topics
//! from offsets that the store knows, [`ReplayProducer`] sends replays, [`scan_for_headers`] looks for
//! what a crashed process sent, [`RecordReader`]
//! fetches what pointers point to, [`TapConsumer`] follows topics for traces, [`GroupConsumer`] is an ordinary consumer for the sample workload.
//! Headers go through [`headers`], the one module with unsafe code.

mod admin;
mod client_context;
mod consumer;
mod error;
mod group_consumer;
mod headers;
mod oauth;
mod partitioner;
mod producer;
mod record;
mod records_at;
mod scan;
mod tap_consumer;
mod unreadable;
pub mod wire;

pub use admin::{KafkaAdmin, PartitionReplicas, TopicDescription, Watermarks};
pub use consumer::{AssignedPartition, DlqConsumer};
pub use error::KafkaError;
pub use group_consumer::{GroupConsumer, StartAt};
pub use oauth::TokenError;
pub use partitioner::partition_for_key;
pub use producer::{Batching, ReplayProducer, SendError};
pub use record::KafkaRecord;
pub use records_at::RecordReader;
pub use scan::{ScanResult, scan_for_headers};
pub use tap_consumer::TapConsumer;
pub use unreadable::Unreadable;

use rdkafka::ClientConfig;

use crate::config::{KafkaConfig, KafkaTlsConfig};

/// What all librdkafka clients share.
fn client_config(config: &KafkaConfig) -> ClientConfig {
    let mut client = ClientConfig::new();
    client
        .set("bootstrap.servers", config.bootstrap_servers.join(","))
        .set("client.id", "redrive")
        // A broker that restarts is found again within seconds, not minutes.
        .set("reconnect.backoff.max.ms", "2000")
        .set("socket.keepalive.enable", "true")
        .set("security.protocol", security_protocol(config))
        // Below this librdkafka tells its whole life; what comes goes through [`client_context`].
        .set_log_level(rdkafka::config::RDKafkaLogLevel::Error);
    if let Some(tls) = &config.tls {
        set_tls(&mut client, tls);
    }
    if let Some(sasl) = &config.sasl {
        client.set("sasl.mechanisms", sasl.mechanism.as_str());
        if sasl.oauth_client().is_none() {
            let (username, password) = sasl.login();
            client.set("sasl.username", username);
            client.set("sasl.password", password);
        }
    }
    client
}

const fn security_protocol(config: &KafkaConfig) -> &'static str {
    match (&config.tls, &config.sasl) {
        (None, None) => "plaintext",
        (Some(_), None) => "ssl",
        (None, Some(_)) => "sasl_plaintext",
        (Some(_), Some(_)) => "sasl_ssl",
    }
}

fn set_tls(client: &mut ClientConfig, tls: &KafkaTlsConfig) {
    let path = |path: &std::path::PathBuf| path.display().to_string();
    // Where OpenSSL was linked statically, it does not know where this system keeps its authorities.
    let authorities = tls.ca_file.as_ref().map_or("probe".to_owned(), path);
    client.set("ssl.ca.location", authorities);
    if let (Some(certificate), Some(key)) = (&tls.certificate_file, &tls.key_file) {
        client.set("ssl.certificate.location", path(certificate));
        client.set("ssl.key.location", path(key));
    }
}
