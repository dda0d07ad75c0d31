//! What dead letters are found by, as it is stored, for those that enter the index later than their rows.

use serde::Deserialize;
use sqlx::query::QueryAs;
use sqlx::sqlite::SqliteArguments;
use sqlx::{FromRow, Sqlite};

use super::insert::LISTED_MESSAGE_CHARACTERS;
use super::message_rows::MessageRow;
use super::search_terms::Searchable;
use super::{StoreError, Unwrap};
use crate::domain::DeadLetterId;

/// The whole failure message is in `decoded`. Read of all rows, it would slow the index down, so it is read only where the
/// column for the lists is long enough to be cut.
const ROWS_BETWEEN: &str = "SELECT d.id, d.source, d.dlq, d.consumer, d.event_type, d.event_id, d.correlation_id, \
     d.causation_id, d.aggregate_id, d.failure_class, d.failure_message, d.failure_group, \
     b.message_key, b.body, b.headers, b.properties, \
     CASE WHEN octet_length(d.failure_message) >= ?3 THEN b.decoded END AS decoded \
     FROM dead_letters d JOIN bodies b ON b.dead_letter = d.id WHERE d.id BETWEEN ?1 AND ?2 ORDER BY d.id";

/// The rows of a range of IDs.
pub(super) fn rows_between(
    first: i64,
    last: i64,
) -> QueryAs<'static, Sqlite, StoredRow, SqliteArguments> {
    // Fewer bytes are fewer characters.
    let shortest_cut = i64::try_from(LISTED_MESSAGE_CHARACTERS).unwrap_or(i64::MAX);
    let rows = sqlx::query_as(ROWS_BETWEEN).bind(first).bind(last);
    rows.bind(shortest_cut)
}

/// The documents of rows, in their order.
pub(super) fn documents(
    rows: Vec<StoredRow>,
    unwrap: Unwrap,
) -> Result<Vec<(DeadLetterId, String)>, StoreError> {
    let document = |row: StoredRow| Ok((DeadLetterId(row.id), row.document(unwrap)?));
    rows.into_iter().map(document).collect()
}

#[derive(Debug, FromRow)]
pub(super) struct StoredRow {
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
    failure_group: String,
    decoded: Option<String>,
    #[sqlx(flatten)]
    message: MessageRow,
}

/// Of [`Decoded`](crate::domain::Decoded) the failure's message alone.
#[derive(Deserialize)]
struct WithMessage {
    failure: WholeMessage,
}

#[derive(Deserialize)]
struct WholeMessage {
    message: Option<String>,
}

impl StoredRow {
    fn document(self, unwrap: Unwrap) -> Result<String, StoreError> {
        let failure_message = match self.decoded.as_deref() {
            Some(decoded) => whole_message(decoded)?,
            None => self.failure_message,
        };
        let message = self.message.into_message()?;
        let original = unwrap(&message);
        let searchable = Searchable {
            message: &message,
            original: original.as_ref(),
            group: &self.failure_group,
            failure: [self.failure_class.as_deref(), failure_message.as_deref()],
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

fn whole_message(decoded: &str) -> Result<Option<String>, StoreError> {
    let decoded = serde_json::from_str(decoded);
    let decoded: WithMessage = decoded.map_err(StoreError::corrupt("decoded"))?;
    Ok(decoded.failure.message)
}

#[cfg(test)]
mod tests;
