//! Where the bench works: the Kafka of `REDRIVE_TEST_KAFKA`, and files below `target/redrive/bench/traces`, so
//! that everything that is compared lies on one file system.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use redrive::brokers::kafka::KafkaAdmin;
use redrive::config::KafkaConfig;
use redrive::domain::TopicName;
use tokio::runtime::Runtime;
use uuid::Uuid;

use crate::events::Producer;

const PARTITIONS: i32 = 4;
const TIMEOUT: Duration = Duration::from_mins(1);

pub(crate) fn kafka() -> Result<KafkaConfig> {
    let server = std::env::var("REDRIVE_TEST_KAFKA")
        .context("REDRIVE_TEST_KAFKA is not set; run `cargo xtask bench traces`")?;
    Ok(KafkaConfig {
        bootstrap_servers: vec![server],
        ..KafkaConfig::default()
    })
}

/// Runs `measure` while a topic holds so many events, and removes it whatever comes of it.
pub(crate) fn with_topic(
    events: u64,
    measure: impl FnOnce(&KafkaConfig, &str) -> Result<()>,
) -> Result<()> {
    let config = kafka()?;
    let topic = TopicName::new(format!("bench-traces-{}", Uuid::new_v4().simple()));
    let runtime = runtime()?;
    let admin = KafkaAdmin::new(&config)?;
    runtime.block_on(admin.create_topic(&topic, PARTITIONS, &[]))?;
    let result =
        fill(&config, topic.as_str(), events).and_then(|()| measure(&config, topic.as_str()));
    runtime.block_on(admin.delete_topic(&topic))?;
    result
}

fn fill(config: &KafkaConfig, topic: &str, events: u64) -> Result<()> {
    let producer = Producer::new(config)?;
    (0..events).try_for_each(|number| producer.send(topic, number))?;
    producer.flush()
}

/// A consumer group that has all of the topic before it.
pub(crate) fn group_at_the_start(config: &KafkaConfig, topic: &str) -> Result<String> {
    let group = format!("bench-{}", Uuid::new_v4().simple());
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", config.bootstrap_servers.join(","))
        .set("group.id", &group)
        .create()?;
    let mut offsets = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        offsets.add_partition_offset(topic, partition, Offset::Offset(0))?;
    }
    consumer.commit(&offsets, CommitMode::Sync)?;
    let committed = consumer.committed_offsets(offsets, TIMEOUT)?;
    ensure!(committed.count() > 0, "nothing was committed");
    Ok(group)
}

/// The folder of everything that the bench writes.
pub(crate) fn folder() -> Result<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/redrive/bench/traces");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}

/// A database of the folder that does not exist yet.
pub(crate) fn fresh_database(name: &str) -> Result<PathBuf> {
    let path = folder()?.join(name);
    for suffix in ["", "-wal", "-shm"] {
        let file = PathBuf::from(format!("{}{suffix}", path.display()));
        match fs::remove_file(&file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot remove {}", file.display()));
            }
            _ => {}
        }
    }
    Ok(path)
}

pub(crate) fn store_url(path: &Path) -> String {
    format!("sqlite:{}", path.display())
}

pub(crate) fn runtime() -> Result<Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?)
}
