use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ConfigError, HumanDuration};

/// `[http]`: the dashboard, the API and `/metrics`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HttpConfig {
    /// The address and port of the dashboard.
    pub listen: SocketAddr,
    /// Host names under which the dashboard is reached, beside loopback; a request for another host
    /// is refused (DNS rebinding). With or without a port.
    pub hosts: Vec<String>,
    /// `https://redrive.example`: where people reach the dashboard, for the links in notifications.
    pub public_url: Option<String>,
    /// Say in so many words that everybody who reaches the address may do everything.
    pub allow_unauthenticated: bool,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8750)),
            hosts: Vec::new(),
            public_url: None,
            allow_unauthenticated: false,
        }
    }
}

impl HttpConfig {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        if self.listen.ip().is_loopback() || self.allow_unauthenticated {
            return Ok(());
        }
        Err(ConfigError::invalid(
            "http.listen",
            format!(
                "{} is reachable from other machines and nobody has to log in; listen on 127.0.0.1, \
                 or set http.allow_unauthenticated = true if everybody who reaches it may replay",
                self.listen
            ),
        ))
    }
}

/// `[store]`: where dead letters, replays and the audit are kept.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StoreConfig {
    /// `sqlite:PATH`.
    pub url: String,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            url: "sqlite:redrive.db".to_owned(),
        }
    }
}

const DAY_SECONDS: u64 = 86_400;

/// `[sampling]`: how often the brokers are looked at.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SamplingConfig {
    /// Between two samples; at least 1 s.
    pub interval: HumanDuration,
    /// One request to a broker is given up after this.
    pub request_timeout: HumanDuration,
    /// Samples kept in memory for charts of the last hour.
    pub history: usize,
    /// Thinned samples stay in the store so long, for charts of days: 1d to 7d.
    pub history_kept: HumanDuration,
}

impl Default for SamplingConfig {
    fn default() -> Self {
        Self {
            interval: HumanDuration::from_secs(10),
            request_timeout: HumanDuration::from_secs(5),
            history: 360,
            history_kept: HumanDuration::from_secs(7 * DAY_SECONDS),
        }
    }
}

impl SamplingConfig {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        at_least_a_second("sampling.interval", self.interval)?;
        at_least_a_second("sampling.request_timeout", self.request_timeout)?;
        if !(DAY_SECONDS..=7 * DAY_SECONDS).contains(&self.history_kept.as_secs()) {
            return Err(ConfigError::invalid(
                "sampling.history_kept",
                "must lie between 1d and 7d; for longer, let Prometheus scrape /metrics",
            ));
        }
        if (2..=100_000).contains(&self.history) {
            return Ok(());
        }
        Err(ConfigError::invalid(
            "sampling.history",
            "must lie between 2 and 100000 samples",
        ))
    }
}

/// `[dead_letters]`: which topics are DLQs and what is kept of them.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DeadLettersConfig {
    /// Kafka topics that hold dead letters, as glob patterns without regard to case.
    pub kafka_topics: Vec<String>,
    /// Topics that match the patterns and are none.
    pub kafka_topics_ignored: Vec<String>,
    /// Bodies up to this size are kept whole in the store; larger ones stay in the broker. What is taken out of a
    /// RabbitMQ queue is kept whole in any case.
    pub body_limit_bytes: usize,
    /// Larger bodies of open dead letters are fetched from their Kafka topic in the last 24 hours before its
    /// `retention.ms` lets the broker remove them, or at once if `retention.bytes` or compaction may do so at any
    /// time, while the store is not larger than `retention.max_bytes`.
    pub fetch_expiring_bodies: bool,
    /// At most so many messages are read when somebody looks at an observed RabbitMQ queue.
    pub observe_window: u16,
}

impl Default for DeadLettersConfig {
    fn default() -> Self {
        let patterns = [
            "*-dlt",
            "*.dlt",
            "*[._-]dlq",
            "dlq[._-]*",
            "error.*.*",
            "dead-letter-topic-*",
            "wolverine-dead-letter-queue",
            "*[._-]dead-letter*",
            "*[._-]dead[._]letter*",
            "*[._-]deadletter*",
        ];
        Self {
            kafka_topics: patterns.map(str::to_owned).to_vec(),
            kafka_topics_ignored: Vec::new(),
            body_limit_bytes: 1024 * 1024,
            fetch_expiring_bodies: true,
            observe_window: 200,
        }
    }
}

/// `[replay]`: how replays are sent and judged.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ReplayConfig {
    /// A Kafka record that is not delivered within this time has failed or is unknown; the recovery
    /// after a crash waits that long before it looks for what was sent.
    pub kafka_delivery_timeout: HumanDuration,
    /// A RabbitMQ confirm that takes longer makes the replay unknown.
    pub rabbitmq_confirm_timeout: HumanDuration,
    /// After a pass, how long nothing may come back before the replay counts as consumed.
    pub settle_time: HumanDuration,
    /// A replay of which nothing was seen for so long is "not seen again".
    pub not_seen_after: HumanDuration,
    /// RabbitMQ does not tell that a message was consumed: a canary step there is passed when nothing
    /// of it came back for so long.
    pub ramp_wait: HumanDuration,
}

impl Default for ReplayConfig {
    fn default() -> Self {
        Self {
            kafka_delivery_timeout: HumanDuration::from_secs(10),
            rabbitmq_confirm_timeout: HumanDuration::from_secs(10),
            settle_time: HumanDuration::from_secs(10),
            not_seen_after: HumanDuration::from_secs(600),
            ramp_wait: HumanDuration::from_secs(60),
        }
    }
}

impl ReplayConfig {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        at_least_a_second("replay.kafka_delivery_timeout", self.kafka_delivery_timeout)?;
        at_least_a_second(
            "replay.rabbitmq_confirm_timeout",
            self.rabbitmq_confirm_timeout,
        )
    }
}

/// `[telemetry]`: Redrive's own traces and logs.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TelemetryConfig {
    /// `http://collector:4317`: spans of Redrive's own work and its log are sent there by OTLP over gRPC.
    pub otlp_endpoint: Option<String>,
}

/// `[log]`: what Redrive writes to its standard error.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// `error`, `warn`, `info`, `debug`, or a filter such as `info,redrive::replay=debug`.
    pub level: String,
    /// One line a message for people, or one JSON object.
    pub format: LogFormat,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            level: "info".to_owned(),
            format: LogFormat::Human,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Human,
    Json,
}

pub(super) fn at_least_a_second(
    key: &'static str,
    duration: HumanDuration,
) -> Result<(), ConfigError> {
    if duration.as_millis() >= 1000 {
        return Ok(());
    }
    Err(ConfigError::invalid(key, "must be at least 1s"))
}
