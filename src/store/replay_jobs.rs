//! Replay jobs with what became of their replays.

use sqlx::FromRow;
use uuid::Uuid;

use super::{Page, PageRequest, Store, StoreError};
use crate::domain::{ReplayJob, ReplayJobId, Timestamp};

impl Store {
    /// Jobs, the newest first.
    pub async fn replay_jobs(&self, page: &PageRequest) -> Result<Page<ReplayJob>, StoreError> {
        let rows: Vec<JobRow> = sqlx::query_as(
            "SELECT rowid AS row, id, created_at_ms, created_by, selection FROM replay_jobs \
             WHERE rowid < ? ORDER BY rowid DESC LIMIT ?",
        )
        .bind(page.key()?.unwrap_or(i64::MAX))
        .bind(page.rows())
        .fetch_all(&self.reader)
        .await?;
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
        let row: Option<JobRow> = sqlx::query_as(
            "SELECT rowid AS row, id, created_at_ms, created_by, selection FROM replay_jobs \
             WHERE id = ?",
        )
        .bind(id.to_string())
        .fetch_optional(&self.reader)
        .await?;
        match row {
            Some(row) => self.with_counts(row).await.map(Some),
            None => Ok(None),
        }
    }

    async fn with_counts(&self, row: JobRow) -> Result<ReplayJob, StoreError> {
        let counts: Vec<(String, i64)> =
            sqlx::query_as("SELECT state, COUNT(*) FROM replays WHERE job = ? GROUP BY state")
                .bind(&row.id)
                .fetch_all(&self.reader)
                .await?;
        let named = counts
            .into_iter()
            .filter_map(|(state, count)| Some((state.parse().ok()?, u64::try_from(count).ok()?)));
        Ok(ReplayJob {
            id: row.id.parse().unwrap_or(ReplayJobId(Uuid::nil())),
            created_at: Timestamp(row.created_at_ms),
            created_by: row.created_by,
            selection: row.selection,
            counts: named.collect(),
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
}
