//! Which failure groups grow, judged in the background: a page reads it from a small table.

use super::failure_groups::MINUTE_MS;
use super::{Store, StoreError};
use crate::domain::{GroupState, Timestamp};

const MINUTES: i64 = 60;
const HOURS_BEFORE: i64 = 23;

impl Store {
    /// Judges anew which groups grow.
    pub async fn judge_growth(&self, now: Timestamp) -> Result<(), StoreError> {
        let hour_began = now.as_millis() / MINUTE_MS - MINUTES;
        let rates: Vec<(String, i64, i64)> = sqlx::query_as(
            "SELECT m.failure_group, SUM(m.deaths * (m.minute > ?1)), SUM(m.deaths * (m.minute <= ?1)) \
             FROM failure_group_minutes m JOIN failure_groups g ON g.id = m.failure_group \
             WHERE m.minute > ?2 AND g.first_seen_ms <= ?3 GROUP BY m.failure_group",
        )
        .bind(hour_began)
        .bind(hour_began - HOURS_BEFORE * MINUTES)
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
