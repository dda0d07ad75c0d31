//! How fast failure groups fill, counted behind intake in chunks, so that neither intake nor a page
//! pays for it: a page reads which groups grow from a small table.

use super::{Store, StoreError};
use crate::domain::{GroupState, Timestamp};

/// Dead letters that one step counts, and the groups and spans that it may touch.
const CHUNK: i64 = 20_000;
const MOST_COUNTS: usize = 2_000;

const SPAN_MS: i64 = 10 * 60 * 1000;
const SPANS_AN_HOUR: i64 = 6;
const HOURS_BEFORE: i64 = 23;

/// A count of one group in one span: group, span, arrivals, and the last dead letter in it.
type Count = (String, i64, i64, i64);

impl Store {
    /// Counts the next dead letters that arrived; `false` if all are counted.
    pub async fn count_arrivals(&self, now: Timestamp) -> Result<bool, StoreError> {
        let through: i64 = sqlx::query_scalar("SELECT through FROM arrivals_counted")
            .fetch_one(&self.reader)
            .await?;
        let mut counts = self.arrivals_after(through, CHUNK).await?;
        if counts.len() > MOST_COUNTS {
            let few = i64::try_from(MOST_COUNTS).unwrap_or(1);
            counts = self.arrivals_after(through, few).await?;
        }
        let Some(last) = counts.iter().map(|count| count.3).max() else {
            return Ok(false);
        };
        let (oldest, newest) = (span_of(now) - day_in_spans(), span_of(now));
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        for (group, span, arrivals, _) in counts {
            // A clock that is ahead counts as now; what died before yesterday says nothing of today.
            if span < oldest {
                continue;
            }
            sqlx::query(
                "INSERT INTO failure_group_arrivals (failure_group, span, arrivals) \
                 VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET arrivals = arrivals + excluded.arrivals",
            )
            .bind(group)
            .bind(span.min(newest))
            .bind(arrivals)
            .execute(&mut *transaction)
            .await?;
        }
        sqlx::query("UPDATE arrivals_counted SET through = ?")
            .bind(last)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(true)
    }

    async fn arrivals_after(&self, id: i64, limit: i64) -> Result<Vec<Count>, StoreError> {
        let counts = sqlx::query_as(
            "SELECT failure_group, span, COUNT(*), MAX(id) FROM \
             (SELECT id, failure_group, dead_at_ms / ? AS span FROM dead_letters \
              WHERE id > ? ORDER BY id LIMIT ?) GROUP BY failure_group, span",
        )
        .bind(SPAN_MS)
        .bind(id)
        .bind(limit);
        Ok(counts.fetch_all(&self.reader).await?)
    }

    /// Judges anew which groups grow, and forgets what is older than a day.
    pub async fn judge_growth(&self, now: Timestamp) -> Result<(), StoreError> {
        let hour_began = span_of(now) - SPANS_AN_HOUR;
        let day_began = span_of(now) - day_in_spans();
        let rates: Vec<(String, i64, i64)> = sqlx::query_as(
            "SELECT a.failure_group, SUM(a.arrivals * (a.span > ?1)), \
             SUM(a.arrivals * (a.span <= ?1)) FROM failure_group_arrivals a \
             JOIN failure_groups g ON g.id = a.failure_group \
             WHERE a.span > ?2 AND g.first_seen_ms <= ?3 GROUP BY a.failure_group",
        )
        .bind(hour_began)
        .bind(day_began)
        .bind(now.minus(GroupState::NEWS_FOR).as_millis())
        .fetch_all(&self.reader)
        .await?;
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        sqlx::query("DELETE FROM growing_failure_groups")
            .execute(&mut *transaction)
            .await?;
        for (group, last_hour, before) in rates {
            let usual = before as f64 / HOURS_BEFORE as f64;
            if !GroupState::is_growth(u64::try_from(last_hour).unwrap_or(0), usual) {
                continue;
            }
            sqlx::query("INSERT INTO growing_failure_groups VALUES (?, ?, ?)")
                .bind(group)
                .bind(last_hour)
                .bind(usual)
                .execute(&mut *transaction)
                .await?;
        }
        sqlx::query("DELETE FROM failure_group_arrivals WHERE span <= ?")
            .bind(day_began)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(())
    }
}

const fn span_of(at: Timestamp) -> i64 {
    at.as_millis() / SPAN_MS
}

const fn day_in_spans() -> i64 {
    (HOURS_BEFORE + 1) * SPANS_AN_HOUR
}

#[cfg(test)]
mod tests;
