//! What the tests share: where the brokers are, unique names, and waiting for a condition.

pub(crate) mod browser;
pub(crate) mod cluster;
pub(crate) mod crashes;
pub(crate) mod dashboard;
pub(crate) mod dashboards;
pub(crate) mod demo;
pub(crate) mod exposition;
pub(crate) mod hostile;
pub(crate) mod kafka_commits;
pub(crate) mod kafka_peer;
pub(crate) mod line;
pub(crate) mod otlp;
pub(crate) mod past;
pub(crate) mod prometheus;
pub(crate) mod promql;
pub(crate) mod queue_kinds;
pub(crate) mod rabbitmq;
pub(crate) mod rabbitmq_cluster;
pub(crate) mod raw_amqp;
pub(crate) mod receiver;
pub(crate) mod replay_letters;
pub(crate) mod replays;
pub(crate) mod shell;
pub(crate) mod snapshots;
pub(crate) mod stored_letters;
pub(crate) mod trace_exports;
pub(crate) mod traced;
pub(crate) mod vhost;
pub(crate) mod visitor;

use std::time::{Duration, Instant};

use redrive::config::{KafkaConfig, RabbitMqConfig, Secret};
use uuid::Uuid;

/// The value of a variable that `cargo xtask test` sets.
pub(crate) fn required(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| {
        panic!("{variable} is not set: run `cargo xtask test`, or export what `cargo xtask brokers` prints")
    })
}

/// A name that no other test uses.
pub(crate) fn unique(prefix: &str) -> String {
    format!("{prefix}-{}", Uuid::new_v4().simple())
}

/// The shared Kafka.
pub(crate) fn kafka() -> KafkaConfig {
    KafkaConfig {
        bootstrap_servers: vec![required("REDRIVE_TEST_KAFKA")],
        ..KafkaConfig::default()
    }
}

/// The release of the shared Kafka: major and minor.
pub(crate) fn kafka_release() -> (u32, u32) {
    let version = required("REDRIVE_TEST_KAFKA_VERSION");
    let mut parts = version.split('.').map(|part| part.parse().unwrap());
    (parts.next().unwrap(), parts.next().unwrap())
}

/// The shared RabbitMQ in its default virtual host; tests use a virtual host of their own.
pub(crate) fn rabbitmq() -> RabbitMqConfig {
    install_crypto_provider();
    RabbitMqConfig {
        amqp_url: Secret::new(required("REDRIVE_TEST_AMQP_URL")),
        management_url: Secret::new(required("REDRIVE_TEST_RABBITMQ_MANAGEMENT_URL")),
        prometheus_url: vec![Secret::new(required(
            "REDRIVE_TEST_RABBITMQ_PROMETHEUS_URL",
        ))],
        ..RabbitMqConfig::default()
    }
}

/// An HTTP client needs it even for plain text; the second call of a process changes nothing.
pub(crate) fn install_crypto_provider() {
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok();
}

/// Waits until `probe` gives a value; panics with `what` when it does not within a minute.
pub(crate) async fn eventually<T>(what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        if let Some(value) = probe().await {
            return value;
        }
        assert!(Instant::now() < deadline, "waited a minute in vain: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
