//! `tap_read_ratio`: reading records and extracting what a trace keeps of them, against kcat, which reads the same
//! topic and prints it to nowhere.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use redrive::brokers::kafka::TapConsumer;
use redrive::config::{Config, KafkaConfig};
use redrive::domain::{ConsumerGroup, Timestamp, TopicName};
use redrive::traces;

use crate::figure::{self, Goal};
use crate::site;

const EVENTS: u64 = 500_000;
/// The middle one counts.
const PASSES: usize = 7;
const BATCH: usize = 2_000;
const BATCH_WAIT: Duration = Duration::from_millis(500);

pub(crate) fn run() -> Result<()> {
    site::with_topic(EVENTS, |config, topic| {
        let (mut ours, mut kcat) = (Vec::new(), Vec::new());
        for _ in 0..PASSES {
            kcat.push(read_by_kcat(config, topic)?);
            ours.push(site::runtime()?.block_on(read(config, topic))?);
        }
        let (ours, kcat) = (middle(ours), middle(kcat));
        println!("read and extracted {ours:.0}/s; kcat {kcat:.0}/s");
        figure::print("tap_read_ratio", ours / kcat, "", Goal::AtLeast(0.3));
        Ok(())
    })
}

fn middle(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied().unwrap_or_default()
}

/// Events a second from the first batch on: joining a group takes its time.
async fn read(config: &KafkaConfig, topic: &str) -> Result<f64> {
    let group = ConsumerGroup::new(site::group_at_the_start(config, topic)?);
    let consumer = TapConsumer::new(config, &group)?;
    consumer.subscribe(&[TopicName::new(topic)].into())?;
    let mut started = None;
    let (mut seen, mut extracted) = (0_u64, 0_u64);
    while seen < EVENTS {
        let batch = consumer.next_batch(BATCH, BATCH_WAIT).await?;
        if batch.is_empty() {
            continue;
        }
        started.get_or_insert_with(Instant::now);
        let (now, defaults) = (Timestamp::now(), Config::default());
        let events = batch
            .iter()
            .filter_map(|record| traces::traced_event(&config.name, record, &defaults, now));
        extracted += events.count() as u64;
        seen += batch.len() as u64;
    }
    ensure!(
        extracted == EVENTS,
        "only {extracted} events were understood"
    );
    let started = started.context("nothing was read")?;
    Ok(EVENTS as f64 / started.elapsed().as_secs_f64())
}

fn read_by_kcat(config: &KafkaConfig, topic: &str) -> Result<f64> {
    let started = Instant::now();
    let servers = config.bootstrap_servers.join(",");
    let status = Command::new("kcat")
        .args([
            "-C",
            "-q",
            "-e",
            "-b",
            &servers,
            "-t",
            topic,
            "-o",
            "beginning",
        ])
        .args(["-c", &EVENTS.to_string()])
        .stdout(Stdio::null())
        .status()
        .context("cannot start kcat")?;
    ensure!(status.success(), "kcat failed");
    Ok(EVENTS as f64 / started.elapsed().as_secs_f64())
}
