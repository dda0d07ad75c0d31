//! A job of a million events in the real process, killed with `kill -9` in mid-flight: it goes on, and every
//! event arrives.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use redrive::brokers::kafka::{AssignedPartition, DlqConsumer, KafkaAdmin};
use redrive::config::KafkaConfig;
use redrive::domain::conventions::REPLAY_ID;
use redrive::domain::{Offset, Partition, ReplayJob, ReplayStateName, TopicName};
use redrive::store::{PageRequest, Store};

use crate::replay::new_topic;
use crate::replay_letters::{Origin, fill};
use crate::site;

const EVENTS: u64 = 1_000_000;
const BODY_BYTES: usize = 100;
const LIMIT: Duration = Duration::from_mins(30);

pub(crate) async fn run() -> Result<()> {
    let config = site::kafka()?;
    let topic = new_topic(&config).await?;
    let events = site::number("REDRIVE_BENCH_EVENTS", EVENTS)?;
    let folder = tempfile::tempdir_in(site::folder()?)?;
    let store = Store::open(&site::store_url(&folder.path().join("redrive.db"))).await?;
    let (origin, content) = (Origin::Topic(topic.clone()), (events, BODY_BYTES));
    fill(&store, &config.name, &origin, content).await?;
    let listen = configure(folder.path(), &config)?;
    let begun = Instant::now();
    let mut service = serve(folder.path())?;
    confirm(&listen).await?;
    let frozen = wait(&store, |job| job.released() > 0).await?;
    println!(
        "{} events written down after {:.0?}",
        frozen.total(),
        begun.elapsed()
    );
    wait(&store, |job| job.released() > events / 3).await?;
    service.kill()?;
    service.wait()?;
    let at_kill = job(&store).await?.context("the job is gone")?;
    println!("killed with {:?}", at_kill.counts);
    let mut service = serve(folder.path())?;
    let open =
        |job: &ReplayJob| job.count(ReplayStateName::Planned) + job.count(ReplayStateName::Sending);
    let done = wait(&store, |job| open(job) == 0).await;
    service.kill()?;
    service.wait()?;
    let done = done?;
    let copies = copies(&config, &topic).await?;
    let twice = copies.values().filter(|count| **count > 1).count();
    println!(
        "after {:.0?}: {:?}; {} arrived, {twice} of them twice",
        begun.elapsed(),
        done.counts,
        copies.len()
    );
    let whole = copies.len() as u64 == events && twice == 0;
    let decided = done.total() == events && done.count(ReplayStateName::Failed) == 0;
    let verdict = if whole && decided { "met" } else { "missed" };
    println!("million_job_survives_kill: {events} events: {verdict}");
    Ok(KafkaAdmin::new(&config)?.delete_topic(&topic).await?)
}

/// Writes the configuration and answers where the service will listen.
fn configure(folder: &Path, kafka: &KafkaConfig) -> Result<String> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let listen = listener.local_addr()?.to_string();
    let text = format!(
        "[http]\nlisten = '{listen}'\n[store]\nurl = 'sqlite:redrive.db'\n\
         [dead_letters]\nkafka_topics = ['no-topic-of-that-name']\n\
         [[kafka]]\nname = '{}'\nbootstrap_servers = ['{}']\n",
        kafka.name,
        kafka.bootstrap_servers.join("', '")
    );
    fs::write(folder.join("redrive.toml"), text)?;
    Ok(listen)
}

fn serve(folder: &Path) -> Result<Child> {
    let log = fs::File::create(folder.join("serve.log"))?;
    Command::new(env!("CARGO_BIN_EXE_redrive"))
        .args(["serve", "--config", "redrive.toml"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("cannot start redrive serve")
}

/// Confirms a job of everything as soon as the service is up.
async fn confirm(listen: &str) -> Result<()> {
    let http = reqwest::Client::new();
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        let asked = http
            .post(format!("http://{listen}/api/v1/replays"))
            .header("origin", format!("http://{listen}"))
            .json(&serde_json::json!({ "filter": "" }));
        match asked.send().await {
            Ok(answer) => {
                answer.error_for_status()?;
                return Ok(());
            }
            Err(error) => ensure!(Instant::now() < deadline, "the service is not up: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn job(store: &Store) -> Result<Option<ReplayJob>> {
    let page = store.replay_jobs(&PageRequest::first(1)).await?;
    Ok(page.items.into_iter().next())
}

async fn wait(store: &Store, holds: impl Fn(&ReplayJob) -> bool) -> Result<ReplayJob> {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(job) = job(store).await?.filter(|job| holds(job)) {
            return Ok(job);
        }
        ensure!(
            Instant::now() < deadline,
            "waited in vain: {:?}",
            job(store).await?
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// How often each replay ID is in the topic.
async fn copies(config: &KafkaConfig, topic: &TopicName) -> Result<HashMap<u128, u32>> {
    let admin = KafkaAdmin::new(config)?;
    let described = admin.topic(topic).await?.context("the topic is gone")?;
    let mut copies = HashMap::new();
    for partition in (0..)
        .zip(&described.partitions)
        .map(|(number, _)| Partition(number))
    {
        let end = admin.watermarks(topic, partition).await?.high;
        let consumer = DlqConsumer::new(config)?;
        consumer.assign(&[AssignedPartition {
            topic: topic.clone(),
            partition,
            offset: Offset(0),
        }])?;
        let mut next = Offset(0);
        while next < end {
            let batch = consumer.next_batch(1_000, Duration::from_secs(20)).await?;
            let last = batch
                .last()
                .context("the topic cannot be read to its end")?;
            next = Offset(last.offset.0 + 1);
            for record in &batch {
                let id = record
                    .message
                    .header_text(REPLAY_ID)
                    .context("no replay ID")?;
                let id: uuid::Uuid = id.parse()?;
                *copies.entry(id.as_u128()).or_default() += 1;
            }
        }
    }
    Ok(copies)
}
