//! Replay jobs with what became of their replays, and their brake.

use sqlx::{FromRow, QueryBuilder, Sqlite, Transaction};
use uuid::Uuid;

use super::replay_transitions::advance_all_in;
use super::{NewAuditEntry, Page, PageRequest, Store, StoreError, audit};
use crate::domain::{
    Brake, DeadLetterIds, Replay, ReplayEvent, ReplayId, ReplayJob, ReplayJobId, ReplayJobState,
    ReplayOptions, Timestamp,
};

const COLUMNS: &str = "rowid AS row, id, created_at_ms, created_by, selection, state, reason, \
     not_before_ms, events_per_second, ramp_step, ramp_base, stop_percent, stop_count, forgiven, options, \
     COALESCE((SELECT f.refused FROM replay_freezings f WHERE f.job = replay_jobs.id), 0) AS refused, \
     EXISTS (SELECT 1 FROM replay_freezings f WHERE f.job = replay_jobs.id \
     AND f.finished_at_ms IS NULL) AS freezing";

/// Events that one transaction cancels.
const CANCELLED_AT_ONCE: u32 = 1_000;

impl Store {
    /// Jobs, the newest first.
    pub async fn replay_jobs(&self, page: &PageRequest) -> Result<Page<ReplayJob>, StoreError> {
        let mut query = QueryBuilder::<Sqlite>::new(format!(
            "SELECT {COLUMNS} FROM replay_jobs WHERE rowid < "
        ));
        query
            .push_bind(page.key()?.unwrap_or(i64::MAX))
            .push(" ORDER BY rowid DESC LIMIT ")
            .push_bind(page.rows());
        let rows: Vec<JobRow> = query.build_query_as().fetch_all(&self.reader).await?;
        let page = Page::of(rows, page, |row: &JobRow| row.row);
        let mut items = Vec::with_capacity(page.items.len());
        for row in page.items {
            items.push(self.with_counts(row).await?);
        }
        Ok(Page {
            items,
            next_cursor: page.next_cursor,
        })
    }

    pub async fn replay_job(&self, id: ReplayJobId) -> Result<Option<ReplayJob>, StoreError> {
        let mut query =
            QueryBuilder::<Sqlite>::new(format!("SELECT {COLUMNS} FROM replay_jobs WHERE id = "));
        query.push_bind(id.to_string());
        let row: Option<JobRow> = query.build_query_as().fetch_optional(&self.reader).await?;
        match row {
            Some(row) => self.with_counts(row).await.map(Some),
            None => Ok(None),
        }
    }

    /// Jobs that are whole, have something to send and are not paused, the oldest first, also those whose
    /// time has not come.
    pub async fn jobs_to_send(&self) -> Result<Vec<ReplayJob>, StoreError> {
        let mut query = QueryBuilder::<Sqlite>::new(format!(
            "SELECT {COLUMNS} FROM replay_jobs WHERE state = 'ready' AND id IN \
             (SELECT job FROM replay_job_counts WHERE state = 'planned' AND events > 0) \
             AND id NOT IN (SELECT job FROM replay_freezings WHERE finished_at_ms IS NULL) \
             ORDER BY rowid"
        ));
        let rows: Vec<JobRow> = query.build_query_as().fetch_all(&self.reader).await?;
        let mut jobs = Vec::with_capacity(rows.len());
        for row in rows {
            jobs.push(self.with_counts(row).await?);
        }
        Ok(jobs)
    }

    /// Pauses a job with the audit. Once this returns, none of its events begins to be sent. Answers
    /// whether it was running.
    pub async fn pause_job(
        &self,
        id: ReplayJobId,
        reason: &str,
        entry: &NewAuditEntry,
    ) -> Result<bool, StoreError> {
        let mut change = QueryBuilder::new("UPDATE replay_jobs SET state = 'paused', reason = ");
        change.push_bind(reason);
        change.push(" WHERE state = 'ready' AND id = ");
        self.change_job(change, id, entry).await
    }

    /// Lets a paused job go on, with the audit. What died again or failed so far does not stop it any
    /// more. Answers whether it was paused.
    pub async fn resume_job(
        &self,
        id: ReplayJobId,
        entry: &NewAuditEntry,
    ) -> Result<bool, StoreError> {
        let change = QueryBuilder::new(
            "UPDATE replay_jobs SET state = 'ready', reason = NULL, forgiven = (SELECT \
             COALESCE(SUM(events), 0) FROM replay_job_counts c WHERE c.job = replay_jobs.id \
             AND c.state IN ('died_again', 'failed')) WHERE state = 'paused' AND id = ",
        );
        self.change_job(change, id, entry).await
    }

    /// Changes the brake of a job, with the audit. A ramp that it had not goes on from what was sent before. Answers
    /// whether there is such a job.
    pub async fn set_brake(
        &self,
        id: ReplayJobId,
        brake: &Brake,
        entry: &NewAuditEntry,
    ) -> Result<bool, StoreError> {
        let mut change = QueryBuilder::new("UPDATE replay_jobs SET not_before_ms = ");
        change.push_bind(brake.not_before.map(Timestamp::as_millis));
        change
            .push(", events_per_second = ")
            .push_bind(brake.events_per_second);
        change
            .push(", stop_percent = ")
            .push_bind(brake.stop_percent);
        change.push(", stop_count = ").push_bind(brake.stop_count);
        change
            .push(", ramp_step = CASE WHEN ")
            .push_bind(brake.ramp);
        change.push(
            " THEN COALESCE(ramp_step, 0) END, ramp_base = CASE WHEN ramp_step IS NOT NULL THEN ramp_base \
             ELSE (SELECT COALESCE(SUM(events), 0) FROM replay_job_counts c WHERE c.job = replay_jobs.id \
             AND c.state NOT IN ('planned', 'cancelled')) END WHERE id = ",
        );
        self.change_job(change, id, entry).await
    }

    /// Makes a change that ends with the ID of its job, with the audit. Answers whether it changed
    /// anything.
    async fn change_job(
        &self,
        mut change: QueryBuilder<Sqlite>,
        id: ReplayJobId,
        entry: &NewAuditEntry,
    ) -> Result<bool, StoreError> {
        change.push_bind(id.to_string());
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let changed = change.build().execute(&mut *transaction).await?;
        if changed.rows_affected() == 0 {
            return Ok(false);
        }
        audit::append(&mut transaction, entry).await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// Cancels the next of what a job has still planned and answers them; none are left if there are
    /// none. Each transaction has its audit entry, which names the dead letters. While more are left the
    /// job is paused for that reason, so that none of them leaves meanwhile. What is being sent is cancelled as
    /// soon as it turns out that it never left.
    pub async fn cancel_some(
        &self,
        job: ReplayJobId,
        reason: &str,
        entry: &NewAuditEntry,
    ) -> Result<Vec<Replay>, StoreError> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let planned: Vec<String> = sqlx::query_scalar(
            "SELECT id FROM replays WHERE job_number = (SELECT number FROM replay_names WHERE name = ?) \
             AND stage = 'to_send' AND state = 'planned' LIMIT ?",
        )
        .bind(job.to_string())
        .bind(CANCELLED_AT_ONCE)
        .fetch_all(&mut *transaction)
        .await?;
        let ids = planned.iter().filter_map(|id| id.parse().ok());
        let cancel = |id: ReplayId| (id, ReplayEvent::Cancel { at: entry.at });
        let results = advance_all_in(&mut transaction, ids.map(cancel).collect(), entry.at).await?;
        let cancelled: Vec<Replay> = results.into_iter().filter_map(Result::ok).collect();
        let is_last = planned.len() < CANCELLED_AT_ONCE as usize;
        hold_while_cancelling(&mut transaction, job, reason, is_last).await?;
        sqlx::query(
            "UPDATE replay_jobs SET cancelled_at_ms = COALESCE(cancelled_at_ms, ?) WHERE id = ?",
        )
        .bind(entry.at.as_millis())
        .bind(job.to_string())
        .execute(&mut *transaction)
        .await?;
        let letters = cancelled.iter().map(|replay| replay.dead_letter);
        let letters: DeadLetterIds = letters.collect();
        let entry = entry.with_detail("dead_letters", &letters);
        let entry = entry.with_detail("count", &cancelled.len());
        audit::append(&mut transaction, &entry).await?;
        transaction.commit().await?;
        Ok(cancelled)
    }

    /// Notes that a canary step was passed.
    pub async fn set_ramp_step(&self, id: ReplayJobId, step: usize) -> Result<(), StoreError> {
        sqlx::query("UPDATE replay_jobs SET ramp_step = ? WHERE id = ?")
            .bind(i64::try_from(step).unwrap_or(i64::MAX))
            .bind(id.to_string())
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    async fn with_counts(&self, row: JobRow) -> Result<ReplayJob, StoreError> {
        let counts: Vec<(String, i64)> = sqlx::query_as(
            "SELECT state, events FROM replay_job_counts WHERE job = ? AND events > 0",
        )
        .bind(&row.id)
        .fetch_all(&self.reader)
        .await?;
        let named = counts
            .into_iter()
            .filter_map(|(state, count)| Some((state.parse().ok()?, u64::try_from(count).ok()?)));
        Ok(ReplayJob {
            counts: named.collect(),
            ..row.into_job()
        })
    }
}

/// Nothing more is planned, and what is planned does not leave while others are being cancelled.
async fn hold_while_cancelling(
    transaction: &mut Transaction<'_, Sqlite>,
    job: ReplayJobId,
    reason: &str,
    is_last: bool,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE replay_freezings SET finished_at_ms = ?, problem = ? \
         WHERE job = ? AND finished_at_ms IS NULL",
    )
    .bind(Timestamp::now().as_millis())
    .bind(reason)
    .bind(job.to_string())
    .execute(&mut **transaction)
    .await?;
    let hold = if is_last {
        "UPDATE replay_jobs SET state = 'ready', reason = NULL \
         WHERE state = 'paused' AND reason = ? AND id = ?"
    } else {
        "UPDATE replay_jobs SET state = 'paused', reason = ? WHERE state = 'ready' AND id = ?"
    };
    sqlx::query(hold)
        .bind(reason)
        .bind(job.to_string())
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

/// What another version wrote and this one cannot read is off, as everything is unless somebody asked.
pub(super) fn options_from(text: &str) -> ReplayOptions {
    serde_json::from_str(text).unwrap_or_default()
}

#[derive(Debug, FromRow)]
struct JobRow {
    row: i64,
    id: String,
    created_at_ms: i64,
    created_by: String,
    selection: String,
    state: String,
    reason: Option<String>,
    not_before_ms: Option<i64>,
    events_per_second: Option<u32>,
    ramp_step: Option<u32>,
    ramp_base: i64,
    stop_percent: Option<u8>,
    stop_count: Option<u32>,
    forgiven: i64,
    options: String,
    refused: i64,
    freezing: bool,
}

impl JobRow {
    fn into_job(self) -> ReplayJob {
        ReplayJob {
            id: self.id.parse().unwrap_or(ReplayJobId(Uuid::nil())),
            created_at: Timestamp(self.created_at_ms),
            created_by: self.created_by,
            selection: self.selection,
            state: match self.state.parse() {
                Ok(ReplayJobState::Ready) if self.freezing => ReplayJobState::Freezing,
                state => state.unwrap_or(ReplayJobState::Paused),
            },
            reason: self.reason,
            brake: Brake {
                not_before: self.not_before_ms.map(Timestamp),
                events_per_second: self.events_per_second,
                ramp: self.ramp_step.is_some(),
                stop_percent: self.stop_percent,
                stop_count: self.stop_count,
            },
            options: options_from(&self.options),
            ramp_step: self.ramp_step.map_or(0, |step| step as usize),
            ramp_base: u64::try_from(self.ramp_base).unwrap_or(0),
            forgiven: u64::try_from(self.forgiven).unwrap_or(0),
            refused: u64::try_from(self.refused).unwrap_or(0),
            counts: Vec::new(),
        }
    }
}
