use std::path::PathBuf;

use thiserror::Error;

use crate::domain::{
    BulkActionId, DeadLetterId, FailureGroupId, FilterName, IllegalTransition, RepairId, ReplayId,
    ReplayJobId, RevisionNumber,
};

/// Why the store refused or failed. Nothing of a failed call was written.
#[derive(Debug, Error)]
pub enum StoreError {
    #[error("store.url {url:?} is no address of a database; write sqlite:PATH")]
    Url { url: String, source: sqlx::Error },
    #[error("cannot open the store {url:?}; is the folder there and writable?")]
    Open { url: String, source: sqlx::Error },
    #[error(
        "cannot read the store {url:?}; is store.url the one of the service, and the file there?"
    )]
    OpenToRead { url: String, source: sqlx::Error },
    #[error(
        "another Redrive works with this store: it holds {}; stop it, or give this one a store.url of its own",
        .path.display()
    )]
    HeldByAnother { path: PathBuf },
    #[error("cannot lock {}; is the folder there and writable, and can its file system lock files?", .path.display())]
    Lock {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("cannot bring the store up to date; was it written by a newer version?")]
    Migration(#[from] sqlx::migrate::MigrateError),
    #[error("the store failed")]
    Database(#[from] sqlx::Error),
    #[error("the store holds something unreadable in {what}")]
    Corrupt {
        what: &'static str,
        source: serde_json::Error,
    },
    #[error("there is no dead letter {0}")]
    NoSuchDeadLetter(DeadLetterId),
    #[error("dead letter {dead_letter} has no revision {revision}")]
    NoSuchRevision {
        dead_letter: DeadLetterId,
        revision: RevisionNumber,
    },
    #[error("there is no failure group {0}")]
    NoSuchFailureGroup(FailureGroupId),
    #[error("there is no discard or restore with number {0}")]
    NoSuchBulkAction(BulkActionId),
    #[error("the filter of bulk action {id} is not understood any more: {reason}")]
    UnreadableBulkAction { id: BulkActionId, reason: String },
    #[error("there is no repair {0}")]
    NoSuchRepair(RepairId),
    #[error("the filter of repair {id} is not understood any more: {reason}")]
    UnreadableRepair { id: RepairId, reason: String },
    #[error("there is no replay {0}")]
    NoSuchReplay(ReplayId),
    #[error("replay job {0} is paused; resume it first")]
    JobPaused(ReplayJobId),
    #[error(
        "dead letter {dead_letter} was edited meanwhile: its latest revision is {latest}, yours \
         builds on {expected}; reload and edit again"
    )]
    RevisionConflict {
        dead_letter: DeadLetterId,
        expected: RevisionNumber,
        latest: RevisionNumber,
    },
    #[error(transparent)]
    IllegalTransition(#[from] IllegalTransition),
    #[error("there is no saved filter {:?}", .0.as_str())]
    NoSuchSavedFilter(FilterName),
    #[error("there are {0} saved filters already; remove one first")]
    TooManySavedFilters(i64),
    #[error("the cursor {0:?} is none that a page of this list gave out")]
    BadCursor(String),
}

impl StoreError {
    pub(crate) fn corrupt(what: &'static str) -> impl FnOnce(serde_json::Error) -> Self {
        move |source| Self::Corrupt { what, source }
    }
}
