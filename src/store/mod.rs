//! What Redrive remembers: dead letters, revisions, replays, cursors, the audit. SQLite behind sqlx,
//! which is named here only.
//!
//! One connection writes, so writers queue instead of failing with "database is locked"; readers see
//! the last committed state and never block it (WAL). `synchronous=FULL`: when a write returns, it is
//! on disk, which is what lets a caller acknowledge, send or confirm (design.md, "Store"). Callers
//! batch: one call is one transaction.
//!
//! A new table is a new file in `migrations/`, a file here with its row type, and methods on [`Store`].

mod arrivals;
mod audit;
mod bulk_actions;
mod changes;
mod custody;
mod dead_letters;
mod drafts;
mod error;
mod failure_groups;
mod filter_sql;
mod flows;
mod group_care;
mod group_events;
mod group_trends;
mod held;
mod insert;
mod intake;
mod managed_queues;
mod message_keys;
mod message_rows;
mod notifications;
mod open_replays;
mod order_bounds;
mod overview;
mod page;
mod pivots;
mod prepared;
mod redrive_policies;
mod redrive_runs;
mod repairs;
mod replay_contents;
mod replay_freezing;
mod replay_jobs;
mod replay_outcomes;
mod replay_planning;
mod replay_states;
mod replay_transitions;
mod replay_work;
mod replays;
mod retention;
mod returns;
mod revisions;
mod sample_history;
mod saved_filters;
mod search_follower;
mod search_index;
mod search_rows;
mod search_terms;
mod streams;
mod suggestions;
mod trace_export;
mod trace_gaps;
mod trace_search;
mod traces;
mod transfer;
mod unkept_bodies;

use std::str::FromStr;
use std::time::Duration;

use sqlx::SqlitePool;
use sqlx::sqlite::{
    SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
};
use tokio::sync::watch;

use crate::domain::{Message, NewDeadLetter};

pub use audit::{
    AuditEntry, AuditFault, AuditFilter, AuditHead, AuditReport, NewAuditEntry, verify_audit,
};
pub use bulk_actions::NewBulkAction;
pub use custody::CustodySession;
pub use dead_letters::COUNTED;
pub use drafts::Draft;
pub use error::StoreError;
pub use failure_groups::{FailureGroup, GroupQuery, NewestMember};
pub use group_care::{Author, GroupAssignment, GroupNote};
pub use group_events::{DlqBacklog, DlqKey, GroupEvent, GroupNews};
pub use held::HeldStore;
pub use intake::{Gap, GapKind, Indexed, KafkaCursor};
pub use notifications::{Attempt, NOTICES_KEPT, NewNotice, Notice, Notification, TargetStatus};
pub use open_replays::{DECIDED_AT_ONCE, OpenOutcome, OpenReplays, UnknownReplays};
pub use overview::{DeadLetterTotal, DlqDepth};
pub use page::{Page, PageRequest};
pub use pivots::{PIVOTED, Pivot, PivotRow};
pub use prepared::PreparedBatch;
pub use redrive_policies::{RedriveFindings, StoredPolicy};
pub use redrive_runs::OpenLetter;
pub use repairs::NewRepair;
pub use replay_contents::ReplayContent;
pub use replay_freezing::Freezing;
pub use replay_outcomes::{LogPlace, TrackedPosition, TrackedReplay};
pub use replay_planning::{JobCreated, NewReplay, NewReplayJob, RefusedReplay, Replayed};
pub use replay_work::{PlannedReplay, ReplayCandidate};
pub use retention::{Removal, Removed, RetentionRun, StoreSpace};
pub use returns::{Return, ReturnState, Returning};
pub use revisions::NewRevision;
pub use sample_history::HistoryPage;
pub use trace_export::{ExportPosition, ExportedSpan, TraceNews};
pub use trace_search::{TRACES_FOUND, TraceQuery, TraceSummary};
pub use traces::TraceParts;
pub use transfer::ImportedDeadLetter;
pub use unkept_bodies::UnkeptBody;

/// Readers at once: more than the dashboard's parallel requests need, few enough to stay small.
const READ_CONNECTIONS: u32 = 4;

/// A writer that waits longer than this has met a foreign process that holds the database.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Pages that a reading connection caches, 2 MiB: it stays small when idle.
const READER_CACHE_KIBIBYTES: &str = "-2000";

/// Pages that the writer caches, 32 MiB: what a batch changes fits, or each index would be written several times.
const WRITER_CACHE_KIBIBYTES: &str = "-32000";

/// Pages of the write-ahead log after which it is carried over: 32 MiB, because a batch of dead letters changes
/// pages all over the indexes, most of them again in the next one.
const CHECKPOINT_PAGES: &str = "8000";

/// A connection is tested when it comes back to the pool; a second test before each use is one more round trip to its
/// thread.
fn pool() -> SqlitePoolOptions {
    SqlitePoolOptions::new().test_before_acquire(false)
}

/// What `store.url` says.
fn connect_options(url: &str) -> Result<SqliteConnectOptions, StoreError> {
    SqliteConnectOptions::from_str(url).map_err(|source| StoreError::Url {
        url: url.to_owned(),
        source,
    })
}

/// Takes the message that its application reads out of what is wrapped around it; `None` if nothing is.
pub type Unwrap = fn(&Message) -> Option<Message>;

/// The store. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    reader: SqlitePool,
    writer: SqlitePool,
    /// Batches of new dead letters since the start, for the follower of the search index.
    search_wanted: watch::Sender<u64>,
    unwrap: Unwrap,
}

impl Store {
    /// Opens or creates the database of `store.url` and brings its tables up to date.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        let options = connect_options(url)?
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .auto_vacuum(SqliteAutoVacuum::Incremental)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT)
            .pragma("wal_autocheckpoint", CHECKPOINT_PAGES);
        let writer = pool()
            .max_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_with(options.clone().pragma("cache_size", WRITER_CACHE_KIBIBYTES))
            .await
            .map_err(|source| StoreError::Open {
                url: url.to_owned(),
                source,
            })?;
        sqlx::migrate!("./migrations").run(&writer).await?;
        let reader = options
            .pragma("cache_size", READER_CACHE_KIBIBYTES)
            .pragma("query_only", "ON");
        let reader = pool()
            .max_connections(READ_CONNECTIONS)
            .connect_with(reader)
            .await
            .map_err(|source| StoreError::Open {
                url: url.to_owned(),
                source,
            })?;
        Ok(Self {
            reader,
            writer,
            search_wanted: watch::Sender::new(0),
            unwrap: |_| None,
        })
    }

    /// From here on, dead letters are found by what is inside their envelopes.
    #[must_use]
    pub fn unwrapping(self, unwrap: Unwrap) -> Self {
        Self { unwrap, ..self }
    }

    /// Prepares a batch for this store, on whatever thread has the time.
    pub fn prepare(&self, letters: Vec<NewDeadLetter>) -> Result<PreparedBatch, StoreError> {
        PreparedBatch::new(letters, self.unwrap)
    }

    /// Closes all connections, which checkpoints the write-ahead log.
    pub async fn close(&self) {
        self.reader.close().await;
        self.writer.close().await;
    }

    /// Bytes of the database file, without its write-ahead log.
    pub async fn size_bytes(&self) -> Result<u64, StoreError> {
        let sql = "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()";
        let bytes: i64 = sqlx::query_scalar(sql).fetch_one(&self.reader).await?;
        Ok(u64::try_from(bytes).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests;
