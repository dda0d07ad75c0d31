//! Failure groups that are new or came back, as triggers noted them, until notices are made of them;
//! and which DLQs are still being read for the first time, since what lay there is one notice only.

use std::collections::HashSet;

use sqlx::{FromRow, Sqlite, Transaction};

use super::notifications::{NewNotice, put_notices};
use super::{Store, StoreError};
use crate::domain::{ClusterName, FailureGroupId, System, Timestamp};

/// Why a failure group is news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupNews {
    New,
    /// A dead letter arrived after everything in it had been resolved.
    Regressed,
}

/// A failure group that is new or came back.
#[derive(Clone, Debug)]
pub struct GroupEvent {
    /// Ascending in the order of events.
    pub id: i64,
    pub news: GroupNews,
    pub group: FailureGroupId,
    pub title: String,
    pub explanation: String,
    pub open: u64,
    pub total: u64,
    pub first_seen: Timestamp,
    pub last_seen: Timestamp,
    pub dlq: DlqKey,
    pub source: Option<String>,
    /// It came with what lay in the DLQ when that was discovered.
    pub is_backlog: bool,
}

/// A DLQ of a cluster. The virtual host is empty on Kafka.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DlqKey {
    pub system: System,
    pub cluster: ClusterName,
    pub vhost: String,
    pub dlq: String,
}

/// What lay in a DLQ when it was discovered.
#[derive(Clone, Debug)]
pub struct DlqBacklog {
    pub dlq: DlqKey,
    pub dead_letters: u64,
    /// Those that were new or had come back.
    pub groups: u64,
}

impl Store {
    /// Remembers that what lay in a DLQ at its discovery has been read; only the first call counts.
    pub async fn note_backlog_read(
        &self,
        cluster: &ClusterName,
        vhost: &str,
        dlq: &str,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO dlq_backlogs (cluster, vhost, dlq, through) VALUES (?, ?, ?, \
             (SELECT COALESCE(MAX(id), 0) FROM dead_letters)) \
             ON CONFLICT DO UPDATE SET through = excluded.through WHERE through IS NULL",
        )
        .bind(cluster.as_str())
        .bind(vhost)
        .bind(dlq)
        .execute(&self.writer)
        .await?;
        Ok(())
    }

    /// The DLQs of a cluster of which [`Store::note_backlog_read`] was told: virtual host and name.
    pub async fn backlogs_read(
        &self,
        cluster: &ClusterName,
    ) -> Result<HashSet<(String, String)>, StoreError> {
        let sql = "SELECT vhost, dlq FROM dlq_backlogs WHERE cluster = ? AND through IS NOT NULL";
        let rows: Vec<(String, String)> = sqlx::query_as(sql)
            .bind(cluster.as_str())
            .fetch_all(&self.reader)
            .await?;
        Ok(rows.into_iter().collect())
    }

    /// The oldest events that were not settled. A new group's DLQ is that of its first dead letter, a
    /// regressed one's that of its last.
    pub async fn group_events(&self, limit: u32) -> Result<Vec<GroupEvent>, StoreError> {
        let rows: Vec<EventRow> = sqlx::query_as(
            "SELECT e.id AS event_id, e.kind, g.id, g.title, g.explanation, g.open, g.total, \
             g.first_seen_ms, g.last_seen_ms, d.system, d.cluster, d.vhost, d.dlq, d.source, \
             (b.through IS NULL OR d.id <= b.through) AS is_backlog \
             FROM failure_group_events e JOIN failure_groups g ON g.id = e.failure_group \
             JOIN dead_letters d ON d.id = CASE e.kind \
             WHEN 'new' THEN (SELECT MIN(id) FROM dead_letters WHERE failure_group = g.id) \
             ELSE (SELECT MAX(id) FROM dead_letters WHERE failure_group = g.id) END \
             LEFT JOIN dlq_backlogs b \
             ON b.cluster = d.cluster AND b.vhost = d.vhost AND b.dlq = d.dlq \
             ORDER BY e.id LIMIT ?",
        )
        .bind(i64::from(limit))
        .fetch_all(&self.reader)
        .await?;
        Ok(rows.into_iter().map(GroupEvent::from).collect())
    }

    /// Settles all events up to one: `notices` are queued, and groups that came with a backlog are
    /// counted there.
    pub async fn settle_group_events(
        &self,
        events: &[GroupEvent],
        notices: &[NewNotice],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let Some(last) = events.last() else {
            return Ok(());
        };
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        for event in events.iter().filter(|event| event.is_backlog) {
            count_in_backlog(&mut transaction, &event.dlq).await?;
        }
        put_notices(&mut transaction, notices, now).await?;
        sqlx::query("DELETE FROM failure_group_events WHERE id <= ?")
            .bind(last.id)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Backlogs that have been read and of which nobody was told.
    pub async fn untold_backlogs(&self) -> Result<Vec<DlqBacklog>, StoreError> {
        let rows: Vec<BacklogRow> = sqlx::query_as(
            "SELECT b.cluster, b.vhost, b.dlq, b.groups, \
             (SELECT system FROM dead_letters d WHERE d.cluster = b.cluster \
              AND d.vhost = b.vhost AND d.dlq = b.dlq LIMIT 1) AS system, \
             (SELECT COUNT(*) FROM dead_letters d WHERE d.cluster = b.cluster \
              AND d.vhost = b.vhost AND d.dlq = b.dlq AND d.id <= b.through) AS dead_letters \
             FROM dlq_backlogs b WHERE b.through IS NOT NULL AND NOT b.is_told \
             ORDER BY b.cluster, b.vhost, b.dlq",
        )
        .fetch_all(&self.reader)
        .await?;
        Ok(rows.into_iter().map(DlqBacklog::from).collect())
    }

    /// Queues what is told of some backlogs; they are not told again.
    pub async fn tell_backlogs(
        &self,
        backlogs: &[DlqBacklog],
        notices: &[NewNotice],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        for backlog in backlogs {
            sqlx::query(
                "UPDATE dlq_backlogs SET is_told = 1 WHERE cluster = ? AND vhost = ? AND dlq = ?",
            )
            .bind(backlog.dlq.cluster.as_str())
            .bind(&backlog.dlq.vhost)
            .bind(&backlog.dlq.dlq)
            .execute(&mut *transaction)
            .await?;
        }
        put_notices(&mut transaction, notices, now).await?;
        transaction.commit().await?;
        Ok(())
    }
}

async fn count_in_backlog(
    transaction: &mut Transaction<'_, Sqlite>,
    dlq: &DlqKey,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO dlq_backlogs (cluster, vhost, dlq, groups) VALUES (?, ?, ?, 1) \
         ON CONFLICT DO UPDATE SET groups = groups + 1",
    )
    .bind(dlq.cluster.as_str())
    .bind(&dlq.vhost)
    .bind(&dlq.dlq)
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

#[derive(Debug, FromRow)]
struct EventRow {
    event_id: i64,
    kind: String,
    id: String,
    title: String,
    explanation: String,
    open: i64,
    total: i64,
    first_seen_ms: i64,
    last_seen_ms: i64,
    system: String,
    cluster: String,
    vhost: String,
    dlq: String,
    source: Option<String>,
    is_backlog: bool,
}

impl From<EventRow> for GroupEvent {
    fn from(row: EventRow) -> Self {
        Self {
            id: row.event_id,
            news: match row.kind.as_str() {
                "regressed" => GroupNews::Regressed,
                _ => GroupNews::New,
            },
            group: row.id.into(),
            title: row.title,
            explanation: row.explanation,
            open: u64::try_from(row.open).unwrap_or(0),
            total: u64::try_from(row.total).unwrap_or(0),
            first_seen: Timestamp(row.first_seen_ms),
            last_seen: Timestamp(row.last_seen_ms),
            dlq: DlqKey {
                system: row.system.parse().unwrap_or(System::Kafka),
                cluster: row.cluster.into(),
                vhost: row.vhost,
                dlq: row.dlq,
            },
            source: row.source,
            is_backlog: row.is_backlog,
        }
    }
}

#[derive(Debug, FromRow)]
struct BacklogRow {
    system: Option<String>,
    cluster: String,
    vhost: String,
    dlq: String,
    groups: i64,
    dead_letters: i64,
}

impl From<BacklogRow> for DlqBacklog {
    fn from(row: BacklogRow) -> Self {
        let system = row.system.and_then(|system| system.parse().ok());
        Self {
            dlq: DlqKey {
                system: system.unwrap_or(System::Kafka),
                cluster: row.cluster.into(),
                vhost: row.vhost,
                dlq: row.dlq,
            },
            dead_letters: u64::try_from(row.dead_letters).unwrap_or(0),
            groups: u64::try_from(row.groups).unwrap_or(0),
        }
    }
}
