//! One episode: jobs that are sent while the process is killed, the line cut and the broker restarted,
//! and the check of what came of it.

use std::collections::HashSet;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use redrive::domain::{ClusterName, Replay, ReplayId, ReplayStateName};
use redrive::store::Store;

use crate::control::BrokerControl;
use crate::journal::{EpisodeReport, Fault};
use crate::letters::{Planned, plan_job};
use crate::plan::{BrokerEnd, Cut, Episode, Moment, StateAtKill, Step, System};
use crate::service::Service;
use crate::site::{QUEUES, Site};
use crate::truth::{InFlight, judge};

/// Before each step at least so many are planned, so that it interrupts something.
const FEWEST_PLANNED: u64 = 300;
const EVENTS_OF_A_JOB: usize = 500;
/// `design.md`: so many without a confirm for each queue.
const MOST_UNCONFIRMED: usize = 200;
/// A start on a busy machine, a recovery, and the pauses of an engine whose broker was away.
const POINT_LIMIT: Duration = Duration::from_mins(1);
const BYTES_LIMIT: Duration = Duration::from_secs(10);
/// How long a broker may take to be itself after a start.
const BROKER_LIMIT: Duration = Duration::from_secs(30);
/// Other episodes restart the broker meanwhile, and an engine pauses up to 30 s after each error.
const STANDSTILL_LIMIT: Duration = Duration::from_mins(4);
const MOST_REPLAYS: u32 = 1_000_000;

/// What was true before the process that is killed next did anything.
#[derive(Default)]
struct Before {
    sending: HashSet<ReplayId>,
    sent: u64,
    depth: u64,
}

pub(crate) struct Run<'a> {
    episode: &'a Episode,
    control: &'a BrokerControl,
    site: &'a Site,
    store: Store,
    service: Service<'a>,
    planned: Vec<Planned>,
    in_flight: InFlight,
    report: EpisodeReport,
    before: Before,
    restarts_at_begin: usize,
}

/// Plays the episode in an empty folder.
pub(crate) async fn play(
    episode: &Episode,
    control: &BrokerControl,
    site: &Site,
    folder: &Path,
) -> Result<EpisodeReport> {
    let began = Instant::now();
    let text = format!(
        "[http]\nlisten = '127.0.0.1:0'\n[store]\nurl = 'sqlite:redrive.db'\n\
         [sampling]\ninterval = '10s'\n[dead_letters]\nkafka_topics = ['no-topic-of-that-name']\n\
         [replay]\nkafka_delivery_timeout = '1s'\nrabbitmq_confirm_timeout = '10s'\n{}",
        site.configuration()
    );
    std::fs::write(folder.join("redrive.toml"), text)?;
    let url = format!("sqlite:{}", folder.join("redrive.db").display());
    let mut run = Run {
        episode,
        control,
        site,
        store: Store::open(&url).await?,
        service: Service::new(folder),
        planned: Vec::new(),
        in_flight: InFlight::default(),
        report: EpisodeReport::new(episode.system, episode.id),
        before: Before::default(),
        restarts_at_begin: control.restarts(),
    };
    for step in &episode.steps {
        run.plan_enough().await?;
        run.take(step).await.with_context(|| format!("{step:?}"))?;
    }
    run.finish().await?;
    run.store.close().await;
    run.report.seconds = began.elapsed().as_secs();
    Ok(run.report)
}

impl Run<'_> {
    async fn plan_enough(&mut self) -> Result<()> {
        if self.count(ReplayStateName::Planned).await? >= FEWEST_PLANNED {
            return Ok(());
        }
        let first = i64::try_from(self.planned.len())?;
        let (target, spread) = (&self.site.target, self.episode.spread);
        let job = plan_job(&self.store, target, (first, EVENTS_OF_A_JOB), spread);
        self.planned.extend(job.await?);
        // An engine that runs already was not told by another process; the next start looks.
        if self.service.is_running() {
            self.kill_from_outside().await?;
        }
        Ok(())
    }

    async fn take(&mut self, step: &Step) -> Result<()> {
        match step {
            Step::KillAt(state, point) => self.kill_at(*state, point).await,
            Step::Kill(moment) => {
                self.start_and_wait(*moment).await?;
                self.kill_from_outside().await
            }
            Step::Cut(cut, moment, millis) => {
                self.start_and_wait(*moment).await?;
                self.cut(*cut, Duration::from_millis(*millis)).await
            }
            Step::Restart(end, moment) => {
                self.start_and_wait(*moment).await?;
                self.restart(*end).await
            }
        }
    }

    async fn kill_at(&mut self, state: StateAtKill, point: &str) -> Result<()> {
        if self.service.is_running() {
            self.kill_from_outside().await?;
        }
        self.service.start(Some(point))?;
        if self.service.ends_within(POINT_LIMIT).await?.is_some() {
            *self.report.at_points.entry(state).or_default() += 1;
            return self.note_in_flight().await.map(drop);
        }
        // It did not pass there, which the histogram will show.
        self.service.kill().await?;
        self.note_in_flight().await.map(drop)
    }

    async fn start_and_wait(&mut self, moment: Moment) -> Result<()> {
        if !self.service.is_running() {
            self.before = Before {
                sending: self.sending().await?,
                sent: self.confirmed().await?,
                depth: self.depth().await?,
            };
            self.service.start(None)?;
        }
        match moment {
            Moment::AfterMillis(millis) => tokio::time::sleep(Duration::from_millis(millis)).await,
            Moment::AfterBytes(bytes) => {
                let proxy = &self.site.proxy;
                proxy
                    .wait_until_sent(proxy.sent() + bytes, BYTES_LIMIT)
                    .await;
            }
        }
        Ok(())
    }

    async fn kill_from_outside(&mut self) -> Result<()> {
        self.service.kill().await?;
        let sending = self.note_in_flight().await?;
        let state = self.state_at_kill(&sending).await?;
        *self.report.at_random.entry(state).or_default() += 1;
        Ok(())
    }

    async fn cut(&mut self, cut: Cut, duration: Duration) -> Result<()> {
        self.site.proxy.cut(cut, duration).await;
        self.in_flight.at_most_others += MOST_UNCONFIRMED * QUEUES;
        *self.report.cuts.entry(cut).or_default() += 1;
        Ok(())
    }

    async fn restart(&mut self, end: BrokerEnd) -> Result<()> {
        self.control.restart(end).await?;
        self.report.restarts += 1;
        Ok(())
    }

    /// What was being sent when the process ended, which is what may become unknown.
    async fn note_in_flight(&mut self) -> Result<HashSet<ReplayId>> {
        let sending = self
            .store
            .replays_in(&[ReplayStateName::Sending], MOST_REPLAYS);
        let sending = sending.await?;
        if self.episode.system == System::RabbitMq {
            for queue in sending.chunk_by(|a, b| a.destination == b.destination) {
                if queue.len() > MOST_UNCONFIRMED {
                    let text =
                        format!("{} were in flight to {}", queue.len(), queue[0].destination);
                    self.report.faults.push((Fault::BeyondInFlight, text));
                }
            }
        }
        let ids: HashSet<ReplayId> = sending.iter().map(|replay| replay.id).collect();
        self.in_flight.seen_at_kills.extend(&ids);
        Ok(ids)
    }

    async fn state_at_kill(&self, sending: &HashSet<ReplayId>) -> Result<StateAtKill> {
        if sending.is_empty() {
            let planned = self.count(ReplayStateName::Planned).await?;
            let sent = self.confirmed().await?;
            return Ok(match (planned, sent > self.before.sent) {
                (0, _) => StateAtKill::Idle,
                (_, true) => StateAtKill::Sent,
                (_, false) if self.before.sending.is_empty() => StateAtKill::Planned,
                (_, false) => StateAtKill::Recovered,
            });
        }
        if *sending == self.before.sending {
            return Ok(StateAtKill::Recovering);
        }
        let confirmed = self.confirmed().await?;
        let arrived = self.depth().await?;
        let uncommitted = match self.episode.system {
            System::Kafka => arrived > confirmed,
            System::RabbitMq => {
                arrived.saturating_sub(self.before.depth)
                    > confirmed.saturating_sub(self.before.sent)
            }
        };
        Ok(if uncommitted {
            StateAtKill::Unanswered
        } else {
            StateAtKill::NothingSent
        })
    }

    /// Lets everything be decided, then reads the destination.
    async fn finish(&mut self) -> Result<()> {
        if !self.service.is_running() {
            self.service.start(None)?;
        }
        let (mut fewest, mut decided_at) = (u64::MAX, Instant::now());
        loop {
            let undecided = self.undecided().await?;
            if undecided < fewest {
                (fewest, decided_at) = (undecided, Instant::now());
            }
            if undecided == 0 || decided_at.elapsed() > STANDSTILL_LIMIT {
                break;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        self.service.stop().await?;
        let interruptions = self.control.restarts() - self.restarts_at_begin;
        self.in_flight.at_most_others += interruptions * MOST_UNCONFIRMED * QUEUES;
        let replays: Vec<Replay> = self
            .store
            .replays_in(&ReplayStateName::ALL, MOST_REPLAYS)
            .await?;
        let _up = self.control.up().await;
        let arrived = patiently(async || self.site.read().await).await?;
        judge(
            &mut self.report,
            &self.planned,
            &replays,
            &arrived,
            &self.in_flight,
        );
        Ok(())
    }

    async fn undecided(&self) -> Result<u64> {
        let planned = self.count(ReplayStateName::Planned).await?;
        Ok(planned + self.count(ReplayStateName::Sending).await?)
    }

    async fn sending(&self) -> Result<HashSet<ReplayId>> {
        let cluster = ClusterName::new(self.episode.system.name());
        let sending = self.store.sending_replays(&cluster).await?;
        Ok(sending.iter().map(|replay| replay.id).collect())
    }

    async fn confirmed(&self) -> Result<u64> {
        Ok(self.count(ReplayStateName::Sent).await? + self.count(ReplayStateName::Passed).await?)
    }

    async fn count(&self, state: ReplayStateName) -> Result<u64> {
        let replays = self.store.replays_in(&[state], MOST_REPLAYS).await?;
        Ok(u64::try_from(replays.len())?)
    }

    async fn depth(&self) -> Result<u64> {
        let _up = self.control.up().await;
        patiently(async || self.site.depth().await).await
    }
}

/// A broker that has just started answers, and may not know everything yet.
pub(crate) async fn patiently<T>(mut ask: impl AsyncFnMut() -> Result<T>) -> Result<T> {
    let deadline = Instant::now() + BROKER_LIMIT;
    loop {
        match ask().await {
            Err(_) if Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            answer => return answer,
        }
    }
}
