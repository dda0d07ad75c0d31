//! The rows of a batch of dead letters: list rows, bodies, what they change beside (`arrivals`), and search.
//! Many rows are one statement: what a statement costs beyond its rows is a round trip to the thread of the
//! connection.

use sqlx::query_builder::Separated;
use sqlx::{QueryBuilder, Sqlite, Transaction};

use super::arrivals::Arrivals;
use super::dead_letters::attempts_kind_name;
use super::prepared::{PreparedBatch, PreparedLetter};
use super::redrive_runs::inherit_attempts;
use super::{Indexed, StoreError, search_index};
use crate::domain::{
    ConsumerGroup, DeadLetterId, DeadLetterStatus, NewDeadLetter, Position, ReplayEvent, Timestamp,
};

/// Longer failure messages are cut in the lists; the whole one stays in `decoded` and the headers.
pub(super) const LISTED_MESSAGE_CHARACTERS: usize = 400;

/// Rows of one statement: few numbers, so that few statements are prepared, each once. Large ones, because SQLite
/// copies each page that a statement changes, to be able to undo it.
const ROWS_A_STATEMENT: [usize; 4] = [256, 32, 4, 1];

/// Stores a batch and answers what became of each.
pub(super) async fn insert_all(
    transaction: &mut Transaction<'_, Sqlite>,
    batch: &PreparedBatch,
    now: Timestamp,
) -> Result<Vec<Indexed>, StoreError> {
    if batch.is_empty() {
        return Ok(Vec::new());
    }
    let (arrivals, news) = Arrivals::of(transaction, batch.letters(), now).await?;
    arrivals.write(transaction, now).await?;
    let ids = (next_id(transaction).await?..).map(DeadLetterId);
    let rows = ids.zip(&batch.entries).map(|(id, entry)| Row { id, entry });
    let rows: Vec<Row<'_>> = rows.collect();
    for chunk in chunks(&rows) {
        insert_rows(transaction, chunk, now).await?;
        insert_bodies(transaction, chunk).await?;
    }
    super::unkept_bodies::add(transaction, &rows).await?;
    let documents = rows
        .iter()
        .map(|row| (row.id, row.entry.document.as_deref()));
    search_index::add_new(transaction, &documents.collect::<Vec<_>>()).await?;
    for row in &rows {
        link_replay(transaction, row.id, &row.entry.letter, now).await?;
    }
    let stored = rows.iter().zip(news).enumerate();
    Ok(stored
        .map(|(batch_index, (row, is_news))| Indexed {
            id: row.id,
            batch_index,
            group: row.entry.letter.classification.group.clone(),
            group_is_new_or_regressed: is_news,
            died_from_replay: row.entry.letter.replay_id,
        })
        .collect())
}

/// One dead letter with the ID that it gets.
pub(super) struct Row<'a> {
    pub(super) id: DeadLetterId,
    pub(super) entry: &'a PreparedLetter,
}

/// The ID after the last one that was ever given.
async fn next_id(transaction: &mut Transaction<'_, Sqlite>) -> Result<i64, StoreError> {
    let next = sqlx::query_scalar(
        "SELECT COALESCE((SELECT seq FROM sqlite_sequence WHERE name = 'dead_letters'), 0) + 1",
    );
    Ok(next.fetch_one(&mut **transaction).await?)
}

/// Cuts rows into statements.
fn chunks<T>(mut rows: &[T]) -> Vec<&[T]> {
    let mut chunks = Vec::new();
    for size in ROWS_A_STATEMENT {
        while let Some((chunk, rest)) = rows.split_at_checked(size) {
            chunks.push(chunk);
            rows = rest;
        }
    }
    chunks
}

async fn insert_rows(
    transaction: &mut Transaction<'_, Sqlite>,
    rows: &[Row<'_>],
    now: Timestamp,
) -> Result<(), StoreError> {
    let mut query = QueryBuilder::<Sqlite>::new(
        "INSERT INTO dead_letters (id, system, cluster, vhost, dlq, topic_id, partition, \
         log_offset, fingerprint, status, custody, dead_at_ms, indexed_at_ms, reason, source, \
         consumer, failure_class, failure_message, event_id, event_type, correlation_id, \
         causation_id, aggregate_id, failure_group, size, attempts, attempts_kind, \
         died_from_replay) ",
    );
    query.push_values(rows, |mut values, row| push_row(&mut values, row, now));
    query.build().execute(&mut **transaction).await?;
    Ok(())
}

fn push_row(values: &mut Separated<'_, Sqlite, &'static str>, row: &Row<'_>, now: Timestamp) {
    let letter = &row.entry.letter;
    let keys = PositionKeys::of(&letter.position);
    let decoded = &letter.decoded;
    let attempts = |count| i64::try_from(count).unwrap_or(i64::MAX);
    values
        .push_bind(row.id.0)
        .push_bind(letter.position.system().as_str())
        .push_bind(letter.cluster.as_str())
        .push_bind(keys.vhost)
        .push_bind(letter.position.dlq())
        .push_bind(keys.topic_id)
        .push_bind(keys.partition)
        .push_bind(keys.offset)
        .push_bind(keys.fingerprint)
        .push_bind(DeadLetterStatus::Open.as_str())
        .push_bind(letter.custody.as_str())
        .push_bind(letter.dead_at.as_millis())
        .push_bind(now.as_millis())
        .push_bind(decoded.reason.as_str())
        .push_bind(decoded.origin.destination.as_deref())
        .push_bind(decoded.origin.consumer.as_ref().map(ConsumerGroup::as_str))
        .push_bind(decoded.failure.class.as_deref())
        .push_bind(decoded.failure.message.as_deref().map(cut_for_lists))
        .push_bind(letter.event.event_id.as_deref())
        .push_bind(letter.event.event_type.as_deref())
        .push_bind(letter.event.correlation_id.as_deref())
        .push_bind(letter.event.causation_id.as_deref())
        .push_bind(letter.event.aggregate_id.as_deref())
        .push_bind(letter.classification.group.as_str())
        .push_bind(i64::try_from(letter.message.size()).unwrap_or(i64::MAX))
        .push_bind(decoded.attempts.map(|(count, _)| attempts(count)))
        .push_bind(decoded.attempts.map(|(_, kind)| attempts_kind_name(kind)))
        .push_bind(letter.replay_id.map(|id| id.to_string()));
}

async fn insert_bodies(
    transaction: &mut Transaction<'_, Sqlite>,
    rows: &[Row<'_>],
) -> Result<(), StoreError> {
    let mut query = QueryBuilder::<Sqlite>::new(
        "INSERT INTO bodies (dead_letter, message_key, body, headers, properties, body_omitted, \
         decoded) ",
    );
    query.push_values(rows, |mut values, row| {
        let entry = row.entry;
        values
            .push_bind(row.id.0)
            .push_bind(entry.letter.message.key.as_deref())
            .push_bind(entry.letter.message.body.as_deref())
            .push_bind(entry.parts.headers.as_str())
            .push_bind(entry.parts.properties.as_deref())
            .push_bind(entry.letter.body_omitted.as_deref())
            .push_bind(entry.decoded.as_str());
    });
    query.build().execute(&mut **transaction).await?;
    Ok(())
}

struct PositionKeys<'a> {
    vhost: &'a str,
    topic_id: String,
    partition: Option<i32>,
    offset: Option<i64>,
    fingerprint: Option<&'a str>,
}

impl<'a> PositionKeys<'a> {
    fn of(position: &'a Position) -> Self {
        match position {
            Position::Kafka {
                topic_id,
                partition,
                offset,
                ..
            } => Self {
                vhost: "",
                topic_id: topic_id.map(|id| id.to_string()).unwrap_or_default(),
                partition: Some(partition.0),
                offset: Some(offset.0),
                fingerprint: None,
            },
            Position::RabbitMq {
                vhost, fingerprint, ..
            } => Self {
                vhost: vhost.as_str(),
                topic_id: String::new(),
                partition: None,
                offset: None,
                fingerprint: Some(fingerprint),
            },
        }
    }
}

fn cut_for_lists(message: &str) -> String {
    message.chars().take(LISTED_MESSAGE_CHARACTERS).collect()
}

/// A message that carries a replay ID of ours proves that this replay died again.
pub(super) async fn link_replay(
    transaction: &mut Transaction<'_, Sqlite>,
    id: DeadLetterId,
    letter: &NewDeadLetter,
    now: Timestamp,
) -> Result<(), StoreError> {
    let Some(replay) = letter.replay_id else {
        return Ok(());
    };
    inherit_attempts(transaction, id, replay).await?;
    let event = ReplayEvent::SeenInDlq {
        at: now,
        dead_letter: id,
    };
    match super::replay_transitions::advance_in(transaction, replay, event, now).await {
        // The header may come from another installation, or name a replay that was decided already.
        Ok(_) | Err(StoreError::NoSuchReplay(_) | StoreError::IllegalTransition(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

pub(super) async fn set_status(
    transaction: &mut Transaction<'_, Sqlite>,
    id: i64,
    status: DeadLetterStatus,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE dead_letters SET status = ? WHERE id = ?")
        .bind(status.as_str())
        .bind(id)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}
