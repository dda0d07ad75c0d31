//! Replays against their peers: `replay_ratio_kafka`, `replay_ratio_rabbitmq`, and a job of a million events
//! that is killed in mid-flight: `million_job_survives_kill`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use redrive::brokers::kafka::KafkaAdmin;
use redrive::config::{Config, KafkaConfig};
use redrive::domain::{
    Brake, ClusterName, Filter, ReplayJobId, ReplayJobState, ReplayOptions, ReplayStateName,
    Snapshot, Timestamp, TopicName, VhostName,
};
use redrive::lifecycle::Lifecycle;
use redrive::metrics::Metrics;
use redrive::replay::{
    self, Actor, DestinationChoice, ReplayHandle, ReplayRequest, RevisionChoice, Selection,
};
use redrive::store::Store;
use tokio::sync::watch;
use uuid::Uuid;

use crate::figure::{self, Goal};
use crate::replay_letters::{Origin, fill};
use crate::{replay_million, replay_peer, site};

/// Events of a job; `REDRIVE_BENCH_EVENTS` asks for another number.
const EVENTS: u64 = 100_000;
const BODY_BYTES: usize = 1_024;
const PARTITIONS: i32 = 4;
const POLL: Duration = Duration::from_millis(20);
const LIMIT: Duration = Duration::from_mins(20);

pub(crate) fn run() -> Result<()> {
    site::runtime()?.block_on(async {
        kafka().await?;
        rabbitmq().await
    })
}

/// The group `million` is a group of its own: it takes the longest.
pub(crate) fn run_million() -> Result<()> {
    site::runtime()?.block_on(replay_million::run())
}

async fn kafka() -> Result<()> {
    let config = site::kafka()?;
    let (replayed, raw) = (new_topic(&config).await?, new_topic(&config).await?);
    let events = site::number("REDRIVE_BENCH_EVENTS", EVENTS)?;
    let origin = Origin::Topic(replayed.clone());
    let service = Config {
        kafka: vec![config.clone()],
        ..Config::default()
    };
    let ours = measure(service, &config.name, &origin, events).await?;
    let records = replay_peer::records_of(&config, &replayed, events).await?;
    let theirs = tokio::task::spawn_blocking({
        let (config, raw) = (config.clone(), raw.clone());
        move || replay_peer::produce(&config, &raw, &records)
    })
    .await??;
    report("Kafka", events, ours, ("a raw producer", theirs));
    figure::print("replay_ratio_kafka", theirs / ours, "", Goal::AtLeast(0.4));
    let admin = KafkaAdmin::new(&config)?;
    admin.delete_topic(&replayed).await?;
    Ok(admin.delete_topic(&raw).await?)
}

pub(crate) async fn new_topic(config: &KafkaConfig) -> Result<TopicName> {
    let topic = TopicName::new(format!("bench-replay-{}", Uuid::new_v4().simple()));
    let admin = KafkaAdmin::new(config)?;
    admin.create_topic(&topic, PARTITIONS, &[]).await?;
    Ok(topic)
}

async fn rabbitmq() -> Result<()> {
    let config = site::rabbitmq()?;
    let vhost = VhostName::new(format!("bench-{}", Uuid::new_v4().simple()));
    let peer = replay_peer::Queues::create(&config, &vhost).await?;
    let events = site::number("REDRIVE_BENCH_EVENTS", EVENTS)?;
    let cluster = config.name.clone();
    let service = Config {
        rabbitmq: vec![config],
        ..Config::default()
    };
    let ours = measure(service, &cluster, &Origin::Queue(vhost), events).await?;
    peer.holds(replay_peer::REPLAYED, events).await?;
    let theirs = peer.shovel(events).await?;
    report("RabbitMQ", events, ours, ("a shovel", theirs));
    figure::print(
        "replay_ratio_rabbitmq",
        theirs / ours,
        "",
        Goal::AtLeast(1.0),
    );
    peer.remove().await
}

fn report(broker: &str, events: u64, ours: f64, (peer, theirs): (&str, f64)) {
    println!(
        "{events} replays to {broker}: {:.0}/s; {peer}: {:.0}/s",
        events as f64 / ours,
        events as f64 / theirs
    );
}

/// Seconds from the release of a job that is whole until every event of it is sent, on disk.
async fn measure(
    config: Config,
    cluster: &ClusterName,
    origin: &Origin,
    events: u64,
) -> Result<f64> {
    let database = site::fresh_database("replay.db")?;
    let store = Store::open(&site::store_url(&database)).await?;
    fill(&store, cluster, origin, (events, BODY_BYTES)).await?;
    let lifecycle = Lifecycle::new();
    let handle = start(config, &store, &lifecycle)?;
    let actor = Actor {
        name: "bench".to_owned(),
        address: String::new(),
    };
    let later = Brake {
        not_before: Some(Timestamp(i64::MAX / 2)),
        ..Brake::default()
    };
    let request = request(cluster, origin)?;
    let job = handle.start_held(request, later, actor.clone()).await?.job;
    wait(&store, job, |state, _| state == ReplayJobState::Ready).await?;
    let begun = Instant::now();
    handle.set_brake(job, Brake::default(), actor).await?;
    wait(&store, job, |_, sent| sent == events).await?;
    let elapsed = begun.elapsed();
    lifecycle.stop_token().cancel();
    lifecycle.run_until_stopped().await?;
    store.close().await;
    site::remove_database(&database)?;
    Ok(elapsed.as_secs_f64())
}

fn request(cluster: &ClusterName, origin: &Origin) -> Result<ReplayRequest> {
    let destination = match origin {
        Origin::Topic(_) => DestinationChoice::Original,
        Origin::Queue(vhost) => DestinationChoice::Queue {
            cluster: cluster.clone(),
            vhost: vhost.clone(),
            queue: replay_peer::REPLAYED.into(),
        },
    };
    Ok(ReplayRequest {
        selection: Selection::Filter(Filter::parse("").context("the empty filter")?),
        revision: RevisionChoice::Latest,
        destination,
        options: ReplayOptions::default(),
    })
}

fn start(config: Config, store: &Store, lifecycle: &Lifecycle) -> Result<ReplayHandle> {
    let config = Arc::new(config);
    let metrics = Arc::new(Metrics::new(*config.sampling.interval));
    // Nobody samples: what is measured is the engine.
    let (_, snapshots) = watch::channel(Arc::new(Snapshot::default()));
    let stop = lifecycle.stop_token();
    let spawn = |task| lifecycle.spawn("replay", task);
    Ok(replay::start(
        &config, store, &metrics, snapshots, &stop, None, spawn,
    )?)
}

async fn wait(
    store: &Store,
    job: ReplayJobId,
    holds: impl Fn(ReplayJobState, u64) -> bool,
) -> Result<()> {
    let deadline = Instant::now() + LIMIT;
    loop {
        let known = store.replay_job(job).await?.context("the job is gone")?;
        if holds(known.state, known.count(ReplayStateName::Sent)) {
            return Ok(());
        }
        ensure!(
            Instant::now() < deadline,
            "waited in vain: {:?}",
            known.counts
        );
        tokio::time::sleep(POLL).await;
    }
}
