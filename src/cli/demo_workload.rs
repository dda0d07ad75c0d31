//! Runs the sample order system against real brokers.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use tracing_subscriber::EnvFilter;
use uuid::Uuid;

use crate::config::{KafkaConfig, RabbitMqConfig, Secret};
use crate::demo::{self, Names, SlowPhases, WorkloadSettings};
use crate::error_chain;
use crate::lifecycle::{Ending, Lifecycle};

/// Where the brokers are and how much happens.
#[derive(Debug, clap::Args)]
pub(super) struct DemoWorkloadArgs {
    /// Kafka, as host:port; several are separated by commas.
    #[arg(long, value_delimiter = ',', default_value = "127.0.0.1:9092")]
    kafka: Vec<String>,
    /// RabbitMQ; everything is declared in the virtual host that it names. Better given as
    /// `REDRIVE_DEMO_AMQP_URL` where others can see command lines.
    #[arg(
        long,
        env = "REDRIVE_DEMO_AMQP_URL",
        hide_env_values = true,
        value_parser = secret,
        default_value = "amqp://guest:guest@127.0.0.1:5672/%2f"
    )]
    amqp_url: Secret,
    /// Where the state of the payment gateway is kept; see `redrive demo-gateway`.
    #[arg(long, env = "REDRIVE_DEMO_STATE_DIR")]
    state_dir: PathBuf,
    /// Starts the name of every topic, group, exchange and queue.
    #[arg(long, default_value = "")]
    prefix: String,
    /// From 0.01 to 1000.
    #[arg(long, default_value_t = 2.0, value_parser = rate)]
    orders_per_second: f64,
    /// The share of orders that fail in one way or another, from 0 to 1.
    #[arg(long, default_value_t = 0.15, value_parser = share)]
    failure_share: f64,
    /// The same seed gives the same orders, event IDs included; without it each start is another.
    #[arg(long)]
    seed: Option<u64>,
    /// Seconds from the start of one slow phase of analytics to the next.
    #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..))]
    slow_every: u64,
    /// Seconds that a slow phase lasts; 0 for none.
    #[arg(long, default_value_t = 30)]
    slow_for: u64,
    /// Milliseconds that a client of the payment gateway waits for it.
    #[arg(long, default_value_t = 50)]
    gateway_timeout_ms: u64,
}

pub(super) async fn run(args: DemoWorkloadArgs) -> anyhow::Result<ExitCode> {
    log_to_stderr();
    let lifecycle = Lifecycle::new();
    let stop = lifecycle.stop_token();
    let settings = args.into_settings();
    let (failed, failure) = tokio::sync::oneshot::channel();
    lifecycle.spawn("demo workload", async move {
        if let Err(error) = demo::run(settings, stop.clone()).await {
            tracing::error!(
                error = error_chain(&error),
                "the sample workload cannot run"
            );
            // Nobody waits for it only if the process is ending anyway.
            let _ = failed.send(());
        }
        stop.cancel();
    });
    let ending = lifecycle.run_until_stopped().await?;
    let succeeded = ending == Ending::Clean && failure.await.is_err();
    Ok(if succeeded {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

impl DemoWorkloadArgs {
    fn into_settings(self) -> WorkloadSettings {
        let phases = SlowPhases::default();
        WorkloadSettings {
            kafka: KafkaConfig {
                bootstrap_servers: self.kafka,
                ..KafkaConfig::default()
            },
            rabbitmq: RabbitMqConfig {
                amqp_url: self.amqp_url,
                ..RabbitMqConfig::default()
            },
            state_dir: self.state_dir,
            names: Names::with_prefix(self.prefix),
            orders_per_second: self.orders_per_second,
            failure_share: self.failure_share,
            seed: self.seed.unwrap_or_else(|| Uuid::new_v4().as_u64_pair().0),
            slow_phases: SlowPhases {
                every: Duration::from_secs(self.slow_every),
                duration: Duration::from_secs(self.slow_for),
                ..phases
            },
            gateway_timeout: Duration::from_millis(self.gateway_timeout_ms),
        }
    }
}

fn log_to_stderr() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "clap takes parsers that may refuse"
)]
fn secret(text: &str) -> Result<Secret, String> {
    Ok(Secret::new(text))
}

fn rate(text: &str) -> Result<f64, String> {
    number_between(text, 0.01, 1_000.0)
}

fn share(text: &str) -> Result<f64, String> {
    number_between(text, 0.0, 1.0)
}

fn number_between(text: &str, least: f64, most: f64) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|number| (least..=most).contains(number))
        .ok_or_else(|| format!("give a number from {least} to {most}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_shares_have_bounds() {
        assert_eq!(rate("2.5"), Ok(2.5));
        assert!(rate("0").is_err());
        assert!(rate("NaN").is_err());
        assert_eq!(share("0"), Ok(0.0));
        assert!(share("1.01").unwrap_err().contains("from 0 to 1"));
    }
}
