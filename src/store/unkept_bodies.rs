//! Dead letters of Kafka whose body lies in the topic only, because it is too large for the store.

use sqlx::{Sqlite, Transaction};

use super::insert::Row;
use super::{Store, StoreError};
use crate::domain::{ClusterName, Custody, Offset, Partition, System, Timestamp, TopicName};

/// More are counted as so many: who has these needs no exact number.
const MOST: i64 = 100_000;

/// A dead letter that waits, and whose body Redrive does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnkeptBody {
    pub topic: TopicName,
    pub partition: Partition,
    pub offset: Offset,
    /// The timestamp of the record, after which retention counts.
    pub dead_at: Timestamp,
}

pub(super) async fn add(
    transaction: &mut Transaction<'_, Sqlite>,
    rows: &[Row<'_>],
) -> Result<(), StoreError> {
    for row in rows {
        let letter = &row.entry.letter;
        // A record that only points to another is no body that retention could take.
        let lies_in_the_topic = letter.body_omitted.is_some()
            && !letter.decoded.payload_absent
            && letter.custody == Custody::Broker
            && letter.position.system() == System::Kafka;
        if lies_in_the_topic {
            sqlx::query("INSERT INTO unkept_bodies (dead_letter) VALUES (?)")
                .bind(row.id.0)
                .execute(&mut **transaction)
                .await?;
        }
    }
    Ok(())
}

impl Store {
    /// The dead letters of a cluster that are open or being replayed and whose body lies in the topic only.
    pub async fn unkept_bodies(
        &self,
        cluster: &ClusterName,
    ) -> Result<Vec<UnkeptBody>, StoreError> {
        let rows: Vec<(String, i32, i64, i64)> = sqlx::query_as(
            "SELECT d.dlq, d.partition, d.log_offset, d.dead_at_ms \
             FROM unkept_bodies u JOIN dead_letters d ON d.id = u.dead_letter \
             WHERE d.cluster = ? AND d.status IN ('open', 'replaying') LIMIT ?",
        )
        .bind(cluster.as_str())
        .bind(MOST)
        .fetch_all(&self.reader)
        .await?;
        let unkept = |(topic, partition, offset, dead_at): (String, i32, i64, i64)| UnkeptBody {
            topic: topic.into(),
            partition: Partition(partition),
            offset: Offset(offset),
            dead_at: Timestamp(dead_at),
        };
        Ok(rows.into_iter().map(unkept).collect())
    }
}
