//! `cargo xtask trial replay`: while jobs are sent by the real binary, it is killed, its line to the broker
//! is cut and the broker restarted, each at random; then the destination is read whole and compared with
//! the store.
//!
//! A seed decides what happens (`plan`). A trial is a row of episodes, each with a store, a destination and
//! jobs of its own (`episode`), several at a time. What an episode found is one line of the state file
//! (`journal`), so that a trial that was interrupted goes on. `truth` says what is wrong; `figures` sums up.
//! Without the brokers that `xtask` starts for it, it cannot run.
#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

mod control;
mod episode;
mod figures;
mod journal;
mod letters;
mod plan;
mod proxy;
mod service;
mod site;
mod truth;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex as SyncMutex;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use futures_util::future::join_all;
use tokio::sync::Mutex;

use control::BrokerControl;
use journal::{EpisodeReport, Fault, Journal};
use plan::{Episode, System, Wanted};
use site::{Addresses, Site};

/// Episodes of RabbitMQ at a time; on Kafka as many as its broker has lanes, which wait most of the time.
const RABBITMQ_LANES: usize = 4;
/// Passes over what is still wanted: some kills find nothing to interrupt.
const MOST_PASSES: u32 = 8;
/// No episode begins later; the rest is for another run.
const TIME_LIMIT: Duration = Duration::from_mins(42);

struct Options {
    wanted: Wanted,
    seed: Option<u64>,
    /// Names the state file.
    profile: &'static str,
}

struct Trial {
    wanted: Wanted,
    addresses: Addresses,
    state: PathBuf,
    journal: Mutex<Journal>,
    deadline: Instant,
}

fn main() -> Result<ExitCode> {
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok();
    let options = options(std::env::args().skip(1))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let is_met = runtime.block_on(run(options))?;
    Ok(if is_met {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn options(mut words: impl Iterator<Item = String>) -> Result<Options> {
    let mut options = Options {
        wanted: Wanted::full(),
        seed: None,
        profile: "full",
    };
    while let Some(word) = words.next() {
        match word.as_str() {
            // cargo adds it to what a bench is told.
            "replay" | "--bench" => {}
            "--short" => {
                options.wanted = Wanted::short();
                options.profile = "short";
            }
            "--seed" => {
                let seed = words.next().context("--seed needs a number")?;
                let parsed = seed.parse();
                options.seed = Some(parsed.with_context(|| format!("`{seed}` is no seed"))?);
            }
            _ => bail!("unknown option `{word}`: cargo xtask trial replay [--short] [--seed N]"),
        }
    }
    Ok(options)
}

async fn run(options: Options) -> Result<bool> {
    let variable = |name: &str| {
        std::env::var(name).with_context(|| format!("{name} is not set: cargo xtask trial replay"))
    };
    let state = PathBuf::from(variable("REDRIVE_TRIAL_STATE")?);
    let file = state.join(format!("replay-{}.jsonl", options.profile));
    let journal = Journal::open(&file, options.seed, &options.wanted)?;
    println!("seed: {}", journal.seed);
    println!("{} episodes are done already", journal.reports.len());
    let trial = Trial {
        wanted: options.wanted,
        addresses: Addresses {
            kafka: variable("REDRIVE_TRIAL_KAFKA")?,
            amqp: variable("REDRIVE_TRIAL_AMQP")?,
            management_url: variable("REDRIVE_TRIAL_MANAGEMENT_URL")?,
        },
        state,
        journal: Mutex::new(journal),
        deadline: Instant::now() + TIME_LIMIT,
    };
    let lanes = lanes(&variable("REDRIVE_TRIAL_KAFKA_LANES")?)?;
    let program = PathBuf::from(variable("REDRIVE_TRIAL_CONTROL")?);
    let [kafka, rabbitmq] = System::ALL.map(|system| BrokerControl::new(system, program.clone()));
    let kafka_lanes: Vec<_> = lanes.into_iter().map(Some).collect();
    let (of_kafka, of_rabbitmq) = tokio::join!(
        trial.run_system(System::Kafka, &kafka, &kafka_lanes),
        trial.run_system(System::RabbitMq, &rabbitmq, &[None; RABBITMQ_LANES]),
    );
    of_kafka.and(of_rabbitmq)?;
    let journal = trial.journal.lock().await;
    Ok(figures::print(&journal, &trial.wanted))
}

/// `proxy:broker,proxy:broker`
fn lanes(text: &str) -> Result<Vec<(u16, u16)>> {
    let lane = |lane: &str| {
        let (proxy, broker) = lane.split_once(':').context("a lane has two ports")?;
        Ok((proxy.parse()?, broker.parse()?))
    };
    text.split(',').map(lane).collect()
}

impl Trial {
    async fn run_system(
        &self,
        system: System,
        control: &BrokerControl,
        lanes: &[Option<(u16, u16)>],
    ) -> Result<()> {
        for pass in 0..MOST_PASSES {
            let episodes = self.left_of_pass(system, pass).await;
            let queue = SyncMutex::new(episodes);
            let workers = lanes
                .iter()
                .map(|lane| self.work_through(&queue, control, *lane));
            for outcome in join_all(workers).await {
                outcome?;
            }
        }
        Ok(())
    }

    async fn left_of_pass(&self, system: System, pass: u32) -> VecDeque<Episode> {
        let journal = self.journal.lock().await;
        let wanted = journal.wanted_after(system, &self.wanted, pass);
        let mut episodes = plan::episodes(journal.seed, system, pass, &wanted);
        episodes.retain(|episode| !journal.has(system, episode.id));
        episodes.into()
    }

    async fn work_through(
        &self,
        queue: &SyncMutex<VecDeque<Episode>>,
        control: &BrokerControl,
        lane: Option<(u16, u16)>,
    ) -> Result<()> {
        while Instant::now() < self.deadline {
            let next = queue.lock().map_or(None, |mut queue| queue.pop_front());
            let Some(episode) = next else { break };
            let report = self.play(&episode, control, lane).await;
            let mut journal = self.journal.lock().await;
            say(&report);
            journal.add(report)?;
        }
        Ok(())
    }

    /// An episode that breaks is a finding too; its folder stays.
    async fn play(
        &self,
        episode: &Episode,
        control: &BrokerControl,
        lane: Option<(u16, u16)>,
    ) -> EpisodeReport {
        let name = format!(
            "{}-{}-{}",
            episode.system.name(),
            episode.id.pass,
            episode.id.number
        );
        let folder = self.state.join(name);
        let report = self.play_in(&folder, episode, control, lane).await;
        let report = report.unwrap_or_else(|error| {
            let mut report = EpisodeReport::new(episode.system, episode.id);
            report.faults.push((Fault::Broken, format!("{error:#}")));
            report
        });
        if report.faults.is_empty() {
            let _ = std::fs::remove_dir_all(&folder);
        }
        report
    }

    async fn play_in(
        &self,
        folder: &Path,
        episode: &Episode,
        control: &BrokerControl,
        lane: Option<(u16, u16)>,
    ) -> Result<EpisodeReport> {
        if folder.exists() {
            std::fs::remove_dir_all(folder)?;
        }
        std::fs::create_dir_all(folder)?;
        let up = control.up().await;
        let site = episode::patiently(async || match lane {
            Some(lane) => Site::topic(&self.addresses, lane).await,
            None => Site::queues(&self.addresses).await,
        });
        let site = site.await?;
        drop(up);
        let report = episode::play(episode, control, &site, folder).await?;
        let _up = control.up().await;
        site.remove().await?;
        Ok(report)
    }
}

fn say(report: &EpisodeReport) {
    println!(
        "{} {}.{}: {} s, {} replays, {} unknown, {} kills, {} cuts, {} restarts, {} faults",
        report.system.name(),
        report.id.pass,
        report.id.number,
        report.seconds,
        report.events,
        report.unknown,
        report.at_points.values().sum::<usize>() + report.at_random.values().sum::<usize>(),
        report.cuts.values().sum::<usize>(),
        report.restarts,
        report.faults.len(),
    );
    for (fault, text) in report.faults.iter().take(5) {
        println!("  {fault:?}: {text}");
    }
}
