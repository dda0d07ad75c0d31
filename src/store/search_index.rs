//! Keeps the full-text index: new dead letters in the transaction that stores them, older ones once.

use sqlx::{FromRow, Sqlite, Transaction};

use super::message_rows::MessageRow;
use super::search_terms::Searchable;
use super::{Store, StoreError};
use crate::domain::{ConsumerGroup, DeadLetterId, NewDeadLetter};

/// Older dead letters of one transaction: a writer that waits for it waits well under 100 ms.
const OLDER_AT_ONCE: u32 = 100;

/// Makes a new dead letter searchable.
pub(super) async fn add(
    transaction: &mut Transaction<'_, Sqlite>,
    id: DeadLetterId,
    letter: &NewDeadLetter,
) -> Result<(), StoreError> {
    let (decoded, event) = (&letter.decoded, &letter.event);
    let searchable = Searchable {
        message: &letter.message,
        failure: [
            decoded.failure.class.as_deref(),
            decoded.failure.message.as_deref(),
        ],
        names: [
            decoded.origin.destination.as_deref(),
            Some(letter.position.dlq()),
            decoded.origin.consumer.as_ref().map(ConsumerGroup::as_str),
            event.event_type.as_deref(),
            event.event_id.as_deref(),
            event.correlation_id.as_deref(),
            event.causation_id.as_deref(),
            event.aggregate_id.as_deref(),
        ],
    };
    put(transaction, id.0, searchable.document()).await
}

async fn put(
    transaction: &mut Transaction<'_, Sqlite>,
    id: i64,
    document: String,
) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO search_index (rowid, terms) VALUES (?, ?)")
        .bind(id)
        .bind(document)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

impl Store {
    /// Indexes what was stored before there was an index, newest first, in short transactions.
    pub(super) async fn index_older(&self) -> Result<(), StoreError> {
        while self.index_older_chunk().await? {}
        Ok(())
    }

    /// What the index holds of the dead letters after one, oldest first: each with its document, which the
    /// index itself does not keep.
    pub async fn search_documents(
        &self,
        after: DeadLetterId,
        limit: u32,
    ) -> Result<Vec<(DeadLetterId, String)>, StoreError> {
        let rows: Vec<OlderRow> = sqlx::query_as(
            "SELECT d.id, d.source, d.dlq, d.consumer, d.event_type, d.event_id, d.correlation_id, \
             d.causation_id, d.aggregate_id, d.failure_class, d.failure_message, b.message_key, \
             b.body, b.headers, b.properties FROM dead_letters d \
             JOIN bodies b ON b.dead_letter = d.id WHERE d.id > ? ORDER BY d.id LIMIT ?",
        )
        .bind(after.0)
        .bind(i64::from(limit))
        .fetch_all(&self.reader)
        .await?;
        let document = |row: OlderRow| Ok((DeadLetterId(row.id), row.document()?));
        rows.into_iter().map(document).collect()
    }

    async fn index_older_chunk(&self) -> Result<bool, StoreError> {
        let through = sqlx::query_scalar("SELECT COALESCE(MAX(through), 0) FROM search_backlog");
        let through: i64 = through.fetch_one(&self.reader).await?;
        if through <= 0 {
            return Ok(false);
        }
        let rows: Vec<OlderRow> = sqlx::query_as(
            "SELECT d.id, d.source, d.dlq, d.consumer, d.event_type, d.event_id, d.correlation_id, \
             d.causation_id, d.aggregate_id, d.failure_class, d.failure_message, b.message_key, \
             b.body, b.headers, b.properties FROM dead_letters d \
             JOIN bodies b ON b.dead_letter = d.id WHERE d.id <= ? ORDER BY d.id DESC LIMIT ?",
        )
        .bind(through)
        .bind(i64::from(OLDER_AT_ONCE))
        .fetch_all(&self.reader)
        .await?;
        let next = rows.last().map_or(0, |row| row.id - 1);
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        for row in rows {
            row.index(&mut transaction).await?;
        }
        sqlx::query("UPDATE search_backlog SET through = ?")
            .bind(next)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(true)
    }
}

#[derive(Debug, FromRow)]
struct OlderRow {
    id: i64,
    source: Option<String>,
    dlq: String,
    consumer: Option<String>,
    event_type: Option<String>,
    event_id: Option<String>,
    correlation_id: Option<String>,
    causation_id: Option<String>,
    aggregate_id: Option<String>,
    failure_class: Option<String>,
    failure_message: Option<String>,
    #[sqlx(flatten)]
    message: MessageRow,
}

impl OlderRow {
    async fn index(self, transaction: &mut Transaction<'_, Sqlite>) -> Result<(), StoreError> {
        let id = self.id;
        put(transaction, id, self.document()?).await
    }

    fn document(self) -> Result<String, StoreError> {
        let searchable = Searchable {
            message: &self.message.into_message()?,
            failure: [
                self.failure_class.as_deref(),
                self.failure_message.as_deref(),
            ],
            names: [
                self.source.as_deref(),
                Some(self.dlq.as_str()),
                self.consumer.as_deref(),
                self.event_type.as_deref(),
                self.event_id.as_deref(),
                self.correlation_id.as_deref(),
                self.causation_id.as_deref(),
                self.aggregate_id.as_deref(),
            ],
        };
        Ok(searchable.document())
    }
}

#[cfg(test)]
mod tests;
