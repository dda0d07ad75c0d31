use std::fmt;

use super::{BulkSelection, DeadLetterId, Message, RevisionNumber, Timestamp};

/// The number of a repair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepairId(pub i64);

impl fmt::Display for RepairId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// A jq program that changes the payloads of many dead letters, with its progress. Each payload that it
/// changes becomes a revision.
#[derive(Clone, Debug)]
pub struct Repair {
    pub id: RepairId,
    pub program: String,
    pub note: Option<String>,
    pub selection: BulkSelection,
    pub requested_at: Timestamp,
    pub requested_by: String,
    /// From where it was requested.
    pub address: String,
    /// Dead letters up to this one are done.
    pub position: DeadLetterId,
    /// The newest dead letter when it was confirmed; what came later is not part of it.
    pub through: DeadLetterId,
    pub changed: u64,
    pub unchanged: u64,
    pub failed: u64,
    pub finished_at: Option<Timestamp>,
    /// Why it ended early.
    pub problem: Option<String>,
}

/// What a repair did to one dead letter.
#[derive(Clone, Debug)]
pub struct RepairResult {
    pub dead_letter: DeadLetterId,
    pub outcome: RepairOutcome,
}

/// What became of one payload.
#[derive(Clone, Debug)]
pub enum RepairOutcome {
    Unchanged,
    Changed {
        /// The revision that the program read; another one in between is a failure.
        builds_on: RevisionNumber,
        message: Message,
    },
    /// Why, for people.
    Failed(String),
}
