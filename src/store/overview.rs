use sqlx::FromRow;

use super::{Store, StoreError};
use crate::domain::{ClusterName, System, Timestamp};

/// What waits in one DLQ.
#[derive(Clone, Debug)]
pub struct DlqDepth {
    pub system: System,
    pub cluster: ClusterName,
    /// Empty on Kafka.
    pub vhost: String,
    pub dlq: String,
    /// Dead letters that are open or being replayed.
    pub open: u64,
    pub oldest: Option<Timestamp>,
}

/// How many dead letters a DLQ ever had of one source and reason.
#[derive(Clone, Debug)]
pub struct DeadLetterTotal {
    pub system: System,
    pub cluster: ClusterName,
    pub dlq: String,
    pub source: String,
    pub reason: String,
    pub total: u64,
}

impl Store {
    /// Every DLQ that ever had a dead letter.
    pub async fn dlq_depths(&self) -> Result<Vec<DlqDepth>, StoreError> {
        let rows: Vec<DepthRow> = sqlx::query_as(
            "SELECT q.system, q.cluster, q.vhost, q.dlq, q.waiting AS open, \
             (SELECT MIN(dead_at_ms) FROM dead_letters d WHERE d.cluster = q.cluster \
             AND d.vhost = q.vhost AND d.dlq = q.dlq AND d.status IN ('open', 'replaying')) \
             AS oldest_ms FROM dlq_depths q ORDER BY q.cluster, q.vhost, q.dlq",
        )
        .fetch_all(&self.reader)
        .await?;
        Ok(rows.into_iter().map(DlqDepth::from).collect())
    }

    pub async fn dead_letter_totals(&self) -> Result<Vec<DeadLetterTotal>, StoreError> {
        let rows: Vec<TotalRow> = sqlx::query_as(
            "SELECT system, cluster, dlq, source, reason, total FROM dead_letter_totals",
        )
        .fetch_all(&self.reader)
        .await?;
        Ok(rows.into_iter().map(DeadLetterTotal::from).collect())
    }
}

#[derive(Debug, FromRow)]
struct DepthRow {
    system: String,
    cluster: String,
    vhost: String,
    dlq: String,
    open: i64,
    oldest_ms: Option<i64>,
}

impl From<DepthRow> for DlqDepth {
    fn from(row: DepthRow) -> Self {
        Self {
            system: row.system.parse().unwrap_or(System::Kafka),
            cluster: row.cluster.into(),
            vhost: row.vhost,
            dlq: row.dlq,
            open: u64::try_from(row.open).unwrap_or(0),
            oldest: row.oldest_ms.map(Timestamp),
        }
    }
}

#[derive(Debug, FromRow)]
struct TotalRow {
    system: String,
    cluster: String,
    dlq: String,
    source: String,
    reason: String,
    total: i64,
}

impl From<TotalRow> for DeadLetterTotal {
    fn from(row: TotalRow) -> Self {
        Self {
            system: row.system.parse().unwrap_or(System::Kafka),
            cluster: row.cluster.into(),
            dlq: row.dlq,
            source: row.source,
            reason: row.reason,
            total: u64::try_from(row.total).unwrap_or(0),
        }
    }
}
