//! Dead letters of Kafka whose body lies in a topic only, until it is fetched: it is too large for the store, or the
//! record only points to its original, which could not be read for now (KIP-1191).

use sqlx::{FromRow, Sqlite, Transaction};
use uuid::Uuid;

use super::insert::{Row, link_replay};
use super::{NewAuditEntry, Store, StoreError, audit, filter_sql, message_rows, search_follower};
use crate::domain::{
    ClusterName, DeadLetterId, Filter, NewDeadLetter, Offset, Partition, Timestamp, TopicName,
};

/// The others have their turn when these have their bodies.
const MOST: i64 = 100_000;

const COLUMNS: &str = "d.id, d.cluster, d.dlq, d.topic_id, d.partition, d.log_offset, d.dead_at_ms, \
     u.is_pointer \
     FROM unkept_bodies u JOIN dead_letters d ON d.id = u.dead_letter";

/// A body that Redrive does not have, and where it lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnkeptBody {
    pub dead_letter: DeadLetterId,
    pub cluster: ClusterName,
    pub topic: TopicName,
    /// A topic that is made anew has another.
    pub topic_id: Option<Uuid>,
    pub partition: Partition,
    pub offset: Offset,
    /// The timestamp of the record, after which retention counts.
    pub dead_at: Timestamp,
    /// What lies there only points to the record with the body.
    pub is_pointer: bool,
}

pub(super) async fn add(
    transaction: &mut Transaction<'_, Sqlite>,
    rows: &[Row<'_>],
) -> Result<(), StoreError> {
    for row in rows {
        if row.entry.letter.has_body_in_topic() {
            sqlx::query("INSERT INTO unkept_bodies (dead_letter, is_pointer) VALUES (?, ?)")
                .bind(row.id.0)
                .bind(row.entry.letter.decoded.payload_absent)
                .execute(&mut **transaction)
                .await?;
        }
    }
    Ok(())
}

impl Store {
    /// Those of the dead letters of a cluster that are open or being replayed, the oldest first, without pointers.
    pub async fn unkept_bodies(
        &self,
        cluster: &ClusterName,
    ) -> Result<Vec<UnkeptBody>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} WHERE d.cluster = ? AND d.status IN ('open', 'replaying') \
             AND NOT u.is_pointer ORDER BY d.dead_at_ms LIMIT ?"
        );
        let rows: Vec<UnkeptRow> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(cluster.as_str())
            .bind(MOST)
            .fetch_all(&self.reader)
            .await?;
        Ok(rows.into_iter().map(UnkeptBody::from).collect())
    }

    /// The oldest pointers of a cluster whose dead letters are open or being replayed, without those that wait.
    pub async fn unkept_pointers(
        &self,
        cluster: &ClusterName,
        waiting: &[DeadLetterId],
        limit: u32,
    ) -> Result<Vec<UnkeptBody>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} WHERE d.cluster = ? AND d.status IN ('open', 'replaying') \
             AND u.is_pointer AND d.id NOT IN (SELECT value FROM json_each(?)) \
             ORDER BY d.dead_at_ms LIMIT ?"
        );
        let waiting = serde_json::to_string(waiting);
        let rows: Vec<UnkeptRow> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(cluster.as_str())
            .bind(waiting.map_err(StoreError::corrupt("a list of dead letters"))?)
            .bind(limit)
            .fetch_all(&self.reader)
            .await?;
        Ok(rows.into_iter().map(UnkeptBody::from).collect())
    }

    /// The first dead letters that match a filter and whose bodies lie in topics.
    pub async fn matching_unkept_bodies(
        &self,
        filter: &Filter,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<DeadLetterId>, StoreError> {
        let id = filter_sql::id_column(filter);
        let mut query = filter_sql::select(id, filter, now);
        query.push(format!(
            " AND {id} IN (SELECT dead_letter FROM unkept_bodies)"
        ));
        self.first_ids(query, id, limit).await
    }

    /// That of one dead letter, whatever its status; `None` if its body does not lie in a topic only.
    pub async fn unkept_body(&self, id: DeadLetterId) -> Result<Option<UnkeptBody>, StoreError> {
        let sql = format!("SELECT {COLUMNS} WHERE d.id = ?");
        let row: Option<UnkeptRow> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(id.0)
            .fetch_optional(&self.reader)
            .await?;
        Ok(row.map(UnkeptBody::from))
    }

    /// Stores a body that was fetched: from here on the dead letter is as if it had come with it. `false` if it has
    /// its body already, or has left the store.
    pub async fn keep_body(
        &self,
        id: DeadLetterId,
        body: &[u8],
        entry: Option<&NewAuditEntry>,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let was_unkept = sqlx::query("DELETE FROM unkept_bodies WHERE dead_letter = ?")
            .bind(id.0)
            .execute(&mut *transaction)
            .await?;
        if was_unkept.rows_affected() == 0 {
            return Ok(false);
        }
        sqlx::query("UPDATE bodies SET body = ?, body_omitted = NULL WHERE dead_letter = ?")
            .bind(body)
            .bind(id.0)
            .execute(&mut *transaction)
            .await?;
        sqlx::query("UPDATE dead_letters SET size = size + ? WHERE id = ?")
            .bind(i64::try_from(body.len()).unwrap_or(i64::MAX))
            .bind(id.0)
            .execute(&mut *transaction)
            .await?;
        search_follower::index_anew(&mut transaction, id, self.unwrap).await?;
        if let Some(entry) = entry {
            audit::append(&mut transaction, entry).await?;
        }
        transaction.commit().await?;
        Ok(true)
    }

    /// Ends the search for what a pointer points to: `letter` is the dead letter with its original, or with the
    /// reason for which it never comes. Its failure group stays. `false` if the search was over already.
    pub async fn settle_pointer(
        &self,
        id: DeadLetterId,
        letter: &NewDeadLetter,
        entry: Option<&NewAuditEntry>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let parts = message_rows::encode(&letter.message)?;
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let waited = sqlx::query("DELETE FROM unkept_bodies WHERE dead_letter = ? AND is_pointer")
            .bind(id.0)
            .execute(&mut *transaction)
            .await?;
        if waited.rows_affected() == 0 {
            return Ok(false);
        }
        sqlx::query(
            "UPDATE bodies SET message_key = ?, body = ?, headers = ?, body_omitted = ? WHERE dead_letter = ?",
        )
        .bind(letter.message.key.as_deref())
        .bind(letter.message.body.as_deref())
        .bind(parts.headers)
        .bind(letter.body_omitted.as_deref())
        .bind(id.0)
        .execute(&mut *transaction)
        .await?;
        let event = &letter.event;
        sqlx::query(
            "UPDATE dead_letters SET size = ?, event_id = ?, event_type = ?, correlation_id = ?, \
             causation_id = ?, aggregate_id = ?, died_from_replay = ? WHERE id = ?",
        )
        .bind(i64::try_from(letter.message.size()).unwrap_or(i64::MAX))
        .bind(event.event_id.as_deref())
        .bind(event.event_type.as_deref())
        .bind(event.correlation_id.as_deref())
        .bind(event.causation_id.as_deref())
        .bind(event.aggregate_id.as_deref())
        .bind(letter.replay_id.map(|id| id.to_string()))
        .bind(id.0)
        .execute(&mut *transaction)
        .await?;
        link_replay(&mut transaction, id, letter, now).await?;
        search_follower::index_anew(&mut transaction, id, self.unwrap).await?;
        if let Some(entry) = entry {
            audit::append(&mut transaction, entry).await?;
        }
        transaction.commit().await?;
        Ok(true)
    }
}

#[derive(Debug, FromRow)]
struct UnkeptRow {
    id: i64,
    cluster: String,
    dlq: String,
    topic_id: String,
    partition: i32,
    log_offset: i64,
    dead_at_ms: i64,
    is_pointer: bool,
}

impl From<UnkeptRow> for UnkeptBody {
    fn from(row: UnkeptRow) -> Self {
        Self {
            dead_letter: DeadLetterId(row.id),
            cluster: row.cluster.into(),
            topic: row.dlq.into(),
            topic_id: row.topic_id.parse().ok(),
            partition: Partition(row.partition),
            offset: Offset(row.log_offset),
            dead_at: Timestamp(row.dead_at_ms),
            is_pointer: row.is_pointer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Custody;
    use crate::store::PageRequest;
    use crate::store::tests::{NOW, fixture, kafka_letter, queue_letter};

    #[tokio::test]
    async fn a_fetched_body_is_kept_once_and_makes_the_dead_letter_whole() {
        let fixture = fixture().await;
        let store = &fixture.store;
        let mut large = kafka_letter(7);
        large.message.body = None;
        large.body_omitted = Some("it is too large".to_owned());
        let mut pointer = kafka_letter(8);
        pointer.body_omitted = Some("it points elsewhere".to_owned());
        pointer.decoded.payload_absent = true;
        let mut taken = queue_letter("fingerprint", Custody::Broker);
        taken.body_omitted = Some("it is too large".to_owned());
        let (cluster, batch) = ("c".into(), [large, pointer, taken]);
        let indexed = store.index_kafka_batch(&cluster, &batch, &[], &[], NOW);
        let id = indexed.await.unwrap()[0].id;

        let bodies = store.unkept_bodies(&cluster).await.unwrap();
        assert_eq!(bodies.len(), 1, "{bodies:?}");
        assert_eq!(
            store.unkept_body(id).await.unwrap().as_ref(),
            bodies.first()
        );
        let every = Filter::parse("").unwrap();
        let matching = store.matching_unkept_bodies(&every, NOW, 10).await;
        assert_eq!(matching.unwrap(), [id]);
        assert_eq!((bodies[0].dead_letter, bodies[0].offset), (id, Offset(7)));
        let size = store.dead_letter_summary(id).await.unwrap().size;

        let body = br#"{"customer":"needle-42"}"#;
        assert!(store.keep_body(id, body, None).await.unwrap());
        assert!(!store.keep_body(id, b"another", None).await.unwrap());
        let whole = store.dead_letter(id).await.unwrap();
        assert_eq!(whole.message.body.as_deref(), Some(body.as_slice()));
        assert_eq!(whole.body_omitted, None);
        assert_eq!(whole.summary.size, size + body.len() as u64);
        assert_eq!(store.unkept_body(id).await.unwrap(), None);
        for text in ["needle-42", "payload.customer:needle-42"] {
            assert_eq!(found(store, text).await, [id], "{text}");
        }
    }

    #[tokio::test]
    async fn a_body_that_is_fetched_before_its_dead_letter_is_indexed_is_found_too() {
        let fixture = fixture().await;
        let store = &fixture.store;
        let mut letters: Vec<_> = (0..150).map(kafka_letter).collect();
        letters[70].message.body = None;
        letters[70].body_omitted = Some("it is too large".to_owned());
        let cluster = "c".into();
        let indexed = store.index_kafka_batch(&cluster, &letters, &[], &[], NOW);
        let id = indexed.await.unwrap()[70].id;
        assert!(store.search_backlog().await.unwrap() > 0);

        assert!(store.keep_body(id, b"needle-42", None).await.unwrap());
        assert_eq!(found(store, "needle-42").await, [id]);
        store.catch_up_search_index().await.unwrap();
        assert_eq!(store.search_backlog().await.unwrap(), 0);
        assert_eq!(found(store, "needle-42").await, [id]);
        assert_eq!(found(store, "orders.dlq").await.len(), 150);
    }

    async fn found(store: &Store, text: &str) -> Vec<DeadLetterId> {
        let filter = Filter::parse(text).unwrap();
        let page = PageRequest::first(200);
        let found = store.dead_letters(&filter, NOW, &page).await.unwrap().items;
        found.iter().map(|letter| letter.id).collect()
    }
}
