//! Redrive policies: what people decided, each change with its audit entry, and what the last look at
//! their groups found.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sqlx::{FromRow, Sqlite, Transaction};

use super::group_care::Author;
use super::{NewAuditEntry, Store, StoreError, audit};
use crate::domain::{FailureGroupId, RedrivePolicy, ReplayJobId, Timestamp};

/// The policy of a failure group as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPolicy {
    pub group: FailureGroupId,
    pub enabled: bool,
    pub policy: RedrivePolicy,
    pub changed_by: String,
    pub changed_at: Timestamp,
    /// Why it switched itself off.
    pub stopped: Option<String>,
    /// A run that was prepared under an earlier one is not started.
    pub version: i64,
    pub runs: u64,
    /// Events that its runs replayed, each as often as they did.
    pub events: u64,
    /// What the last look at the group found, and when that was.
    pub findings: Option<(Timestamp, RedriveFindings)>,
}

/// What a look at the open dead letters of a group found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RedriveFindings {
    /// Their time has not come.
    pub waiting: u64,
    /// When the next one is due.
    pub next_due: Option<Timestamp>,
    /// More were due than one run takes.
    pub for_next_run: u64,
    /// They are left to a person: how many for which reason.
    pub skipped: Vec<(String, u64)>,
}

const COLUMNS: &str = "failure_group, enabled, attempts, first_delay_ms, factor, events_per_second, \
     stop_percent, changed_by, changed_at_ms, stopped, version, runs, events, looked_at_ms, findings";

impl Store {
    pub async fn redrive_policy(
        &self,
        group: &FailureGroupId,
    ) -> Result<Option<StoredPolicy>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM redrive_policies WHERE failure_group = ?");
        let row: Option<PolicyRow> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(group.as_str())
            .fetch_optional(&self.reader)
            .await?;
        Ok(row.map(PolicyRow::into_policy))
    }

    /// The policies that are switched on, each with a mark that differs whenever its group or itself
    /// changed.
    pub async fn active_redrive_policies(&self) -> Result<Vec<(StoredPolicy, String)>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS}, version || '.' || COALESCE((SELECT g.total || '.' || g.open \
             FROM failure_groups g WHERE g.id = failure_group), '') AS mark \
             FROM redrive_policies WHERE enabled ORDER BY failure_group"
        );
        let rows: Vec<MarkedRow> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .fetch_all(&self.reader)
            .await?;
        let marked = rows.into_iter();
        Ok(marked
            .map(|row| (row.policy.into_policy(), row.mark))
            .collect())
    }

    /// Gives a group its policy, or changes it, with the audit. Saving the same again changes nothing.
    pub async fn set_redrive_policy(
        &self,
        group: &FailureGroupId,
        enabled: bool,
        policy: &RedrivePolicy,
        author: &Author,
    ) -> Result<(), StoreError> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        must_exist(&mut transaction, group).await?;
        let before = policy_in(&mut transaction, group).await?;
        if let Some(before) = &before
            && before.enabled == enabled
            && before.policy == *policy
        {
            return Ok(());
        }
        write_policy(&mut transaction, group, enabled, policy, author).await?;
        let detail = serde_json::json!({
            "failure_group": group,
            "policy": in_words(enabled, policy),
            "before": before.map(|before| in_words(before.enabled, &before.policy)),
        });
        let entry = author.entry("redrive_policy.set", detail);
        audit::append(&mut transaction, &entry).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Removes the policy of a group, with the audit. Answers whether it had one.
    pub async fn remove_redrive_policy(
        &self,
        group: &FailureGroupId,
        author: &Author,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        must_exist(&mut transaction, group).await?;
        let Some(before) = policy_in(&mut transaction, group).await? else {
            return Ok(false);
        };
        sqlx::query("DELETE FROM redrive_policies WHERE failure_group = ?")
            .bind(group.as_str())
            .execute(&mut *transaction)
            .await?;
        let detail = serde_json::json!({
            "failure_group": group,
            "before": in_words(before.enabled, &before.policy),
        });
        let entry = author.entry("redrive_policy.remove", detail);
        audit::append(&mut transaction, &entry).await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// Switches a policy off for a reason, with the audit, and pauses what its runs have still planned.
    /// Answers whether that very version was on.
    pub async fn stop_redrive_policy(
        &self,
        policy: &StoredPolicy,
        reason: &str,
        entry: &NewAuditEntry,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let stopped = sqlx::query(
            "UPDATE redrive_policies SET enabled = 0, stopped = ?, version = version + 1 \
             WHERE failure_group = ? AND version = ? AND enabled",
        )
        .bind(reason)
        .bind(policy.group.as_str())
        .bind(policy.version)
        .execute(&mut *transaction)
        .await?;
        if stopped.rows_affected() == 0 {
            return Ok(false);
        }
        sqlx::query(
            "UPDATE replay_jobs SET state = 'paused', reason = ? WHERE state = 'ready' AND id IN \
             (SELECT r.job FROM redrive_runs r JOIN replay_job_counts c ON c.job = r.job \
             WHERE r.failure_group = ? AND c.state = 'planned' AND c.events > 0)",
        )
        .bind(format!("its redrive policy was switched off: {reason}"))
        .bind(policy.group.as_str())
        .execute(&mut *transaction)
        .await?;
        audit::append(&mut transaction, entry).await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// Keeps what a look found, unless the policy was changed meanwhile.
    pub async fn note_redrive_findings(
        &self,
        policy: &StoredPolicy,
        findings: &RedriveFindings,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let findings = serde_json::to_string(findings);
        sqlx::query(
            "UPDATE redrive_policies SET looked_at_ms = ?, findings = ? \
             WHERE failure_group = ? AND version = ?",
        )
        .bind(at.as_millis())
        .bind(findings.map_err(StoreError::corrupt("what a redrive policy found"))?)
        .bind(policy.group.as_str())
        .bind(policy.version)
        .execute(&self.writer)
        .await?;
        Ok(())
    }

    /// The newest run for a group.
    pub async fn last_redrive_run(
        &self,
        group: &FailureGroupId,
    ) -> Result<Option<(ReplayJobId, Timestamp)>, StoreError> {
        let last: Option<(String, i64)> = sqlx::query_as(
            "SELECT job, started_at_ms FROM redrive_runs WHERE failure_group = ? \
             ORDER BY started_at_ms DESC LIMIT 1",
        )
        .bind(group.as_str())
        .fetch_optional(&self.reader)
        .await?;
        Ok(last.and_then(|(job, at)| Some((job.parse().ok()?, Timestamp(at)))))
    }
}

async fn must_exist(
    transaction: &mut Transaction<'_, Sqlite>,
    group: &FailureGroupId,
) -> Result<(), StoreError> {
    let exists: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM failure_groups WHERE id = ?)")
            .bind(group.as_str())
            .fetch_one(&mut **transaction)
            .await?;
    if exists {
        Ok(())
    } else {
        Err(StoreError::NoSuchFailureGroup(group.clone()))
    }
}

pub(super) async fn policy_in(
    transaction: &mut Transaction<'_, Sqlite>,
    group: &FailureGroupId,
) -> Result<Option<StoredPolicy>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM redrive_policies WHERE failure_group = ?");
    let row: Option<PolicyRow> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(group.as_str())
        .fetch_optional(&mut **transaction)
        .await?;
    Ok(row.map(PolicyRow::into_policy))
}

async fn write_policy(
    transaction: &mut Transaction<'_, Sqlite>,
    group: &FailureGroupId,
    enabled: bool,
    policy: &RedrivePolicy,
    author: &Author,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO redrive_policies (failure_group, enabled, attempts, first_delay_ms, factor, \
         events_per_second, stop_percent, changed_by, changed_at_ms, version) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 1) ON CONFLICT (failure_group) DO UPDATE SET \
         enabled = excluded.enabled, attempts = excluded.attempts, \
         first_delay_ms = excluded.first_delay_ms, factor = excluded.factor, \
         events_per_second = excluded.events_per_second, stop_percent = excluded.stop_percent, \
         changed_by = excluded.changed_by, changed_at_ms = excluded.changed_at_ms, \
         stopped = NULL, version = version + 1, looked_at_ms = NULL, findings = NULL",
    )
    .bind(group.as_str())
    .bind(enabled)
    .bind(policy.attempts)
    .bind(i64::try_from(policy.first_delay.as_millis()).unwrap_or(i64::MAX))
    .bind(policy.factor)
    .bind(policy.events_per_second)
    .bind(policy.stop_percent)
    .bind(&author.name)
    .bind(author.at.as_millis())
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// What the audit says of a policy.
fn in_words(enabled: bool, policy: &RedrivePolicy) -> serde_json::Value {
    serde_json::json!({
        "enabled": enabled,
        "attempts": policy.attempts,
        "first_delay_seconds": policy.first_delay.as_secs(),
        "factor": policy.factor,
        "events_per_second": policy.events_per_second,
        "stop_percent": policy.stop_percent,
    })
}

#[derive(Debug, FromRow)]
struct PolicyRow {
    failure_group: String,
    enabled: bool,
    attempts: u32,
    first_delay_ms: i64,
    factor: u32,
    events_per_second: Option<u32>,
    stop_percent: u8,
    changed_by: String,
    changed_at_ms: i64,
    stopped: Option<String>,
    version: i64,
    runs: i64,
    events: i64,
    looked_at_ms: Option<i64>,
    findings: Option<String>,
}

#[derive(Debug, FromRow)]
struct MarkedRow {
    #[sqlx(flatten)]
    policy: PolicyRow,
    mark: String,
}

impl PolicyRow {
    fn into_policy(self) -> StoredPolicy {
        let findings = self.findings.as_deref();
        let findings = findings.and_then(|text| serde_json::from_str(text).ok());
        let first_delay_ms = u64::try_from(self.first_delay_ms).unwrap_or(0);
        StoredPolicy {
            group: self.failure_group.into(),
            enabled: self.enabled,
            policy: RedrivePolicy {
                attempts: self.attempts,
                first_delay: Duration::from_millis(first_delay_ms),
                factor: self.factor,
                events_per_second: self.events_per_second,
                stop_percent: self.stop_percent,
            },
            changed_by: self.changed_by,
            changed_at: Timestamp(self.changed_at_ms),
            stopped: self.stopped,
            version: self.version,
            runs: u64::try_from(self.runs).unwrap_or(0),
            events: u64::try_from(self.events).unwrap_or(0),
            findings: self.looked_at_ms.map(Timestamp).zip(findings),
        }
    }
}
