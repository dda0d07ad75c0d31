//! 10,000 queues: a sample by Redrive's cheapest source, the detailed page of the prometheus plugin with the listing of
//! the management API now and then, against a scrape of the plugin's page of all objects.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures_util::future::try_join_all;
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};
use redrive::brokers::rabbitmq::RabbitMqSampler;
use redrive::config::{RabbitMqConfig, Secret};
use redrive::domain::RabbitMqSample;
use url::Url;

use crate::cycles;
use crate::exporter::{Encoding, Scraper};
use crate::figure::{self, Goal};
use crate::process::Watched;
use crate::runtime;

const QUEUES: usize = 10_000;
const CONNECTIONS: usize = 8;
const TIMEOUT: Duration = Duration::from_mins(1);
/// Five minutes, so that the listings that fall due are in it.
const OURS_MEASURED: u32 = 30;
/// The management API counts a new queue some time after it was declared.
const SETUP_LIMIT: Duration = Duration::from_mins(5);

pub(crate) fn run() -> Result<()> {
    let prometheus = variable("REDRIVE_BENCH_RABBITMQ_PROMETHEUS_URL")?;
    let config = RabbitMqConfig {
        amqp_url: Secret::new(variable("REDRIVE_BENCH_AMQP_URL")?),
        management_url: Secret::new(variable("REDRIVE_BENCH_RABBITMQ_MANAGEMENT_URL")?),
        prometheus_url: vec![Secret::new(prometheus.clone())],
        ..RabbitMqConfig::default()
    };
    let broker = Watched::session_of("REDRIVE_BENCH_RABBITMQ_PID")?;
    let runtime = runtime()?;
    runtime.block_on(declare_queues(&config))?;
    let mut sampler = RabbitMqSampler::new(&config, TIMEOUT);
    runtime.block_on(warm_up(&mut sampler))?;

    let idle = cycles::idle(broker)?;
    let own = Watched::One(std::process::id());
    let mut seconds = Vec::new();
    let mut listings = 0;
    let ours = cycles::measure((own, broker, idle), OURS_MEASURED, || {
        let begun = Instant::now();
        let sample = runtime.block_on(sampler.sample())?;
        seconds.push(begun.elapsed().as_secs_f64());
        listings += usize::from(lists_queues(&sample));
        ensure_whole(&sample)
    })?;
    ensure!(
        listings > 0,
        "the queues were not listed: measure for longer"
    );
    figure::tell("rabbitmq_listings", listings as f64, "in 5 minutes");

    seconds.sort_by(f64::total_cmp);
    let middle = seconds.get(seconds.len() / 2).context("no sample")?;
    figure::print("rabbitmq_sample_seconds", *middle, "s", Goal::Below(1.0));
    let slowest = seconds.last().context("no sample")?;
    figure::tell("rabbitmq_slowest_sample_seconds", *slowest, "s");

    let idle = cycles::idle(broker)?;
    let address = address_of(&prometheus)?;
    let mut bytes = 0;
    let peers = cycles::measure((own, broker, idle), cycles::MEASURED, || {
        // The plugin closes a connection on which nothing comes for five seconds.
        let mut scraper = Scraper::connect(address, "/metrics/per-object")?;
        bytes = scraper.scrape(Encoding::Plain)?.len();
        Ok(())
    })?;
    figure::tell("rabbitmq_per_object_bytes", bytes as f64, "bytes");
    let cpu = (ours.broker, peers.broker);
    figure::print_ratio("rabbitmq_broker_cpu_ratio", cpu, "s", Goal::Below(1.0));
    Ok(())
}

fn address_of(url: &str) -> Result<SocketAddr> {
    let url = Url::parse(url)?;
    let (host, port) = (url.host_str(), url.port());
    let host = host.context("no host")?.parse()?;
    Ok(SocketAddr::new(host, port.context("no port")?))
}

fn variable(name: &str) -> Result<String> {
    std::env::var(name)
        .with_context(|| format!("{name} is not set; run `cargo xtask bench sampling rabbitmq`"))
}

async fn declare_queues(config: &RabbitMqConfig) -> Result<()> {
    let shares = (0..CONNECTIONS).map(|first| declare(config, first));
    try_join_all(shares).await.map(drop)
}

/// Every eighth queue.
async fn declare(config: &RabbitMqConfig, first: usize) -> Result<()> {
    let properties = ConnectionProperties::default();
    let connection = Connection::connect(config.amqp_url.expose(), properties).await?;
    let channel = connection.create_channel().await?;
    let options = QueueDeclareOptions {
        durable: true,
        ..QueueDeclareOptions::default()
    };
    for number in (first..QUEUES).step_by(CONNECTIONS) {
        let name = format!("bench-queue-{number:05}");
        let arguments = FieldTable::default();
        channel
            .queue_declare(name.into(), options, arguments)
            .await?;
    }
    connection.close(200, "declared".into()).await?;
    Ok(())
}

/// Samples until all queues are there with their counts.
async fn warm_up(sampler: &mut RabbitMqSampler) -> Result<()> {
    let deadline = Instant::now() + SETUP_LIMIT;
    loop {
        match ensure_whole(&sampler.sample().await?) {
            Ok(()) => return Ok(()),
            Err(error) if Instant::now() > deadline => return Err(error),
            Err(_) => tokio::time::sleep(Duration::from_secs(1)).await,
        }
    }
}

fn lists_queues(sample: &RabbitMqSample) -> bool {
    sample
        .cost
        .requests_by_api
        .iter()
        .any(|(api, _)| api == "queues")
}

/// A cheap sample that lacks something would be no achievement.
fn ensure_whole(sample: &RabbitMqSample) -> Result<()> {
    let counted = sample.queues.iter();
    let counted = counted.filter(|queue| queue.messages.is_some() && queue.consumers.is_some());
    let (counted, source) = (counted.count(), &sample.counts_from);
    ensure!(
        counted >= QUEUES && source == "prometheus plugin",
        "{counted} of {QUEUES} queues by the {source}: {:?}",
        sample.problems
    );
    Ok(())
}
