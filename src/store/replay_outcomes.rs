//! What waits for its outcome, in pages: however many replays wait, few of them are in memory.

use sqlx::{FromRow, QueryBuilder, Sqlite};

use super::replays::{COLUMNS, ReplayRow, push_number_of};
use super::{Store, StoreError};
use crate::domain::{
    ClusterName, DeadLetterId, Offset, Partition, Replay, ReplayNumber, ReplayStateName, System,
    Timestamp, TopicName,
};

/// The states of which the index `replay_states_landed` is made; a query must say the same to use it.
const LANDED: &str = "state IN ('sent', 'passed', 'not_seen_again') AND topic_number IS NOT NULL";

/// A replay whose outcome is not settled, with what its dead letter tells.
#[derive(Clone, Debug)]
pub struct TrackedReplay {
    pub replay: Replay,
    pub system: System,
    /// The cluster of the DLQ.
    pub cluster: ClusterName,
    pub dlq: String,
    /// Topic or queue of origin.
    pub source: Option<String>,
    /// The consumer that failed.
    pub consumer: Option<String>,
}

impl TrackedReplay {
    /// After which the next page begins.
    pub const fn position(&self) -> TrackedPosition {
        TrackedPosition {
            updated_at: self.replay.updated_at,
            number: self.replay.number,
        }
    }
}

/// A place in the order of the last changes.
#[derive(Clone, Copy, Debug)]
pub struct TrackedPosition {
    updated_at: Timestamp,
    number: ReplayNumber,
}

impl TrackedPosition {
    /// Before everything that changed at that time or later.
    pub const fn at(time: Timestamp) -> Self {
        Self {
            updated_at: time,
            number: ReplayNumber(-1),
        }
    }
}

/// A partition of the log that replays go to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LogPlace {
    pub cluster: ClusterName,
    pub topic: TopicName,
    pub partition: Partition,
}

impl Store {
    /// Replays in one state beyond *sending* that changed last after `after` and not later than
    /// `through`, those that changed first before the others.
    pub async fn tracked_replays(
        &self,
        state: ReplayStateName,
        after: TrackedPosition,
        through: Timestamp,
        limit: u32,
    ) -> Result<Vec<TrackedReplay>, StoreError> {
        let rows: Vec<TrackedRow> = sqlx::query_as(
            "SELECT r.id, r.number, r.job, r.dead_letter, r.revision, r.destination, r.attempt, \
             r.detail, r.updated_at_ms, d.system, d.cluster, d.dlq, d.source, d.consumer \
             FROM replays r JOIN dead_letters d ON d.id = r.dead_letter \
             WHERE r.state = ? AND r.stage <> 'to_send' \
             AND (r.updated_at_ms, r.number) > (?, ?) AND r.updated_at_ms <= ? \
             ORDER BY r.updated_at_ms, r.number LIMIT ?",
        )
        .bind(state.as_str())
        .bind(after.updated_at.as_millis())
        .bind(after.number.0)
        .bind(through.as_millis())
        .bind(i64::from(limit))
        .fetch_all(&self.reader)
        .await?;
        rows.into_iter().map(TrackedRow::into_tracked).collect()
    }

    /// The partitions in which replays landed that a group may still pass, or to which some are being
    /// sent.
    pub async fn places_of_replays(&self) -> Result<Vec<LogPlace>, StoreError> {
        let mut places: Vec<PlaceRow> = sqlx::query_as(
            "SELECT DISTINCT cluster_number, topic_number, partition, cluster, topic FROM replays \
             WHERE state = 'sending' AND topic_number IS NOT NULL AND partition IS NOT NULL",
        )
        .fetch_all(&self.reader)
        .await?;
        // One seek a place instead of a walk through everything that landed.
        let next = format!(
            "SELECT cluster_number, topic_number, partition, cluster, topic FROM replays \
             WHERE {LANDED} AND partition IS NOT NULL \
             AND (cluster_number, topic_number, partition) > (?, ?, ?) \
             ORDER BY cluster_number, topic_number, partition LIMIT 1"
        );
        let mut last = (0, 0, i32::MIN);
        while let Some(place) = sqlx::query_as::<_, PlaceRow>(sqlx::AssertSqlSafe(next.clone()))
            .bind(last.0)
            .bind(last.1)
            .bind(last.2)
            .fetch_optional(&self.reader)
            .await?
        {
            last = (place.cluster_number, place.topic_number, place.partition);
            places.push(place);
        }
        Ok(places.into_iter().map(LogPlace::from).collect())
    }

    /// Replays that landed between two offsets, the second exclusive, that no DLQ has seen again and
    /// that changed last after a time: in the order of their offsets.
    pub async fn replays_landed(
        &self,
        place: &LogPlace,
        (from, to): (Offset, Offset),
        changed_since: Timestamp,
        limit: u32,
    ) -> Result<Vec<Replay>, StoreError> {
        let mut query = QueryBuilder::<Sqlite>::new(format!(
            "SELECT {COLUMNS} FROM replays WHERE {LANDED} AND cluster_number = "
        ));
        push_number_of(&mut query, place.cluster.as_str());
        query.push(" AND topic_number = ");
        push_number_of(&mut query, place.topic.as_str());
        query.push(" AND partition = ").push_bind(place.partition.0);
        query.push(" AND log_offset >= ").push_bind(from.0);
        query.push(" AND log_offset < ").push_bind(to.0);
        query
            .push(" AND updated_at_ms >= ")
            .push_bind(changed_since.as_millis());
        query
            .push(" ORDER BY log_offset LIMIT ")
            .push_bind(i64::from(limit));
        let rows: Vec<ReplayRow> = query.build_query_as().fetch_all(&self.reader).await?;
        rows.into_iter().map(ReplayRow::into_replay).collect()
    }

    /// The DLQs in which dead letters lay, for the metrics.
    pub async fn dlqs_of(
        &self,
        letters: &[DeadLetterId],
    ) -> Result<Vec<(DeadLetterId, System, ClusterName, String)>, StoreError> {
        let list = serde_json::to_string(letters);
        let rows: Vec<(i64, String, String, String)> = sqlx::query_as(
            "SELECT id, system, cluster, dlq FROM dead_letters \
             WHERE id IN (SELECT value FROM json_each(?))",
        )
        .bind(list.map_err(StoreError::corrupt("a list of dead letters"))?)
        .fetch_all(&self.reader)
        .await?;
        let dlq = |(id, system, cluster, dlq): (i64, String, String, String)| {
            let system = system.parse().unwrap_or(System::Kafka);
            (DeadLetterId(id), system, cluster.into(), dlq)
        };
        Ok(rows.into_iter().map(dlq).collect())
    }
}

#[derive(Debug, FromRow)]
struct PlaceRow {
    cluster_number: i64,
    topic_number: i64,
    partition: i32,
    cluster: String,
    topic: String,
}

impl From<PlaceRow> for LogPlace {
    fn from(row: PlaceRow) -> Self {
        Self {
            cluster: row.cluster.into(),
            topic: row.topic.into(),
            partition: Partition(row.partition),
        }
    }
}

#[derive(Debug, FromRow)]
struct TrackedRow {
    #[sqlx(flatten)]
    replay: ReplayRow,
    system: String,
    cluster: String,
    dlq: String,
    source: Option<String>,
    consumer: Option<String>,
}

impl TrackedRow {
    fn into_tracked(self) -> Result<TrackedReplay, StoreError> {
        Ok(TrackedReplay {
            replay: self.replay.into_replay()?,
            system: self.system.parse().unwrap_or(System::Kafka),
            cluster: self.cluster.into(),
            dlq: self.dlq,
            source: self.source,
            consumer: self.consumer,
        })
    }
}

#[cfg(test)]
mod tests;
