//! Jobs that are too large to be written down in one transaction. The job is there when it is confirmed;
//! its replays follow chunk by chunk. Which of them exist is how far it has come, so that a crash costs
//! nothing: what is planned already is not planned twice.

use sqlx::FromRow;

use super::replay_planning::{JobCreated, NewReplay, NewReplayJob, Replayed, insert_job, plan};
use super::{NewAuditEntry, Store, StoreError, audit};
use crate::domain::{Brake, DeadLetterId, DeadLetterIds, ReplayJobId, Timestamp};

/// Rows read at once.
const PAGE: i64 = 10_000;

/// A job that is not whole yet.
#[derive(Clone, Debug)]
pub struct Freezing {
    pub job: ReplayJobId,
    pub confirmed_at: Timestamp,
    pub confirmed_by: String,
    /// From where.
    pub address: String,
    /// What was confirmed, in the words of whoever froze it.
    pub request: String,
    /// Dead letters beyond came after the confirmation.
    pub through: DeadLetterId,
}

impl Store {
    /// Confirms a job whose replays will follow, with the audit.
    pub async fn create_freezing_job(
        &self,
        job: &NewReplayJob,
        brake: &Brake,
        request: &str,
        entry: &NewAuditEntry,
    ) -> Result<(), StoreError> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        insert_job(&mut transaction, job, brake).await?;
        sqlx::query(
            "INSERT INTO replay_freezings (job, request, address, through) \
             VALUES (?, ?, ?, (SELECT COALESCE(MAX(id), 0) FROM dead_letters))",
        )
        .bind(job.id.to_string())
        .bind(request)
        .bind(&entry.address)
        .execute(&mut *transaction)
        .await?;
        audit::append(&mut transaction, entry).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// The oldest job that is not whole yet.
    pub async fn unfinished_freezing(&self) -> Result<Option<Freezing>, StoreError> {
        let row: Option<FreezingRow> = sqlx::query_as(
            "SELECT j.id, j.created_at_ms, j.created_by, f.address, f.request, f.through \
             FROM replay_freezings f JOIN replay_jobs j ON j.id = f.job \
             WHERE f.finished_at_ms IS NULL ORDER BY j.rowid LIMIT 1",
        )
        .fetch_optional(&self.reader)
        .await?;
        Ok(row.and_then(FreezingRow::into_freezing))
    }

    /// Plans more replays of a job; `None` if it is not being frozen any more, because it was cancelled.
    pub async fn plan_more(
        &self,
        job: ReplayJobId,
        replays: &[NewReplay],
        replayed: Replayed,
        at: Timestamp,
    ) -> Result<Option<JobCreated>, StoreError> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let goes_on: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM replay_freezings WHERE job = ? AND finished_at_ms IS NULL)",
        )
        .bind(job.to_string())
        .fetch_one(&mut *transaction)
        .await?;
        if !goes_on {
            return Ok(None);
        }
        let created = plan(&mut transaction, (job, at), replays, replayed).await?;
        transaction.commit().await?;
        Ok(Some(created))
    }

    /// Lets a job be sent that is whole, with the audit, or ends one that cannot be.
    pub async fn finish_freezing(
        &self,
        job: ReplayJobId,
        refused: u64,
        problem: Option<&str>,
        entry: &NewAuditEntry,
    ) -> Result<(), StoreError> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let finished = sqlx::query(
            "UPDATE replay_freezings SET finished_at_ms = ?, refused = ?, problem = ? \
             WHERE job = ? AND finished_at_ms IS NULL",
        )
        .bind(entry.at.as_millis())
        .bind(i64::try_from(refused).unwrap_or(i64::MAX))
        .bind(problem)
        .bind(job.to_string())
        .execute(&mut *transaction)
        .await?;
        if finished.rows_affected() > 0 {
            audit::append(&mut transaction, entry).await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// The dead letters of a job.
    pub async fn dead_letters_of_job(&self, job: ReplayJobId) -> Result<DeadLetterIds, StoreError> {
        let mut letters: Vec<DeadLetterId> = Vec::new();
        let mut last = 0;
        loop {
            let rows: Vec<(i64, i64)> = sqlx::query_as(
                "SELECT number, dead_letter FROM replay_states \
                 WHERE job = (SELECT number FROM replay_names WHERE name = ?) \
                 AND number > ? ORDER BY number LIMIT ?",
            )
            .bind(job.to_string())
            .bind(last)
            .bind(PAGE)
            .fetch_all(&self.reader)
            .await?;
            letters.extend(rows.iter().map(|(_, letter)| DeadLetterId(*letter)));
            match rows.into_iter().next_back() {
                Some((number, _)) => last = number,
                None => return Ok(letters.into_iter().collect()),
            }
        }
    }
}

#[derive(Debug, FromRow)]
struct FreezingRow {
    id: String,
    created_at_ms: i64,
    created_by: String,
    address: String,
    request: String,
    through: i64,
}

impl FreezingRow {
    fn into_freezing(self) -> Option<Freezing> {
        Some(Freezing {
            job: self.id.parse().ok()?,
            confirmed_at: Timestamp(self.created_at_ms),
            confirmed_by: self.created_by,
            address: self.address,
            request: self.request,
            through: DeadLetterId(self.through),
        })
    }
}
