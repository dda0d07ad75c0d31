//! Connects to every broker once and says what Redrive can and cannot do there.

use std::process::ExitCode;

use super::ConfigArgs;
use crate::brokers::kafka::wire::KafkaSampler;
use crate::brokers::rabbitmq::RabbitMqSampler;
use crate::brokers::rabbitmq::amqp::AmqpChannel;
use crate::config::{Config, KafkaConfig, RabbitMqConfig};
use crate::domain::{KafkaSample, RabbitMqSample};
use crate::error_chain;
use crate::sandbox::Sandbox;
use crate::schemas::Schemas;

/// Exit code 0 if every broker and schema can be used, 1 if one cannot, and an error before that if the
/// configuration is refused.
pub(super) async fn run(args: &ConfigArgs) -> anyhow::Result<ExitCode> {
    let config = args.load()?;
    let mut failures = report("schemas", check_schemas(&config).await);
    for kafka in &config.kafka {
        failures += report(
            &format!("kafka {}", kafka.name),
            check_kafka(&config, kafka).await,
        );
    }
    for rabbitmq in &config.rabbitmq {
        let result = check_rabbitmq(&config, rabbitmq).await;
        failures += report(&format!("rabbitmq {}", rabbitmq.name), result);
    }
    Ok(if failures == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Lines for people, or why the broker or the schemas cannot be used. Returns the number of failures.
#[expect(clippy::print_stdout, reason = "the report is what the command is for")]
fn report(part: &str, result: Result<Vec<String>, String>) -> u32 {
    match result {
        Ok(lines) => {
            println!("{part}: ok");
            for line in lines {
                println!("  {line}");
            }
            0
        }
        Err(error) => {
            println!("{part}: FAILED\n  {error}");
            1
        }
    }
}

async fn check_schemas(config: &Config) -> Result<Vec<String>, String> {
    let schemas = Schemas::load(&config.schemas, &Sandbox::of_this_program()).await;
    let schemas = schemas.map_err(|error| error_chain(&error))?;
    let event_types: Vec<_> = schemas.event_types().collect();
    Ok(vec![match event_types.as_slice() {
        [] => "no event type has one".to_owned(),
        known => format!("for {}", known.join(", ")),
    }])
}

async fn check_kafka(config: &Config, kafka: &KafkaConfig) -> Result<Vec<String>, String> {
    let mut sampler = KafkaSampler::new(kafka, *config.sampling.request_timeout);
    let sample = sampler
        .sample()
        .await
        .map_err(|error| error_chain(&error))?;
    let mut lines = kafka_lines(&sample);
    lines.push(writes(kafka.read_only).to_owned());
    Ok(lines)
}

fn kafka_lines(sample: &KafkaSample) -> Vec<String> {
    let partitions: usize = sample
        .topics
        .iter()
        .map(|topic| topic.partitions.len())
        .sum();
    let mut lines = vec![
        format!(
            "{} brokers, {} topics, {partitions} partitions",
            sample.brokers,
            sample.topics.len()
        ),
        format!("{} consumer groups", sample.groups.len()),
        format!("one sample costs {} requests", sample.cost.requests),
    ];
    lines.extend(
        sample
            .problems
            .iter()
            .map(|problem| format!("cannot read {problem}")),
    );
    lines
}

async fn check_rabbitmq(config: &Config, rabbitmq: &RabbitMqConfig) -> Result<Vec<String>, String> {
    let mut sampler = RabbitMqSampler::new(rabbitmq, *config.sampling.request_timeout);
    let sample = sampler
        .sample()
        .await
        .map_err(|error| error_chain(&error))?;
    let channel = AmqpChannel::open(rabbitmq, "check").await;
    channel.map_err(|error| error_chain(&error))?.close().await;
    let mut lines = rabbitmq_lines(&sample);
    lines.push(writes(rabbitmq.read_only).to_owned());
    Ok(lines)
}

fn rabbitmq_lines(sample: &RabbitMqSample) -> Vec<String> {
    let mut lines = vec![
        format!("version {}, {} queues", sample.version, sample.queues.len()),
        format!("counts come from the {}", sample.counts_from),
        format!("one sample costs {} requests", sample.cost.requests),
    ];
    lines.extend(
        sample
            .problems
            .iter()
            .map(|problem| format!("cannot read {problem}")),
    );
    lines
}

const fn writes(read_only: bool) -> &'static str {
    if read_only {
        "read_only: no replays and no custody"
    } else {
        "replays are allowed"
    }
}
