//! Which failure groups grow, judged in the background: a page reads it from a small table.

use super::{Store, StoreError};
use crate::domain::{GroupState, Timestamp};

const HOUR_MS: i64 = 60 * 60 * 1000;
const HOURS_BEFORE: i64 = 23;

impl Store {
    /// Judges anew which groups grow.
    pub async fn judge_growth(&self, now: Timestamp) -> Result<(), StoreError> {
        let hour_began = now.as_millis() - HOUR_MS;
        let rates: Vec<(String, i64, i64)> = sqlx::query_as(
            "SELECT d.failure_group, SUM(d.dead_at_ms > ?1), SUM(d.dead_at_ms <= ?1) \
             FROM dead_letters d JOIN failure_groups g ON g.id = d.failure_group \
             WHERE d.dead_at_ms > ?2 AND g.first_seen_ms <= ?3 GROUP BY d.failure_group",
        )
        .bind(hour_began)
        .bind(hour_began - HOURS_BEFORE * HOUR_MS)
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
        transaction.commit().await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
