//! The rows of a batch of dead letters: list rows, bodies, what they change beside (`arrivals`), and search.
//! Many rows are one statement: what a statement costs beyond its rows is a round trip to the thread of the
//! connection.

use sqlx::query_builder::Separated;
use sqlx::{QueryBuilder, Sqlite, Transaction};

use super::arrivals::Arrivals;
use super::dead_letters::attempts_kind_name;
use super::prepared::{PreparedBatch, PreparedLetter};
use super::{Indexed, StoreError, search_index};
use crate::domain::{
    ConsumerGroup, DeadLetterId, DeadLetterStatus, NewDeadLetter, Position, ReplayEvent, Timestamp,
};

/// Longer failure messages are cut in the lists; the whole one stays in `decoded` and the headers.
const LISTED_MESSAGE_CHARACTERS: usize = 400;

/// Rows of one statement: few numbers, so that few statements are prepared, each once.
const ROWS_A_STATEMENT: [usize; 3] = [64, 8, 1];

pub(super) async fn insert_all(
    transaction: &mut Transaction<'_, Sqlite>,
    batch: &PreparedBatch,
    now: Timestamp,
) -> Result<Vec<Indexed>, StoreError> {
    let mut indexed = Vec::with_capacity(batch.len());
    let mut run = Run::default();
    for (batch_index, entry) in batch.entries.iter().enumerate() {
        if entry.letter.redelivered {
            // It may repeat a message of this batch, which is therefore stored first.
            run.insert(transaction, now, &mut indexed).await?;
            run.twin = stored_twin(transaction, &entry.letter).await?;
            if let Some(duplicate_of) = run.twin.filter(|_| is_unique(&entry.letter)) {
                tracing::debug!(duplicate_of, "a redelivery of a stored dead letter");
                run.twin = None;
                continue;
            }
        }
        run.entries.push((batch_index, entry));
    }
    run.insert(transaction, now, &mut indexed).await?;
    Ok(indexed)
}

/// Dead letters that are stored together; only the first may be a redelivery.
#[derive(Default)]
struct Run<'a> {
    /// Each with its index in the batch.
    entries: Vec<(usize, &'a PreparedLetter)>,
    /// What the first probably repeats.
    twin: Option<i64>,
}

impl<'a> Run<'a> {
    /// Stores them and begins anew.
    async fn insert(
        &mut self,
        transaction: &mut Transaction<'_, Sqlite>,
        now: Timestamp,
        indexed: &mut Vec<Indexed>,
    ) -> Result<(), StoreError> {
        let run = std::mem::take(self);
        if run.entries.is_empty() {
            return Ok(());
        }
        let letters = run.entries.iter().map(|(_, entry)| &entry.letter);
        let (arrivals, news) = Arrivals::of(transaction, letters, now).await?;
        arrivals.write(transaction, now).await?;
        let rows = run.rows(next_id(transaction).await?);
        for chunk in chunks(&rows) {
            insert_rows(transaction, chunk, now).await?;
            insert_bodies(transaction, chunk).await?;
        }
        let documents = rows
            .iter()
            .map(|row| (row.id, row.entry.document.as_deref()));
        search_index::add_new(transaction, &documents.collect::<Vec<_>>()).await?;
        for row in &rows {
            link_replay(transaction, row.id, &row.entry.letter, now).await?;
        }
        let stored = rows.iter().zip(&run.entries).zip(news);
        indexed.extend(stored.map(|((row, (batch_index, _)), is_news)| Indexed {
            id: row.id,
            batch_index: *batch_index,
            group: row.entry.letter.classification.group.clone(),
            group_is_new_or_regressed: is_news,
            died_from_replay: row.entry.letter.replay_id,
        }));
        Ok(())
    }

    fn rows(&self, first_id: i64) -> Vec<Row<'a>> {
        let entries = (first_id..).zip(self.entries.iter());
        let row = |(id, &(_, entry))| Row {
            id: DeadLetterId(id),
            entry,
            twin: self.twin.filter(|_| id == first_id),
        };
        entries.map(row).collect()
    }
}

/// One dead letter with the ID that it gets.
struct Row<'a> {
    id: DeadLetterId,
    entry: &'a PreparedLetter,
    twin: Option<i64>,
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

/// Whether no second message has the identity of this one (broker-facts C.4): then a redelivery that is stored
/// is surely the same. Everything else is stored: duplicate before loss.
fn is_unique(letter: &NewDeadLetter) -> bool {
    let properties = letter.message.properties.as_ref();
    letter.replay_id.is_some() || properties.is_some_and(|p| p.message_id.is_some())
}

async fn stored_twin(
    transaction: &mut Transaction<'_, Sqlite>,
    letter: &NewDeadLetter,
) -> Result<Option<i64>, StoreError> {
    let Position::RabbitMq { fingerprint, .. } = &letter.position else {
        return Ok(None);
    };
    let twin = sqlx::query_scalar(
        "SELECT id FROM dead_letters WHERE system = 'rabbitmq' AND cluster = ? AND fingerprint = ? \
         ORDER BY id DESC LIMIT 1",
    )
    .bind(letter.cluster.as_str())
    .bind(fingerprint)
    .fetch_optional(&mut **transaction)
    .await?;
    Ok(twin)
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
         died_from_replay, possible_duplicate_of) ",
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
        .push_bind(letter.replay_id.map(|id| id.to_string()))
        .push_bind(row.twin);
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
async fn link_replay(
    transaction: &mut Transaction<'_, Sqlite>,
    id: DeadLetterId,
    letter: &NewDeadLetter,
    now: Timestamp,
) -> Result<(), StoreError> {
    let Some(replay) = letter.replay_id else {
        return Ok(());
    };
    let event = ReplayEvent::SeenInDlq {
        at: now,
        dead_letter: id,
    };
    match super::replays::advance_in(transaction, replay, event, now).await {
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
