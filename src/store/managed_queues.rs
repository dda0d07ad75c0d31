//! Queues that an administrator has given into custody.

use super::{NewAuditEntry, Store, StoreError, audit};
use crate::domain::{ClusterName, QueueName, VhostName};

impl Store {
    /// Every queue that is managed because somebody said so on its page.
    pub async fn managed_queues(
        &self,
    ) -> Result<Vec<(ClusterName, VhostName, QueueName)>, StoreError> {
        let rows: Vec<(String, String, String)> =
            sqlx::query_as("SELECT cluster, vhost, queue FROM managed_queues")
                .fetch_all(&self.reader)
                .await?;
        let place = |(cluster, vhost, queue): (String, String, String)| {
            (cluster.into(), vhost.into(), queue.into())
        };
        Ok(rows.into_iter().map(place).collect())
    }

    /// Remembers that a queue is managed, with an audit entry.
    pub async fn add_managed_queue(
        &self,
        cluster: &ClusterName,
        place: (&VhostName, &QueueName),
        entry: &NewAuditEntry,
    ) -> Result<(), StoreError> {
        let insert =
            "INSERT OR REPLACE INTO managed_queues (cluster, vhost, queue) VALUES (?, ?, ?)";
        self.change_managed_queue(insert, cluster, place, entry)
            .await
    }

    /// Forgets it, with an audit entry.
    pub async fn remove_managed_queue(
        &self,
        cluster: &ClusterName,
        place: (&VhostName, &QueueName),
        entry: &NewAuditEntry,
    ) -> Result<(), StoreError> {
        let delete = "DELETE FROM managed_queues WHERE cluster = ? AND vhost = ? AND queue = ?";
        self.change_managed_queue(delete, cluster, place, entry)
            .await
    }

    async fn change_managed_queue(
        &self,
        sql: &'static str,
        cluster: &ClusterName,
        (vhost, queue): (&VhostName, &QueueName),
        entry: &NewAuditEntry,
    ) -> Result<(), StoreError> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        sqlx::query(sql)
            .bind(cluster.as_str())
            .bind(vhost.as_str())
            .bind(queue.as_str())
            .execute(&mut *transaction)
            .await?;
        audit::append(&mut transaction, entry).await?;
        Ok(transaction.commit().await?)
    }
}
