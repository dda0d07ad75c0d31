//! Replay jobs with what became of their replays, and their brake.

use sqlx::{FromRow, QueryBuilder, Sqlite};
use uuid::Uuid;

use super::{NewAuditEntry, Page, PageRequest, Store, StoreError, audit};
use crate::domain::{Brake, ReplayJob, ReplayJobId, ReplayJobState, Timestamp};

const COLUMNS: &str = "rowid AS row, id, created_at_ms, created_by, selection, state, reason, \
     not_before_ms, events_per_second, ramp_step, stop_percent, stop_count, forgiven";

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

    /// Jobs that have something to send and are not paused, the oldest first, also those whose time
    /// has not come.
    pub async fn jobs_to_send(&self) -> Result<Vec<ReplayJob>, StoreError> {
        let mut query = QueryBuilder::<Sqlite>::new(format!(
            "SELECT {COLUMNS} FROM replay_jobs WHERE state = 'ready' AND id IN \
             (SELECT job FROM replay_job_counts WHERE state = 'planned' AND events > 0) \
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
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let changed = sqlx::query(
            "UPDATE replay_jobs SET state = 'paused', reason = ? WHERE id = ? AND state = 'ready'",
        )
        .bind(reason)
        .bind(id.to_string())
        .execute(&mut *transaction)
        .await?;
        if changed.rows_affected() == 0 {
            return Ok(false);
        }
        audit::append(&mut transaction, entry).await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// Lets a paused job go on, with the audit. What died again or failed so far does not stop it any
    /// more. Answers whether it was paused.
    pub async fn resume_job(
        &self,
        id: ReplayJobId,
        entry: &NewAuditEntry,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let changed = sqlx::query(
            "UPDATE replay_jobs SET state = 'ready', reason = NULL, forgiven = (SELECT \
             COALESCE(SUM(events), 0) FROM replay_job_counts c WHERE c.job = replay_jobs.id \
             AND c.state IN ('died_again', 'failed')) WHERE id = ? AND state = 'paused'",
        )
        .bind(id.to_string())
        .execute(&mut *transaction)
        .await?;
        if changed.rows_affected() == 0 {
            return Ok(false);
        }
        audit::append(&mut transaction, entry).await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// Changes the brake of a job, with the audit. Answers whether there is such a job.
    pub async fn set_brake(
        &self,
        id: ReplayJobId,
        brake: &Brake,
        entry: &NewAuditEntry,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let changed = sqlx::query(
            "UPDATE replay_jobs SET not_before_ms = ?, events_per_second = ?, stop_percent = ?, \
             stop_count = ?, ramp_step = CASE WHEN ? THEN COALESCE(ramp_step, 0) END WHERE id = ?",
        )
        .bind(brake.not_before.map(Timestamp::as_millis))
        .bind(brake.events_per_second)
        .bind(brake.stop_percent)
        .bind(brake.stop_count)
        .bind(brake.ramp)
        .bind(id.to_string())
        .execute(&mut *transaction)
        .await?;
        if changed.rows_affected() == 0 {
            return Ok(false);
        }
        audit::append(&mut transaction, entry).await?;
        transaction.commit().await?;
        Ok(true)
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
    stop_percent: Option<u8>,
    stop_count: Option<u32>,
    forgiven: i64,
}

impl JobRow {
    fn into_job(self) -> ReplayJob {
        ReplayJob {
            id: self.id.parse().unwrap_or(ReplayJobId(Uuid::nil())),
            created_at: Timestamp(self.created_at_ms),
            created_by: self.created_by,
            selection: self.selection,
            state: self.state.parse().unwrap_or(ReplayJobState::Paused),
            reason: self.reason,
            brake: Brake {
                not_before: self.not_before_ms.map(Timestamp),
                events_per_second: self.events_per_second,
                ramp: self.ramp_step.is_some(),
                stop_percent: self.stop_percent,
                stop_count: self.stop_count,
            },
            ramp_step: self.ramp_step.map_or(0, |step| step as usize),
            forgiven: u64::try_from(self.forgiven).unwrap_or(0),
            counts: Vec::new(),
        }
    }
}
