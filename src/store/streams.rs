//! Dead letters in RabbitMQ streams: rows and the offset after them in one transaction.

use super::insert::insert_all;
use super::{Indexed, Store, StoreError};
use crate::domain::{ClusterName, NewDeadLetter, QueueName, Timestamp, VhostName};

impl Store {
    /// The offset with which the next read of a stream begins; `None` if it was never read.
    pub async fn stream_cursor(
        &self,
        cluster: &ClusterName,
        (vhost, queue): (&VhostName, &QueueName),
    ) -> Result<Option<u64>, StoreError> {
        let offset: Option<i64> = sqlx::query_scalar(
            "SELECT next_offset FROM stream_cursors WHERE cluster = ? AND vhost = ? AND queue = ?",
        )
        .bind(cluster.as_str())
        .bind(vhost.as_str())
        .bind(queue.as_str())
        .fetch_optional(&self.reader)
        .await?;
        Ok(offset.and_then(|offset| u64::try_from(offset).ok()))
    }

    /// Indexes messages of a stream and where the next read begins: exactly once, because what is read
    /// again was not committed.
    pub async fn index_stream(
        &self,
        cluster: &ClusterName,
        (vhost, queue): (&VhostName, &QueueName),
        batch: &[NewDeadLetter],
        next_offset: u64,
        now: Timestamp,
    ) -> Result<Vec<Indexed>, StoreError> {
        let batch = self.prepare(batch.to_vec())?;
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let indexed = insert_all(&mut transaction, &batch, now).await?;
        sqlx::query(
            "INSERT OR REPLACE INTO stream_cursors (cluster, vhost, queue, next_offset) \
             VALUES (?, ?, ?, ?)",
        )
        .bind(cluster.as_str())
        .bind(vhost.as_str())
        .bind(queue.as_str())
        .bind(i64::try_from(next_offset).unwrap_or(i64::MAX))
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        self.announce_to_search(&batch);
        Ok(indexed)
    }
}
