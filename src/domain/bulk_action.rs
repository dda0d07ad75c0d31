use std::fmt;

use super::{DeadLetterId, Filter, Timestamp};

/// Dead letters that a person names or describes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BulkSelection {
    /// Exactly these.
    DeadLetters(Vec<DeadLetterId>),
    /// All that match at the moment of the confirmation.
    Filter(Filter),
}

impl BulkSelection {
    /// For people: "dead letter 7", "12 dead letters", or the filter in words.
    pub fn describe(&self) -> String {
        match self {
            Self::DeadLetters(ids) => match ids.as_slice() {
                [id] => format!("dead letter {id}"),
                ids => format!("{} dead letters", ids.len()),
            },
            Self::Filter(filter) => filter.describe(),
        }
    }
}

/// The number of a bulk action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BulkActionId(pub i64);

impl fmt::Display for BulkActionId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// What is done to each dead letter of a selection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BulkActionKind {
    /// An open dead letter is put aside until somebody restores it or retention removes it.
    Discard {
        reason: String,
        /// From then on it may be removed for good.
        expires_at: Timestamp,
    },
    /// A discarded dead letter is open again.
    Restore,
}

impl BulkActionKind {
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Discard { .. } => "discard",
            Self::Restore => "restore",
        }
    }
}

/// A bulk action with its progress.
#[derive(Clone, Debug)]
pub struct BulkAction {
    pub id: BulkActionId,
    pub kind: BulkActionKind,
    pub selection: BulkSelection,
    pub requested_at: Timestamp,
    pub requested_by: String,
    /// From where it was requested.
    pub address: String,
    /// Dead letters up to this one are done.
    pub position: DeadLetterId,
    /// The newest dead letter when it was confirmed; what came later is not part of it.
    pub through: DeadLetterId,
    /// How many dead letters it has changed.
    pub changed: u64,
    pub finished_at: Option<Timestamp>,
    /// Why it ended early.
    pub problem: Option<String>,
}

/// Why and until when a dead letter is discarded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discard {
    pub action: BulkActionId,
    pub at: Timestamp,
    pub by: String,
    pub reason: String,
    pub expires_at: Timestamp,
}
