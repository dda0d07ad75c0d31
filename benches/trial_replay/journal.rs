//! What the trial has done so far, one line an episode, so that a run that was interrupted goes on.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::plan::{Cut, EpisodeId, StateAtKill, System, Wanted};

/// What the check of an episode did not like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Fault {
    /// Said to be sent, or no longer known, and not there.
    Lost,
    /// There more than once, or there although nothing says so.
    SentTwiceUnseen,
    /// Unknown, although the destination could have told.
    Provable,
    /// More unknown than were in flight when something was interrupted.
    BeyondInFlight,
    /// Failed, although nothing was wrong with it.
    FailedWithoutCause,
    OutOfOrder,
    /// Still planned or being sent long after the last interruption.
    NeverDecided,
    /// The trial itself could not go on.
    Broken,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct EpisodeReport {
    pub(crate) system: System,
    pub(crate) id: EpisodeId,
    pub(crate) seconds: u64,
    pub(crate) events: usize,
    /// Replays that end as unknown, and how many of them had arrived.
    pub(crate) unknown: usize,
    pub(crate) unknown_and_arrived: usize,
    pub(crate) at_points: BTreeMap<StateAtKill, usize>,
    pub(crate) at_random: BTreeMap<StateAtKill, usize>,
    pub(crate) restarts: usize,
    pub(crate) cuts: BTreeMap<Cut, usize>,
    pub(crate) faults: Vec<(Fault, String)>,
}

impl EpisodeReport {
    pub(crate) const fn new(system: System, id: EpisodeId) -> Self {
        Self {
            system,
            id,
            seconds: 0,
            events: 0,
            unknown: 0,
            unknown_and_arrived: 0,
            at_points: BTreeMap::new(),
            at_random: BTreeMap::new(),
            restarts: 0,
            cuts: BTreeMap::new(),
            faults: Vec::new(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Head {
    seed: u64,
}

/// The state file of one trial.
pub(crate) struct Journal {
    path: PathBuf,
    pub(crate) seed: u64,
    pub(crate) reports: Vec<EpisodeReport>,
}

impl Journal {
    /// Goes on with the trial in the file, unless another seed is asked for or it is finished.
    pub(crate) fn open(path: &Path, seed: Option<u64>, wanted: &Wanted) -> Result<Self> {
        let text = fs::read_to_string(path).unwrap_or_default();
        let mut lines = text.lines();
        let known = lines
            .next()
            .and_then(|line| serde_json::from_str::<Head>(line).ok());
        if let Some(head) = known.filter(|head| seed.is_none_or(|seed| seed == head.seed)) {
            // A line that was being written when the trial ended is done again.
            let reports = lines.map_while(|line| serde_json::from_str(line).ok());
            let journal = Self {
                path: path.to_owned(),
                seed: head.seed,
                reports: reports.collect(),
            };
            let unfinished = |system| !journal.still_wanted(system, wanted).is_nothing();
            if System::ALL.into_iter().any(unfinished) {
                return Ok(journal);
            }
        }
        let seed = seed.unwrap_or_else(|| fastrand::u64(1..1_000_000));
        let journal = Self {
            path: path.to_owned(),
            seed,
            reports: Vec::new(),
        };
        let head = serde_json::to_string(&Head { seed })?;
        fs::write(path, format!("{head}\n"))
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(journal)
    }

    pub(crate) fn add(&mut self, report: EpisodeReport) -> Result<()> {
        let mut file = File::options().append(true).open(&self.path)?;
        writeln!(file, "{}", serde_json::to_string(&report)?)?;
        self.reports.push(report);
        Ok(())
    }

    pub(crate) fn of(&self, system: System) -> impl Iterator<Item = &EpisodeReport> {
        self.reports
            .iter()
            .filter(move |report| report.system == system)
    }

    pub(crate) fn has(&self, system: System, id: EpisodeId) -> bool {
        self.of(system).any(|report| report.id == id)
    }

    /// What is left of what is wanted after all that has been done.
    pub(crate) fn still_wanted(&self, system: System, wanted: &Wanted) -> Wanted {
        self.wanted_after(system, wanted, u32::MAX)
    }

    /// The same as it was before a pass, so that each run plans that pass alike.
    pub(crate) fn wanted_after(&self, system: System, wanted: &Wanted, passes: u32) -> Wanted {
        let mut left = wanted.clone();
        for report in self.of(system).filter(|report| report.id.pass < passes) {
            left.kills = left.kills.saturating_sub(kills(&report.at_random));
            left.restarts = left.restarts.saturating_sub(report.restarts);
            left.cuts = left.cuts.saturating_sub(report.cuts.values().sum());
            for (count, state) in left.states.iter_mut().zip(StateAtKill::WANTED) {
                *count = count.saturating_sub(hits(report, state));
            }
        }
        left
    }
}

pub(crate) fn hits(report: &EpisodeReport, state: StateAtKill) -> usize {
    let count = |kills: &BTreeMap<StateAtKill, usize>| kills.get(&state).copied().unwrap_or(0);
    count(&report.at_points) + count(&report.at_random)
}

/// Kills that found something to interrupt.
pub(crate) fn kills(by_state: &BTreeMap<StateAtKill, usize>) -> usize {
    let busy = by_state
        .iter()
        .filter(|(state, _)| **state != StateAtKill::Idle);
    busy.map(|(_, count)| count).sum()
}
