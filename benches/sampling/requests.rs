//! How many requests a sample takes, which must not depend on the number of groups.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use redrive::brokers::kafka::wire::KafkaSampler;
use redrive::config::KafkaConfig;
use redrive::domain::KafkaSample;

use crate::load::{COMMITS_PER_GROUP, PARTITIONS_PER_TOPIC, SETUP_LIMIT, TIMEOUT, TOPICS};

/// The most requests of any sample, the first with its handshake included. Every sample has to be whole.
pub(crate) async fn most(server: &str, groups: usize) -> Result<u64> {
    const SAMPLES: u32 = 6;
    let config = KafkaConfig {
        bootstrap_servers: vec![server.to_owned()],
        ..KafkaConfig::default()
    };
    wait_until_whole(&config, groups).await?;
    let mut sampler = KafkaSampler::new(&config, TIMEOUT);
    let mut requests = 0;
    for _ in 0..SAMPLES {
        let sample = sampler.sample().await?;
        requests = requests.max(sample.cost.requests);
        ensure_whole(&sample, groups)?;
    }
    Ok(requests)
}

/// While new partitions get their leaders, a sample looks several times.
async fn wait_until_whole(config: &KafkaConfig, groups: usize) -> Result<()> {
    let deadline = Instant::now() + SETUP_LIMIT;
    let mut sampler = KafkaSampler::new(config, TIMEOUT);
    loop {
        match ensure_whole(&sampler.sample().await?, groups) {
            Ok(()) => return Ok(()),
            Err(error) if Instant::now() > deadline => return Err(error),
            Err(_) => tokio::time::sleep(Duration::from_millis(500)).await,
        }
    }
}

/// A cheap sample that lacks something would be no achievement.
fn ensure_whole(sample: &KafkaSample, groups: usize) -> Result<()> {
    ensure!(sample.problems.is_empty(), "{:?}", sample.problems);
    ensure!(sample.brokers == 1, "the bench needs a single broker");
    let of_bench = |name: &str| name.starts_with("bench-");
    let topics = sample.topics.iter().filter(|t| of_bench(t.topic.as_str()));
    let partitions = topics.flat_map(|topic| &topic.partitions);
    let whole = partitions.filter(|partition| {
        partition.log_start.is_some()
            && partition.high_watermark.is_some()
            && partition.last_stable.is_some()
    });
    let (seen, expected) = (whole.count(), TOPICS * PARTITIONS_PER_TOPIC as usize);
    ensure!(seen == expected, "{seen} of {expected} partitions");
    let found = sample.groups.iter().filter(|g| of_bench(g.group.as_str()));
    let found: Vec<usize> = found.map(|group| group.committed.len()).collect();
    ensure!(found.len() == groups, "{} of {groups} groups", found.len());
    ensure!(
        found.iter().all(|commits| *commits == COMMITS_PER_GROUP),
        "a group lacks commits"
    );
    Ok(())
}
