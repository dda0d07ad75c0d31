//! What redrive policies do: which open dead letters a group has and how often each was replayed by
//! itself, and the run that replays some of them. A run, its job, the numbers of attempts and the audit are one
//! transaction: a crash leaves all of it or nothing, so no attempt is made twice and none is forgotten.

use std::collections::HashSet;

use sqlx::{FromRow, Sqlite, Transaction};

use super::redrive_policies::{StoredPolicy, policy_in};
use super::replay_planning::{JobCreated, NewReplayJob, Replayed, frozen_set, insert_job, plan};
use super::{NewAuditEntry, Store, StoreError, audit};
use crate::domain::{Brake, DeadLetterId, FailureGroupId, ReplayId, ReplayJobId, Timestamp};

/// Earlier dead letters of the same event among which its attempts are looked for.
const EARLIER_DEATHS: u32 = 20;

/// Runs of a policy whose outcome can still switch it off.
const RUNS_JUDGED: u32 = 100;

/// An open dead letter of a group that has a policy.
#[derive(Clone, Debug, FromRow)]
pub struct OpenLetter {
    id: i64,
    failed_at_ms: i64,
    /// How often policies replayed this event.
    pub attempts: u32,
    /// An earlier dead letter came back from the same replay, or is possibly the same message.
    pub is_copy: bool,
}

impl OpenLetter {
    pub const fn id(&self) -> DeadLetterId {
        DeadLetterId(self.id)
    }

    /// When it died, or when the last replay of it ended that did not reach its destination.
    pub const fn failed_at(&self) -> Timestamp {
        Timestamp(self.failed_at_ms)
    }
}

impl Store {
    /// The next open dead letters of a group after one of them, by their IDs.
    ///
    /// A consumer that drops the replay ID breaks the line from a replay to the death after it. Then the attempts are
    /// those of the newest earlier dead letter of the same event, source and consumer.
    pub async fn open_letters_of_group(
        &self,
        group: &FailureGroupId,
        after: DeadLetterId,
        limit: u32,
    ) -> Result<Vec<OpenLetter>, StoreError> {
        let sql = format!(
            "SELECT d.id, MAX(MIN(d.dead_at_ms, d.indexed_at_ms), COALESCE((SELECT \
             MAX(r.updated_at_ms) FROM replays r WHERE r.dead_letter = d.id), 0)) AS failed_at_ms, \
             MAX(COALESCE((SELECT a.attempts FROM redrive_attempts a WHERE a.dead_letter = d.id), 0), \
             COALESCE((SELECT MAX(a.attempts) FROM (SELECT e.id, e.cluster, e.source, e.consumer \
             FROM dead_letters e WHERE e.event_id = d.event_id AND e.id < d.id \
             ORDER BY e.id DESC LIMIT {EARLIER_DEATHS}) e \
             JOIN redrive_attempts a ON a.dead_letter = e.id WHERE e.cluster = d.cluster \
             AND e.source IS d.source AND e.consumer IS d.consumer), 0)) AS attempts, \
             (d.possible_duplicate_of IS NOT NULL OR EXISTS (SELECT 1 FROM dead_letters e \
             WHERE e.died_from_replay = d.died_from_replay AND e.id < d.id)) AS is_copy \
             FROM dead_letters d WHERE d.failure_group = ? AND d.status = 'open' AND d.id > ? \
             ORDER BY d.id LIMIT ?"
        );
        let letters: Vec<OpenLetter> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(group.as_str())
            .bind(after.0)
            .bind(i64::from(limit))
            .fetch_all(&self.reader)
            .await?;
        Ok(letters)
    }

    /// Starts a run: its job with all replays that can be planned, their attempts and the audit, whose
    /// detail gets the exact set. `None` if the policy was changed meanwhile, or nothing is left of the run.
    pub async fn start_redrive_run(
        &self,
        policy: &StoredPolicy,
        job: &NewReplayJob,
        attempts: &[(DeadLetterId, u32)],
        entry: &NewAuditEntry,
    ) -> Result<Option<JobCreated>, StoreError> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let current = policy_in(&mut transaction, &policy.group).await?;
        if !current.is_some_and(|now| now.enabled && now.version == policy.version) {
            return Ok(None);
        }
        let mut job = job.clone();
        let open = still_open(&mut transaction, attempts).await?;
        job.replays
            .retain(|replay| open.contains(&replay.dead_letter));
        let brake = Brake {
            events_per_second: policy.policy.events_per_second,
            ..Brake::default()
        };
        insert_job(&mut transaction, &job, &brake).await?;
        let (planned, replayed) = ((job.id, job.created_at), Replayed::AreRefused);
        let created = plan(&mut transaction, planned, &job.replays, replayed).await?;
        if created.planned.is_empty() {
            return Ok(None);
        }
        count_attempts(&mut transaction, &job, attempts, &created.planned).await?;
        insert_run(&mut transaction, policy, &job, created.planned.len()).await?;
        let frozen = frozen_set(&job, &created);
        audit::append(&mut transaction, &entry.with_detail("replays", &frozen)).await?;
        transaction.commit().await?;
        Ok(Some(created))
    }

    /// Whether the newest run for a group still has something to send, also if it is paused.
    pub async fn redrive_run_is_under_way(
        &self,
        group: &FailureGroupId,
    ) -> Result<bool, StoreError> {
        let is_under_way = sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM replay_job_counts c WHERE c.job = (SELECT r.job \
             FROM redrive_runs r WHERE r.failure_group = ? ORDER BY r.started_at_ms DESC LIMIT 1) \
             AND c.state IN ('planned', 'sending') AND c.events > 0)",
        );
        Ok(is_under_way
            .bind(group.as_str())
            .fetch_one(&self.reader)
            .await?)
    }

    /// A run since the last change of a policy of which too much died again, and that in words.
    pub async fn redrive_run_to_stop_for(
        &self,
        stored: &StoredPolicy,
    ) -> Result<Option<(ReplayJobId, String)>, StoreError> {
        let rows: Vec<(String, i64, i64)> = sqlx::query_as(
            "SELECT r.job, r.events, c.events FROM (SELECT job, events FROM redrive_runs \
             WHERE failure_group = ? AND started_at_ms >= ? ORDER BY started_at_ms DESC LIMIT ?) r \
             JOIN replay_job_counts c ON c.job = r.job AND c.state = 'died_again'",
        )
        .bind(stored.group.as_str())
        .bind(stored.changed_at.as_millis())
        .bind(RUNS_JUDGED)
        .fetch_all(&self.reader)
        .await?;
        let mut runs = rows.into_iter();
        Ok(runs.find_map(|(job, events, died)| {
            let (events, died) = (u64::try_from(events).ok()?, u64::try_from(died).ok()?);
            let reason = stored.policy.reason_to_stop(events, died)?;
            Some((job.parse().ok()?, reason))
        }))
    }
}

/// Hands the number of attempts on to a dead letter that came back from a replay.
pub(super) async fn inherit_attempts(
    transaction: &mut Transaction<'_, Sqlite>,
    dead_letter: DeadLetterId,
    replay: ReplayId,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO redrive_attempts (dead_letter, attempts) SELECT ?, a.attempts FROM replays r \
         JOIN redrive_attempts a ON a.dead_letter = r.dead_letter WHERE r.id = ? \
         ON CONFLICT (dead_letter) DO NOTHING",
    )
    .bind(dead_letter.0)
    .bind(replay.to_string())
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// A person may have been quicker: with a replay, whose outcome is known already, or a discard.
async fn still_open(
    transaction: &mut Transaction<'_, Sqlite>,
    attempts: &[(DeadLetterId, u32)],
) -> Result<HashSet<DeadLetterId>, StoreError> {
    let ids: Vec<DeadLetterId> = attempts.iter().map(|(id, _)| *id).collect();
    let open: Vec<i64> = sqlx::query_scalar(
        "SELECT id FROM dead_letters WHERE status = 'open' \
         AND id IN (SELECT value FROM json_each(?))",
    )
    .bind(json(&ids)?)
    .fetch_all(&mut **transaction)
    .await?;
    Ok(open.into_iter().map(DeadLetterId).collect())
}

async fn count_attempts(
    transaction: &mut Transaction<'_, Sqlite>,
    job: &NewReplayJob,
    attempts: &[(DeadLetterId, u32)],
    planned: &[ReplayId],
) -> Result<(), StoreError> {
    let planned: HashSet<&ReplayId> = planned.iter().collect();
    let replayed = job
        .replays
        .iter()
        .filter(|replay| planned.contains(&replay.id));
    let replayed: HashSet<DeadLetterId> = replayed.map(|replay| replay.dead_letter).collect();
    let made: Vec<&(DeadLetterId, u32)> = attempts
        .iter()
        .filter(|(id, _)| replayed.contains(id))
        .collect();
    sqlx::query(
        "INSERT INTO redrive_attempts (dead_letter, attempts) \
         SELECT value ->> 0, value ->> 1 FROM json_each(?) WHERE TRUE \
         ON CONFLICT (dead_letter) DO UPDATE SET attempts = excluded.attempts",
    )
    .bind(json(&made)?)
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

async fn insert_run(
    transaction: &mut Transaction<'_, Sqlite>,
    policy: &StoredPolicy,
    job: &NewReplayJob,
    events: usize,
) -> Result<(), StoreError> {
    let events = i64::try_from(events).unwrap_or(i64::MAX);
    sqlx::query(
        "INSERT INTO redrive_runs (job, failure_group, started_at_ms, events) VALUES (?, ?, ?, ?)",
    )
    .bind(job.id.to_string())
    .bind(policy.group.as_str())
    .bind(job.created_at.as_millis())
    .bind(events)
    .execute(&mut **transaction)
    .await?;
    sqlx::query(
        "UPDATE redrive_policies SET runs = runs + 1, events = events + ? WHERE failure_group = ?",
    )
    .bind(events)
    .bind(policy.group.as_str())
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

fn json(value: &impl serde::Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(StoreError::corrupt("a run of a redrive policy"))
}

#[cfg(test)]
mod tests;
