//! The process that takes in: sampling and intake as `redrive serve` runs them, on a fresh store, without
//! pages. It says when everything is stored, when everything is found, and the most memory it held.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use redrive::config::{Config, HumanDuration};
use redrive::dead_letters::{self, IntakeBoard, IntakeContext, IntakeState, Looks, ManagedQueues};
use redrive::domain::DeadLetterId;
use redrive::lifecycle::Lifecycle;
use redrive::metrics::Metrics;
use redrive::sampling;
use redrive::store::Store;
use serde::{Deserialize, Serialize};

use crate::{process, site};

/// The first argument of the process.
pub(crate) const WORD: &str = "take-in";
/// A poll costs the process a seek in an index and four changes of threads.
const POLL: Duration = Duration::from_millis(50);
const LIMIT: Duration = Duration::from_mins(20);

/// What it measured, from the moment in which its consumer was assigned.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) stored_seconds: f64,
    pub(crate) searchable_seconds: f64,
    pub(crate) peak_resident_bytes: u64,
}

/// Starts the process and waits for its report.
pub(crate) fn measure(store_url: &str, topic: &str, count: u64) -> Result<Report> {
    let output = Command::new(std::env::current_exe()?)
        .args([WORD, store_url, topic, &count.to_string()])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start the process that takes in")?;
    ensure!(output.status.success(), "taking in failed");
    serde_json::from_slice(&output.stdout).context("the process that takes in said no report")
}

/// The process itself.
pub(crate) fn run(arguments: &[&str]) -> Result<()> {
    let [url, topic, count] = arguments else {
        bail!("usage: {WORD} STORE_URL TOPIC COUNT");
    };
    redrive::allocator::give_back_large_blocks();
    let report = site::runtime()?.block_on(take_in(url, topic, count.parse()?))?;
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}

async fn take_in(url: &str, topic: &str, count: i64) -> Result<Report> {
    let store = Store::open(url).await?;
    let lifecycle = Lifecycle::new();
    let board = start(&store, topic, &lifecycle)?;
    wait("the intake reads", async || {
        let reads = |state: &IntakeState| *state == IntakeState::Reading;
        Ok(board.statuses().iter().any(|status| reads(&status.state)))
    })
    .await?;
    let started = Instant::now();
    wait("everything is stored", async || {
        Ok(store.newest_id().await? >= DeadLetterId(count))
    })
    .await?;
    let stored = started.elapsed();
    wait("everything is searchable", async || {
        Ok(store.search_backlog().await? == 0)
    })
    .await?;
    let report = Report {
        stored_seconds: stored.as_secs_f64(),
        searchable_seconds: started.elapsed().as_secs_f64(),
        peak_resident_bytes: process::peak_resident_bytes("self")?,
    };
    lifecycle.stop_token().cancel();
    lifecycle.run_until_stopped().await?;
    store.close().await;
    Ok(report)
}

fn start(store: &Store, topic: &str, lifecycle: &Lifecycle) -> Result<IntakeBoard> {
    let mut config = Config {
        kafka: vec![site::kafka()?],
        ..Config::default()
    };
    config.sampling.interval = HumanDuration::from_secs(1);
    config.dead_letters.kafka_topics = vec![topic.to_owned()];
    let config = Arc::new(config);
    let metrics = Arc::new(Metrics::new(*config.sampling.interval));
    let stop = lifecycle.stop_token();
    let sampling = sampling::start(&config, Arc::clone(&metrics), &stop, |task| {
        lifecycle.spawn("sampling", task);
    });
    let context = IntakeContext {
        config,
        store: store.clone(),
        metrics,
        snapshots: sampling.subscribe(),
        board: IntakeBoard::default(),
        managed: ManagedQueues::default(),
        looks: Looks::default(),
        stop,
    };
    for (name, task) in dead_letters::tasks(&context) {
        lifecycle.spawn(name, task);
    }
    Ok(context.board)
}

async fn wait(what: &str, mut holds: impl AsyncFnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + LIMIT;
    while !holds().await? {
        ensure!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}
