//! How dead letters arrive: rows, the cursor that says what was read, and totals in one transaction.

use sqlx::{Sqlite, Transaction};
use uuid::Uuid;

use super::custody::{mark_duplicate, second_copy_of};
use super::insert::{insert_all, set_status};
use super::prepared::PreparedBatch;
use super::{Store, StoreError};
use crate::domain::{
    ClusterName, DeadLetterId, DeadLetterStatus, FailureGroupId, NewDeadLetter, Offset, Partition,
    Position, QueueName, ReplayId, Timestamp, TopicName, VhostName,
};

/// The next offset to read of a partition of a DLQ topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaCursor {
    pub topic: TopicName,
    /// Tells a recreated topic, whose offsets start anew.
    pub topic_id: Option<Uuid>,
    pub partition: Partition,
    pub next_offset: Offset,
}

/// Records of a DLQ topic that were gone before they could be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    pub topic: TopicName,
    pub partition: Partition,
    pub from: Offset,
    pub to: Offset,
    pub kind: GapKind,
}

/// Why records of a DLQ topic could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GapKind {
    /// Retention or compaction removed them first.
    Retention,
    /// The topic was deleted and created anew; what it held after the last read is gone.
    Recreated,
    /// The log ends before the cursor: it was truncated or restored. Indexed rows from there on tell
    /// of records that no longer exist.
    Truncated,
}

impl GapKind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Retention => "retention",
            Self::Recreated => "recreated",
            Self::Truncated => "truncated",
        }
    }

    fn parse(text: &str) -> Self {
        match text {
            "recreated" => Self::Recreated,
            "truncated" => Self::Truncated,
            _ => Self::Retention,
        }
    }
}

/// What became of one dead letter of a batch.
#[derive(Clone, Debug)]
pub struct Indexed {
    pub id: DeadLetterId,
    /// Its index in the batch.
    pub batch_index: usize,
    pub group: FailureGroupId,
    /// The group is new, or all of it was resolved before.
    pub group_is_new_or_regressed: bool,
    /// The replay of ours that died again, if its message came back here.
    pub died_from_replay: Option<ReplayId>,
}

impl Store {
    pub async fn kafka_cursors(
        &self,
        cluster: &ClusterName,
    ) -> Result<Vec<KafkaCursor>, StoreError> {
        let rows: Vec<(String, String, i32, i64)> = sqlx::query_as(
            "SELECT topic, topic_id, partition, next_offset FROM cursors WHERE cluster = ?",
        )
        .bind(cluster.as_str())
        .fetch_all(&self.reader)
        .await?;
        let cursor =
            |(topic, topic_id, partition, next_offset): (String, String, i32, i64)| KafkaCursor {
                topic: topic.into(),
                topic_id: Uuid::parse_str(&topic_id).ok(),
                partition: Partition(partition),
                next_offset: Offset(next_offset),
            };
        Ok(rows.into_iter().map(cursor).collect())
    }

    /// Indexes a batch of a DLQ topic together with its cursors: exactly once, because a record is
    /// read again only if neither was committed.
    pub async fn index_kafka_batch(
        &self,
        cluster: &ClusterName,
        batch: &[NewDeadLetter],
        cursors: &[KafkaCursor],
        gaps: &[Gap],
        now: Timestamp,
    ) -> Result<Vec<Indexed>, StoreError> {
        let batch = self.prepare(batch.to_vec())?;
        self.index_prepared(cluster, &batch, cursors, gaps, now)
            .await
    }

    /// The same with a batch that was prepared before.
    pub async fn index_prepared(
        &self,
        cluster: &ClusterName,
        batch: &PreparedBatch,
        cursors: &[KafkaCursor],
        gaps: &[Gap],
        now: Timestamp,
    ) -> Result<Vec<Indexed>, StoreError> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let indexed = insert_all(&mut transaction, batch, now).await?;
        for cursor in cursors {
            put_cursor(&mut transaction, cluster, cursor).await?;
        }
        for gap in gaps {
            put_gap(&mut transaction, cluster, gap, now).await?;
        }
        transaction.commit().await?;
        self.announce_to_search(batch);
        Ok(indexed)
    }

    /// Replaces the window of an observed queue: what is in it is open, what was and is no more is
    /// *gone*. Messages that are already indexed keep their rows, matched by fingerprint as a multiset.
    pub async fn replace_window(
        &self,
        cluster: &ClusterName,
        (vhost, queue): (&VhostName, &QueueName),
        window: &[NewDeadLetter],
        now: Timestamp,
    ) -> Result<Vec<Indexed>, StoreError> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let mut known = observed_rows(&mut transaction, cluster, vhost, queue).await?;
        let (mut fresh, mut window_indexes) = (Vec::new(), Vec::new());
        for (index, letter) in window.iter().enumerate() {
            let Position::RabbitMq { fingerprint, .. } = &letter.position else {
                continue;
            };
            if let Some(known_at) = known.iter().position(|row| row.fingerprint == *fingerprint) {
                let row = known.swap_remove(known_at);
                if row.status == DeadLetterStatus::Gone.as_str() {
                    set_status(&mut transaction, row.id, DeadLetterStatus::Open).await?;
                }
            } else {
                fresh.push(letter.clone());
                window_indexes.push(index);
            }
        }
        for row in known
            .iter()
            .filter(|row| row.status == DeadLetterStatus::Open.as_str())
        {
            set_status(&mut transaction, row.id, DeadLetterStatus::Gone).await?;
        }
        let fresh = self.prepare(fresh)?;
        let mut indexed = insert_all(&mut transaction, &fresh, now).await?;
        for entry in &mut indexed {
            let twin =
                second_copy_of(&mut transaction, &fresh.entries[entry.batch_index].letter).await?;
            if let Some(twin) = twin {
                mark_duplicate(&mut transaction, entry.id, twin).await?;
            }
            entry.batch_index = window_indexes[entry.batch_index];
        }
        transaction.commit().await?;
        self.announce_to_search(&fresh);
        Ok(indexed)
    }

    /// Gaps in what could be read, newest first.
    pub async fn gaps(&self, limit: u32) -> Result<Vec<(ClusterName, Gap, Timestamp)>, StoreError> {
        let rows: Vec<(String, String, i32, i64, i64, String, i64)> = sqlx::query_as(
            "SELECT cluster, topic, partition, from_offset, to_offset, reason, found_at_ms \
             FROM gaps ORDER BY id DESC LIMIT ?",
        )
        .bind(i64::from(limit))
        .fetch_all(&self.reader)
        .await?;
        let gap = |(cluster, topic, partition, from, to, reason, at): (
            String,
            String,
            i32,
            i64,
            i64,
            String,
            i64,
        )| {
            let gap = Gap {
                topic: topic.into(),
                partition: Partition(partition),
                from: Offset(from),
                to: Offset(to),
                kind: GapKind::parse(&reason),
            };
            (cluster.into(), gap, Timestamp(at))
        };
        Ok(rows.into_iter().map(gap).collect())
    }
}

#[derive(Debug, sqlx::FromRow)]
struct ObservedRow {
    id: i64,
    fingerprint: String,
    status: String,
}

async fn observed_rows(
    transaction: &mut Transaction<'_, Sqlite>,
    cluster: &ClusterName,
    vhost: &VhostName,
    queue: &QueueName,
) -> Result<Vec<ObservedRow>, StoreError> {
    let rows = sqlx::query_as(
        "SELECT id, fingerprint, status FROM dead_letters \
         WHERE cluster = ? AND vhost = ? AND dlq = ? AND custody = 'broker' ORDER BY id",
    )
    .bind(cluster.as_str())
    .bind(vhost.as_str())
    .bind(queue.as_str());
    Ok(rows.fetch_all(&mut **transaction).await?)
}

async fn put_cursor(
    transaction: &mut Transaction<'_, Sqlite>,
    cluster: &ClusterName,
    cursor: &KafkaCursor,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO cursors (cluster, topic, partition, topic_id, next_offset) \
         VALUES (?, ?, ?, ?, ?) ON CONFLICT (cluster, topic, partition) \
         DO UPDATE SET topic_id = excluded.topic_id, next_offset = excluded.next_offset",
    )
    .bind(cluster.as_str())
    .bind(cursor.topic.as_str())
    .bind(cursor.partition.0)
    .bind(cursor.topic_id.map(|id| id.to_string()).unwrap_or_default())
    .bind(cursor.next_offset.0)
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

async fn put_gap(
    transaction: &mut Transaction<'_, Sqlite>,
    cluster: &ClusterName,
    gap: &Gap,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO gaps (cluster, topic, partition, from_offset, to_offset, reason, found_at_ms) \
         VALUES (?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(cluster.as_str())
    .bind(gap.topic.as_str())
    .bind(gap.partition.0)
    .bind(gap.from.0)
    .bind(gap.to.0)
    .bind(gap.kind.as_str())
    .bind(now.as_millis())
    .execute(&mut **transaction)
    .await?;
    if gap.kind == GapKind::Truncated {
        set_truncated_rows_apart(transaction, cluster, gap, now).await?;
    }
    Ok(())
}

/// New records will get the offsets of the ones that were lost; the rows of those keep what is known
/// of them under an identity of their own.
async fn set_truncated_rows_apart(
    transaction: &mut Transaction<'_, Sqlite>,
    cluster: &ClusterName,
    gap: &Gap,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE dead_letters SET topic_id = topic_id || ' until ' || ? \
         WHERE system = 'kafka' AND cluster = ? AND dlq = ? AND partition = ? AND log_offset >= ?",
    )
    .bind(now.to_rfc3339())
    .bind(cluster.as_str())
    .bind(gap.topic.as_str())
    .bind(gap.partition.0)
    .bind(gap.from.0)
    .execute(&mut **transaction)
    .await?;
    Ok(())
}
