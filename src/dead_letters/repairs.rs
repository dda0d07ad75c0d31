//! Repairs of many payloads by a jq program: tried out on the real selection, then frozen in the store
//! and done by one task in chunks, which goes on after a restart where it was. The program runs in the
//! [`crate::sandbox`], one child a repair. What a broker would refuse to take back is a failure.

mod runner;

use std::time::{Duration, Instant};

use bytes::Bytes;
use thiserror::Error;
use tokio_util::sync::CancellationToken;

use self::runner::{Look, Runner};
use super::work::Progress;
use crate::domain::{
    BulkSelection, DeadLetterId, Repair, RepairId, RepairOutcome, RepairResult, Timestamp,
};
use crate::replay::ReplayHandle;
use crate::sandbox::{Sandbox, SandboxError};
use crate::store::{NewRepair, Store, StoreError};

/// A longer program is no repair any more.
pub const LONGEST_PROGRAM: usize = 64 * 1024;

/// Dead letters that are looked at before something is written, and new bytes after which it is: one
/// transaction holds the database for some milliseconds only.
const CHUNK: u32 = 200;
const CHUNK_BYTES: usize = 1024 * 1024;

/// A trial looks at no more members, and for no longer.
const TRIAL_MEMBERS: usize = 10_000;
const TRIAL_TIME: Duration = Duration::from_secs(8);

/// Changes, failures and warnings of a trial that are shown.
const SAMPLES: usize = 5;
const FAILURES: usize = 10;
const WARNINGS: usize = 10;

/// Why a repair was refused.
#[derive(Debug, Error)]
pub enum RepairError {
    #[error("the program is longer than {LONGEST_PROGRAM} bytes; shorten it")]
    TooLong,
    #[error(
        "the program is empty; write what shall change, for example .data.customerId = \"c-1\""
    )]
    Empty,
    /// What is wrong with the program, and where.
    #[error("the program cannot be used: {0}")]
    Program(String),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Sandbox(SandboxError),
}

impl From<SandboxError> for RepairError {
    fn from(error: SandboxError) -> Self {
        match error {
            SandboxError::Refused(why) => Self::Program(why),
            SandboxError::Exceeded(limit) => Self::Program(limit.to_owned()),
            broken @ SandboxError::Broken(_) => Self::Sandbox(broken),
        }
    }
}

/// What a program would do. Nothing was written for it.
#[derive(Clone, Debug, Default)]
pub struct Trial {
    /// Open dead letters of the selection.
    pub selected: u64,
    pub changed: u64,
    pub unchanged: u64,
    pub failed: u64,
    /// The first that it changes.
    pub samples: Vec<Sample>,
    /// The first on which it fails, or whose repair the broker would refuse, and why.
    pub failures: Vec<(DeadLetterId, String)>,
    /// The first changed ones that a broker may refuse or change, and why.
    pub warnings: Vec<(DeadLetterId, String)>,
}

impl Trial {
    /// How many members the numbers are of.
    pub const fn looked_at(&self) -> u64 {
        self.changed + self.unchanged + self.failed
    }
}

/// One payload before and after.
#[derive(Clone, Debug)]
pub struct Sample {
    pub dead_letter: DeadLetterId,
    pub before: Bytes,
    pub after: Bytes,
}

/// What people do with repairs. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Repairs {
    store: Store,
    sandbox: Sandbox,
    replay: ReplayHandle,
    progress: Progress,
}

impl Repairs {
    pub fn new(store: Store, sandbox: Sandbox, replay: ReplayHandle) -> Self {
        Self {
            store,
            sandbox,
            replay,
            progress: Progress::new(),
        }
    }

    /// How many dead letters a repair would look at now.
    pub async fn count(
        &self,
        selection: &BulkSelection,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        self.store.count_repairable(selection, now).await
    }

    /// Runs a program on the members of a selection, as far as that does not take too long, and keeps
    /// nothing.
    pub async fn try_out(
        &self,
        program: &str,
        selection: &BulkSelection,
        now: Timestamp,
    ) -> Result<Trial, RepairError> {
        let mut runner = self.runner(program).await?;
        let mut trial = Trial {
            selected: self.store.count_repairable(selection, now).await?,
            ..Trial::default()
        };
        let (started, through) = (Instant::now(), self.store.newest_id().await?);
        let mut after = DeadLetterId(0);
        loop {
            let range = (after, through);
            let ids = self.store.repairable(selection, now, range, CHUNK).await?;
            let Some(last) = ids.last() else {
                return Ok(trial);
            };
            after = *last;
            for id in ids {
                if started.elapsed() > TRIAL_TIME || trial.looked_at() >= TRIAL_MEMBERS as u64 {
                    return Ok(trial);
                }
                trial.add(id, runner.look_at(&self.store, id).await?);
            }
        }
    }

    /// Freezes a repair and has it done. Waits until it is finished, but not longer than `patience`.
    pub async fn request(
        &self,
        repair: &NewRepair,
        patience: Duration,
    ) -> Result<Repair, RepairError> {
        // A program that cannot be compiled is refused before anything is written.
        drop(self.runner(&repair.program).await?);
        let id = self.store.create_repair(repair).await?;
        self.progress.announce();
        let look = || self.store.repair(id);
        let is_finished = |repair: &Repair| repair.finished_at.is_some();
        Ok(self.progress.wait(patience, look, is_finished).await?)
    }

    /// Does what is requested until it is stopped.
    pub async fn run(self, stop: CancellationToken) {
        let next = || self.next_repair(&stop);
        self.progress.work_off(&stop, "a repair", next).await;
    }

    /// Works the oldest repair off; `false` if there is none.
    async fn next_repair(&self, stop: &CancellationToken) -> Result<bool, RepairError> {
        let Some(id) = self.store.unfinished_repair().await? else {
            return Ok(false);
        };
        let done = match self.work_off(id, stop).await {
            Err(RepairError::Program(why)) => self.give_up(id, &why).await,
            Err(RepairError::Store(error @ StoreError::UnreadableRepair { .. })) => {
                self.give_up(id, &error.to_string()).await
            }
            done => done,
        };
        self.progress.announce();
        done.map(|()| true)
    }

    async fn give_up(&self, id: RepairId, why: &str) -> Result<(), RepairError> {
        tracing::warn!(repair = id.0, why, "a repair was given up");
        Ok(self.store.fail_repair(id, why, Timestamp::now()).await?)
    }

    async fn work_off(&self, id: RepairId, stop: &CancellationToken) -> Result<(), RepairError> {
        let mut repair = self.store.repair(id).await?;
        let mut runner = self.runner(&repair.program).await?;
        while repair.finished_at.is_none() && !stop.is_cancelled() {
            repair = self.do_chunk(&repair, &mut runner).await?;
            self.progress.announce();
        }
        tracing::info!(
            repair = id.0,
            changed = repair.changed,
            failed = repair.failed,
            is_finished = repair.finished_at.is_some(),
            "a repair was worked on"
        );
        Ok(())
    }

    async fn do_chunk(&self, repair: &Repair, runner: &mut Runner) -> Result<Repair, RepairError> {
        let range = (repair.position, repair.through);
        let (selection, frozen_at) = (&repair.selection, repair.requested_at);
        let ids = self.store.repairable(selection, frozen_at, range, CHUNK);
        let ids = ids.await?;
        let (mut results, mut bytes) = (Vec::new(), 0);
        for id in &ids {
            let look = runner.look_at(&self.store, *id).await?;
            bytes += look.new_bytes();
            results.push(RepairResult {
                dead_letter: *id,
                outcome: look.outcome,
            });
            if bytes > CHUNK_BYTES {
                break;
            }
        }
        let now = Timestamp::now();
        let is_last = results.len() == ids.len() && ids.len() < CHUNK as usize;
        let position = match results.last() {
            Some(last) if !is_last => last.dead_letter,
            _ => repair.through,
        };
        let progress = (position, is_last.then_some(now));
        let recorded = self.store.record_repair(repair.id, results, progress, now);
        Ok(recorded.await?)
    }

    async fn runner(&self, program: &str) -> Result<Runner, RepairError> {
        if program.trim().is_empty() {
            return Err(RepairError::Empty);
        }
        if program.len() > LONGEST_PROGRAM {
            return Err(RepairError::TooLong);
        }
        Runner::start((&self.sandbox, &self.replay), program).await
    }
}

impl Trial {
    fn add(&mut self, id: DeadLetterId, look: Look) {
        match look.outcome {
            RepairOutcome::Unchanged => self.unchanged += 1,
            RepairOutcome::Failed(why) => {
                self.failed += 1;
                if self.failures.len() < FAILURES {
                    self.failures.push((id, why));
                }
            }
            RepairOutcome::Changed { message, .. } => {
                self.changed += 1;
                let room = WARNINGS - self.warnings.len();
                let warnings = look.warnings.into_iter().take(room);
                self.warnings.extend(warnings.map(|why| (id, why)));
                if self.samples.len() < SAMPLES {
                    self.samples.push(Sample {
                        dead_letter: id,
                        before: look.before,
                        after: message.body.unwrap_or_default(),
                    });
                }
            }
        }
    }
}
