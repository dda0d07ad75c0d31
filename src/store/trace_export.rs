//! What the export of traces remembers: which spans were sent, and up to where all was.

use sqlx::{FromRow, QueryBuilder, Sqlite};

use super::{Store, StoreError};
use crate::domain::Timestamp;

/// Rows of one statement.
const ROWS: usize = 500;

/// Rows that one transaction removes.
const PRUNED_AT_ONCE: i64 = 5_000;

/// States of a replay in which something of it can be told.
const TOLD: &str = "'sent', 'passed', 'consumed', 'died_again', 'not_seen_again', 'failed'";

/// Up to where something was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromRow)]
pub struct ExportPosition {
    /// Row IDs of events and dead letters.
    pub event: i64,
    pub letter: i64,
    /// The time at which a replay changed, in milliseconds.
    pub replay_ms: i64,
}

/// Something new that belongs to a trace, if it has a correlation ID.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct TraceNews {
    /// The row.
    pub id: i64,
    /// Of a replay, when it changed; else 0.
    pub changed_ms: i64,
    pub correlation_id: Option<String>,
}

/// A span that was exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExportedSpan {
    pub trace: [u8; 16],
    pub span: [u8; 8],
    pub at: Timestamp,
}

impl Store {
    /// Up to where all was exported; `None` before the first time.
    pub async fn export_position(&self) -> Result<Option<ExportPosition>, StoreError> {
        let position = sqlx::query_as("SELECT event, letter, replay_ms FROM trace_export")
            .fetch_optional(&self.reader)
            .await?;
        Ok(position)
    }

    /// The end of what is there.
    pub async fn export_end(&self, now: Timestamp) -> Result<ExportPosition, StoreError> {
        let end = sqlx::query_as(
            "SELECT COALESCE((SELECT MAX(id) FROM traced_events), 0) AS event, \
             COALESCE((SELECT MAX(id) FROM dead_letters), 0) AS letter, ? AS replay_ms",
        )
        .bind(now.as_millis())
        .fetch_one(&self.reader)
        .await?;
        Ok(end)
    }

    pub async fn put_export_position(&self, position: ExportPosition) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT OR REPLACE INTO trace_export (one, event, letter, replay_ms) \
             VALUES (1, ?, ?, ?)",
        )
        .bind(position.event)
        .bind(position.letter)
        .bind(position.replay_ms)
        .execute(&self.writer)
        .await?;
        Ok(())
    }

    /// The first event that is kept.
    pub async fn first_traced_event(&self) -> Result<Option<i64>, StoreError> {
        let first = sqlx::query_scalar("SELECT MIN(id) FROM traced_events")
            .fetch_one(&self.reader)
            .await?;
        Ok(first)
    }

    /// Events after a row, as they were seen.
    pub async fn events_after(&self, id: i64, most: u32) -> Result<Vec<TraceNews>, StoreError> {
        self.rows_after("traced_events", id, most).await
    }

    /// Dead letters after a row.
    pub async fn letters_after(&self, id: i64, most: u32) -> Result<Vec<TraceNews>, StoreError> {
        self.rows_after("dead_letters", id, most).await
    }

    async fn rows_after(
        &self,
        table: &'static str,
        id: i64,
        most: u32,
    ) -> Result<Vec<TraceNews>, StoreError> {
        let sql = format!(
            "SELECT id, 0 AS changed_ms, correlation_id FROM {table} \
             WHERE id > ? ORDER BY id LIMIT ?"
        );
        let news = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(id).bind(most);
        Ok(news.fetch_all(&self.reader).await?)
    }

    /// Replays that were sent or failed, by when they changed last: those after a time and a row, and not later than
    /// `through`.
    pub async fn replays_told_after(
        &self,
        (after, row): (Timestamp, i64),
        through: Timestamp,
        most: u32,
    ) -> Result<Vec<TraceNews>, StoreError> {
        let sql = format!(
            "SELECT r.number AS id, r.updated_at_ms AS changed_ms, d.correlation_id \
             FROM replays r JOIN dead_letters d ON d.id = r.dead_letter \
             WHERE r.state IN ({TOLD}) AND r.stage <> 'to_send' AND r.updated_at_ms BETWEEN ?1 AND ?3 \
             AND (r.updated_at_ms, r.number) > (?1, ?2) \
             ORDER BY r.updated_at_ms, r.number LIMIT ?4"
        );
        let news = sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(after.as_millis())
            .bind(row)
            .bind(through.as_millis())
            .bind(most)
            .fetch_all(&self.reader)
            .await?;
        Ok(news)
    }

    /// The spans of a trace that were exported.
    pub async fn exported_spans(&self, trace: [u8; 16]) -> Result<Vec<[u8; 8]>, StoreError> {
        let rows: Vec<Vec<u8>> =
            sqlx::query_scalar("SELECT span FROM exported_spans WHERE trace = ?")
                .bind(trace.as_slice())
                .fetch_all(&self.reader)
                .await?;
        // Nothing else is written there.
        let spans = rows.into_iter().filter_map(|span| span.try_into().ok());
        Ok(spans.collect())
    }

    /// Remembers spans as exported, those that are known until the later time.
    pub async fn put_exported_spans(&self, spans: &[ExportedSpan]) -> Result<(), StoreError> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        for chunk in spans.chunks(ROWS) {
            let mut query =
                QueryBuilder::<Sqlite>::new("INSERT INTO exported_spans (trace, span, at_ms) ");
            query.push_values(chunk, |mut row, exported| {
                row.push_bind(exported.trace.to_vec())
                    .push_bind(exported.span.to_vec())
                    .push_bind(exported.at.as_millis());
            });
            query.push(" ON CONFLICT DO UPDATE SET at_ms = MAX(at_ms, excluded.at_ms)");
            query.build().execute(&mut *transaction).await?;
        }
        Ok(transaction.commit().await?)
    }

    /// Forgets spans from before `oldest`, and of more than `most` the oldest; in short transactions. Until when all
    /// spans may be forgotten, if there are as many as that.
    pub async fn prune_exported_spans(
        &self,
        oldest: Timestamp,
        most: u64,
    ) -> Result<Option<Timestamp>, StoreError> {
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let mut count: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM exported_spans")
            .fetch_one(&self.reader)
            .await?;
        loop {
            let pruned = sqlx::query(
                "DELETE FROM exported_spans WHERE (trace, span) IN \
                 (SELECT trace, span FROM exported_spans WHERE at_ms < ?1 ORDER BY at_ms LIMIT ?3) \
                 OR (trace, span) IN \
                 (SELECT trace, span FROM exported_spans ORDER BY at_ms LIMIT MIN(?2, ?3))",
            )
            .bind(oldest.as_millis())
            .bind(count.saturating_sub(most).max(0))
            .bind(PRUNED_AT_ONCE)
            .execute(&self.writer)
            .await?;
            let pruned = i64::try_from(pruned.rows_affected()).unwrap_or(0);
            if pruned == 0 {
                break;
            }
            count -= pruned;
        }
        if count < most {
            return Ok(None);
        }
        let first: Option<i64> = sqlx::query_scalar("SELECT MIN(at_ms) FROM exported_spans")
            .fetch_one(&self.reader)
            .await?;
        Ok(first.map(Timestamp))
    }
}

#[cfg(test)]
mod tests;
