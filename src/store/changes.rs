use super::{Store, StoreError};
use crate::domain::{FailureGroupId, Replay, ReplayStateName};

/// Replays among which the last one of a failure group is looked for.
const RECENT_REPLAYS: u32 = 5_000;

impl Store {
    /// A text that differs whenever something that the pages show has changed. Cheap: index seeks only.
    pub async fn change_mark(&self) -> Result<String, StoreError> {
        let mut sql = "SELECT COALESCE((SELECT MAX(id) FROM dead_letters), 0) || '.' || \
             COALESCE((SELECT MAX(seq) FROM audit), 0) || '.' || \
             COALESCE((SELECT SUM(open) FROM failure_groups), 0) || '.' || \
             COALESCE((SELECT SUM(events) FROM replay_job_counts \
             WHERE state = 'planned' AND events > 0), 0)"
            .to_owned();
        for state in ReplayStateName::ALL {
            let newest = format!(
                " || '.' || COALESCE((SELECT MAX(updated_at_ms) FROM replay_states \
                 WHERE state = '{state}' AND stage <> 'to_send'), 0)"
            );
            sql.push_str(&newest);
        }
        let mark = sqlx::query_scalar(sqlx::AssertSqlSafe(sql));
        Ok(mark.fetch_one(&self.reader).await?)
    }

    /// The newest replay of a member of a failure group, if it is among the recent ones.
    pub async fn last_replay_of_group(
        &self,
        group: &FailureGroupId,
    ) -> Result<Option<Replay>, StoreError> {
        // The few recent replays come first: without CROSS, SQLite reads all of the group.
        let id: Option<String> = sqlx::query_scalar(
            "SELECT r.id FROM (SELECT number, id, dead_letter FROM replay_plans \
             ORDER BY number DESC LIMIT ?) r \
             CROSS JOIN dead_letters d ON d.id = r.dead_letter WHERE d.failure_group = ? \
             ORDER BY r.number DESC LIMIT 1",
        )
        .bind(i64::from(RECENT_REPLAYS))
        .bind(group.as_str())
        .fetch_optional(&self.reader)
        .await?;
        match id.and_then(|id| id.parse().ok()) {
            Some(id) => self.replay(id).await.map(Some),
            None => Ok(None),
        }
    }
}
