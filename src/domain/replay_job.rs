//! A job, and the brake with which people hold it.

use std::fmt;
use std::str::FromStr;

use super::{ReplayJobId, ReplayOptions, ReplayStateName, Timestamp, UnknownWord};

/// A frozen set of replays that somebody confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayJob {
    pub id: ReplayJobId,
    pub created_at: Timestamp,
    pub created_by: String,
    /// What was selected, for people: "1 dead letter" or the filter as typed.
    pub selection: String,
    pub state: ReplayJobState,
    /// Why it is paused.
    pub reason: Option<String>,
    pub brake: Brake,
    pub options: ReplayOptions,
    /// Canary steps that were passed.
    pub ramp_step: usize,
    /// Events that had been released when the canary ramp was set.
    pub ramp_base: u64,
    /// Events that had died again or failed when somebody resumed the job.
    pub forgiven: u64,
    /// Selected events that could not be part of it; of a large job, once it is whole.
    pub refused: u64,
    /// Counts by state, only of the states that occur.
    pub counts: Vec<(ReplayStateName, u64)>,
}

impl ReplayJob {
    pub fn total(&self) -> u64 {
        self.counts.iter().map(|(_, count)| count).sum()
    }

    pub fn count(&self, name: ReplayStateName) -> u64 {
        self.counts
            .iter()
            .find(|(state, _)| *state == name)
            .map_or(0, |(_, count)| *count)
    }

    /// Events that were handed to a broker, or refused when they should have been.
    pub fn released(&self) -> u64 {
        use ReplayStateName::{Cancelled, Planned};
        self.total() - self.count(Planned) - self.count(Cancelled)
    }

    /// Events that died again or failed.
    pub fn bad(&self) -> u64 {
        self.count(ReplayStateName::DiedAgain) + self.count(ReplayStateName::Failed)
    }

    /// How many more events the canary ramp allows now; `None` without a limit.
    pub fn allowed_by_ramp(&self) -> Option<u64> {
        let limit = self.ramp_limit()?;
        Some(limit.saturating_sub(self.released()))
    }

    /// How many events the present canary step releases in total; `None` without a ramp or after it.
    pub fn ramp_limit(&self) -> Option<u64> {
        let of_step = RAMP_LIMITS
            .get(self.ramp_step)
            .filter(|_| self.brake.ramp)?;
        Some(self.ramp_base + of_step)
    }
}

/// What the canary ramp has released after each step: 1, then 10 more, then 100 more, then the rest.
pub const RAMP_LIMITS: [u64; 3] = [1, 11, 111];

/// Whether a job may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayJobState {
    /// Its events are being written down; nothing is sent before it is whole.
    Freezing,
    Ready,
    Paused,
}

impl ReplayJobState {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Freezing => "freezing",
            Self::Ready => "ready",
            Self::Paused => "paused",
        }
    }
}

impl fmt::Display for ReplayJobState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for ReplayJobState {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "freezing" => Ok(Self::Freezing),
            "ready" => Ok(Self::Ready),
            "paused" => Ok(Self::Paused),
            other => Err(UnknownWord {
                word: other.to_owned(),
                expected: "freezing, ready, paused",
            }),
        }
    }
}

/// How a job is held back. The default holds nothing back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Brake {
    /// Nothing is sent earlier.
    pub not_before: Option<Timestamp>,
    pub events_per_second: Option<u32>,
    /// First 1 event, then 10, then 100, then the rest; each step waits for the outcome of the one
    /// before.
    pub ramp: bool,
    /// The job pauses when more than so many percent of what was sent died again or failed.
    pub stop_percent: Option<u8>,
    /// The job pauses when more than so many events died again or failed.
    pub stop_count: Option<u32>,
}
