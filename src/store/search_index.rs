//! The full-text index. A few new dead letters enter it in the transaction that stores them; after a large
//! batch, and in a store that is older than the index, [`search_follower`](super::search_follower) takes what
//! is left, so that a backlog is stored as fast as it can be read.

use sqlx::{QueryBuilder, Sqlite, Transaction};

use super::prepared::PreparedBatch;
use super::search_terms::Searchable;
use super::{Store, StoreError, Unwrap, filter_sql};
use crate::domain::{ConsumerGroup, DeadLetterId, Filter, NewDeadLetter};

/// A larger batch is left to the follower.
pub(super) const INDEXED_WITH_THE_ROWS: usize = 100;

/// What a new dead letter is found by.
pub(super) fn document(letter: &NewDeadLetter, unwrap: Unwrap) -> String {
    let (decoded, event) = (&letter.decoded, &letter.event);
    let original = unwrap(&letter.message);
    let searchable = Searchable {
        message: &letter.message,
        original: original.as_ref(),
        group: letter.classification.group.as_str(),
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
    searchable.document()
}

/// Makes new dead letters searchable at once, if they have their documents and nothing before them waits.
pub(super) async fn add_new(
    transaction: &mut Transaction<'_, Sqlite>,
    rows: &[(DeadLetterId, Option<&str>)],
) -> Result<(), StoreError> {
    let documents: Option<Vec<_>> = rows
        .iter()
        .map(|(id, text)| Some((*id, (*text)?)))
        .collect();
    let ends = rows.first().zip(rows.last());
    let (Some(documents), Some(((first, _), (last, _)))) = (documents, ends) else {
        return Ok(());
    };
    let is_next = sqlx::query("UPDATE search_mark SET indexed = ? WHERE indexed = ?")
        .bind(last.0)
        .bind(first.0 - 1)
        .execute(&mut **transaction)
        .await?;
    if is_next.rows_affected() == 0 {
        return Ok(());
    }
    put(transaction, &documents).await
}

/// Documents of one statement. FTS5 writes what it has gathered as a segment of its own before every statement of
/// several rows (its `xSavepoint`), so statements of fifty cost half as much again, for the merging of their segments.
const DOCUMENTS_A_STATEMENT: usize = 1_000;

/// Adds documents, except of dead letters that have left the store since they were read, or that are in the index
/// already since they changed meanwhile.
pub(super) async fn put(
    transaction: &mut Transaction<'_, Sqlite>,
    documents: &[(DeadLetterId, &str)],
) -> Result<(), StoreError> {
    for chunk in documents.chunks(DOCUMENTS_A_STATEMENT) {
        let mut query = QueryBuilder::<Sqlite>::new(
            "INSERT INTO search_index (rowid, terms) SELECT column1, column2 FROM (",
        );
        query.push_values(chunk, |mut values, (id, text)| {
            values.push_bind(id.0).push_bind(*text);
        });
        // A document has a row in this table of FTS5's as soon as it is in the index.
        query.push(
            ") WHERE EXISTS (SELECT 1 FROM dead_letters WHERE id = column1) \
             AND NOT EXISTS (SELECT 1 FROM search_index_docsize WHERE id = column1)",
        );
        let query = query.build().persistent(false);
        query.execute(&mut **transaction).await?;
    }
    Ok(())
}

impl Store {
    /// Dead letters that are stored but not found by text, payload fields, headers or errors yet.
    pub async fn search_backlog(&self) -> Result<u64, StoreError> {
        let waiting = sqlx::query_scalar(
            "SELECT MAX(0, COALESCE((SELECT MAX(id) FROM dead_letters), 0) \
             - COALESCE((SELECT MAX(indexed) FROM search_mark), 0)) \
             + COALESCE((SELECT MAX(through) FROM search_backlog), 0)",
        );
        let waiting: i64 = waiting.fetch_one(&self.reader).await?;
        Ok(u64::try_from(waiting).unwrap_or(0))
    }

    /// How many dead letters a filter does not see yet because it asks the index.
    pub async fn search_backlog_of(&self, filter: &Filter) -> Result<u64, StoreError> {
        if filter_sql::asks_index(filter) {
            self.search_backlog().await
        } else {
            Ok(0)
        }
    }

    /// Wakes the follower for a batch that it has to index.
    pub(super) fn announce_to_search(&self, batch: &PreparedBatch) {
        if !batch.is_empty() {
            self.search_wanted.send_modify(|batches| *batches += 1);
        }
    }
}

#[cfg(test)]
mod tests;
