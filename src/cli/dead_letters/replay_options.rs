//! Whereto a replay goes and how it is held back, as options.

use serde_json::{Value, json};

/// Without any of them, each goes to where it came from.
#[derive(Debug, clap::Args)]
pub(super) struct DestinationArgs {
    /// The broker of --topic, --queue or --exchange, as it is named in the configuration.
    #[arg(long, requires = "place")]
    cluster: Option<String>,
    /// Send to this Kafka topic.
    #[arg(long, group = "place", requires = "cluster")]
    topic: Option<String>,
    /// Send to this RabbitMQ queue alone.
    #[arg(long, group = "place", requires = "cluster")]
    queue: Option<String>,
    /// Send to this RabbitMQ exchange, with --routing-key.
    #[arg(long, group = "place", requires = "cluster")]
    exchange: Option<String>,
    /// The routing key for --exchange.
    #[arg(long, requires = "exchange", default_value = "")]
    routing_key: String,
    /// The virtual host of --queue or --exchange.
    #[arg(long, requires = "place", default_value = "/")]
    vhost: String,
}

impl DestinationArgs {
    /// As the API takes it.
    pub(super) fn body(&self) -> Value {
        let (cluster, vhost) = (&self.cluster, &self.vhost);
        match (&self.topic, &self.queue, &self.exchange) {
            (Some(topic), _, _) => json!({ "cluster": cluster, "topic": topic }),
            (_, Some(queue), _) => json!({ "cluster": cluster, "vhost": vhost, "queue": queue }),
            (_, _, Some(exchange)) => json!({
                "cluster": cluster, "vhost": vhost, "exchange": exchange,
                "routing_key": self.routing_key,
            }),
            _ => json!("original"),
        }
    }
}

/// What RabbitMQ gets otherwise than usual; --dry-run says what each may do.
#[derive(Debug, clap::Args)]
pub(super) struct RabbitMqArgs {
    /// Keep x-death, for consumers that count deaths on RabbitMQ up to 3.13.
    #[arg(long)]
    keep_x_death: bool,
    /// Set the expiration again that RabbitMQ took off; the replay can then expire.
    #[arg(long)]
    restore_expiration: bool,
    /// Keep CC, the further routing keys.
    #[arg(long, requires = "exchange")]
    keep_cc: bool,
}

impl RabbitMqArgs {
    /// As the API takes it.
    pub(super) fn body(&self) -> Value {
        json!({
            "keep_x_death": self.keep_x_death,
            "restore_expiration": self.restore_expiration,
            "keep_cc": self.keep_cc,
        })
    }
}

/// Without any of them, nothing holds a job back.
#[derive(Debug, clap::Args)]
pub(super) struct BrakeArgs {
    /// At most so many events per second.
    #[arg(long, value_name = "EVENTS", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// Send 1 event, then 10, then 100, then the rest; each step waits for the outcome of those before.
    #[arg(long)]
    ramp: bool,
    /// Pause when more than so many percent died again or failed; 10 with --ramp.
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    stop_percent: Option<u8>,
    /// Pause when more events than this died again or failed.
    #[arg(long, value_name = "EVENTS")]
    stop_count: Option<u32>,
    /// Send nothing before that time: 2026-11-25T02:00 (UTC) or RFC 3339.
    #[arg(long, value_name = "TIME")]
    not_before: Option<String>,
}

impl BrakeArgs {
    /// As the API takes it.
    pub(super) fn body(&self) -> Value {
        json!({
            "not_before": self.not_before,
            "events_per_second": self.rate,
            "ramp": self.ramp,
            "stop_percent": self.stop_percent,
            "stop_count": self.stop_count,
        })
    }
}
