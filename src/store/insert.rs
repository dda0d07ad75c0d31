//! The rows of one dead letter: its group, its list row, its body, its share of the totals.

use sqlx::{Sqlite, Transaction};

use super::dead_letters::attempts_kind_name;
use super::{Indexed, StoreError, message_rows, search_index};
use crate::domain::{
    ConsumerGroup, DeadLetterId, DeadLetterStatus, NewDeadLetter, Position, ReplayEvent, Timestamp,
};

/// Longer failure messages are cut in the lists; the whole one stays in `decoded` and the headers.
const LISTED_MESSAGE_CHARACTERS: usize = 400;

pub(super) async fn insert_all(
    transaction: &mut Transaction<'_, Sqlite>,
    batch: &[NewDeadLetter],
    now: Timestamp,
) -> Result<Vec<Indexed>, StoreError> {
    let mut indexed = Vec::with_capacity(batch.len());
    for (batch_index, letter) in batch.iter().enumerate() {
        let group_is_new_or_regressed = touch_group(transaction, letter, now).await?;
        let id = insert_row(transaction, letter, now).await?;
        insert_body(transaction, id, letter).await?;
        search_index::add(transaction, id, letter).await?;
        count_total(transaction, letter).await?;
        link_replay(transaction, id, letter, now).await?;
        indexed.push(Indexed {
            id,
            batch_index,
            group: letter.classification.group.clone(),
            group_is_new_or_regressed,
            died_from_replay: letter.replay_id,
        });
    }
    Ok(indexed)
}

/// Creates or refreshes the failure group and says whether it is new or regressed.
async fn touch_group(
    transaction: &mut Transaction<'_, Sqlite>,
    letter: &NewDeadLetter,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let classification = &letter.classification;
    let known: Option<(i64, i64)> =
        sqlx::query_as("SELECT total, open + replaying FROM failure_groups WHERE id = ?")
            .bind(classification.group.as_str())
            .fetch_optional(&mut **transaction)
            .await?;
    let regressed = matches!(known, Some((total, 0)) if total > 0) && letter.replay_id.is_none();
    sqlx::query(
        "INSERT INTO failure_groups (id, title, explanation, first_seen_ms, last_seen_ms) \
         VALUES (?1, ?2, ?3, ?4, ?4) ON CONFLICT (id) DO UPDATE SET \
         last_seen_ms = MAX(last_seen_ms, ?4), \
         regressed_ms = CASE WHEN ?5 THEN ?6 ELSE regressed_ms END",
    )
    .bind(classification.group.as_str())
    .bind(&classification.title)
    .bind(&classification.explanation)
    .bind(letter.dead_at.as_millis())
    .bind(regressed)
    .bind(now.as_millis())
    .execute(&mut **transaction)
    .await?;
    Ok(known.is_none() || regressed)
}

async fn insert_row(
    transaction: &mut Transaction<'_, Sqlite>,
    letter: &NewDeadLetter,
    now: Timestamp,
) -> Result<DeadLetterId, StoreError> {
    let keys = PositionKeys::of(&letter.position);
    let decoded = &letter.decoded;
    let listed_message = decoded.failure.message.as_deref().map(cut_for_lists);
    let source = decoded.origin.destination.as_deref();
    let result = sqlx::query(
        "INSERT INTO dead_letters (system, cluster, vhost, dlq, topic_id, partition, log_offset, \
         fingerprint, status, custody, dead_at_ms, indexed_at_ms, reason, source, consumer, \
         failure_class, failure_message, event_id, event_type, correlation_id, causation_id, \
         aggregate_id, failure_group, size, attempts, attempts_kind, died_from_replay) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'open', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, \
         ?)",
    )
    .bind(letter.position.system().as_str())
    .bind(letter.cluster.as_str())
    .bind(keys.vhost)
    .bind(letter.position.dlq())
    .bind(keys.topic_id)
    .bind(keys.partition)
    .bind(keys.offset)
    .bind(keys.fingerprint)
    .bind(letter.custody.as_str())
    .bind(letter.dead_at.as_millis())
    .bind(now.as_millis())
    .bind(decoded.reason.as_str())
    .bind(source)
    .bind(decoded.origin.consumer.as_ref().map(ConsumerGroup::as_str))
    .bind(decoded.failure.class.as_deref())
    .bind(listed_message)
    .bind(letter.event.event_id.as_deref())
    .bind(letter.event.event_type.as_deref())
    .bind(letter.event.correlation_id.as_deref())
    .bind(letter.event.causation_id.as_deref())
    .bind(letter.event.aggregate_id.as_deref())
    .bind(letter.classification.group.as_str())
    .bind(i64::try_from(letter.message.size()).unwrap_or(i64::MAX))
    .bind(
        decoded
            .attempts
            .map(|(count, _)| i64::try_from(count).unwrap_or(i64::MAX)),
    )
    .bind(decoded.attempts.map(|(_, kind)| attempts_kind_name(kind)))
    .bind(letter.replay_id.map(|id| id.to_string()))
    .execute(&mut **transaction)
    .await?;
    Ok(DeadLetterId(result.last_insert_rowid()))
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

async fn insert_body(
    transaction: &mut Transaction<'_, Sqlite>,
    id: DeadLetterId,
    letter: &NewDeadLetter,
) -> Result<(), StoreError> {
    let parts = message_rows::encode(&letter.message)?;
    let decoded = serde_json::to_string(&letter.decoded).map_err(StoreError::corrupt("decoded"))?;
    sqlx::query(
        "INSERT INTO bodies (dead_letter, message_key, body, headers, properties, body_omitted, \
         decoded) VALUES (?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(id.0)
    .bind(letter.message.key.as_deref())
    .bind(letter.message.body.as_deref())
    .bind(parts.headers)
    .bind(parts.properties)
    .bind(letter.body_omitted.as_deref())
    .bind(decoded)
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

async fn count_total(
    transaction: &mut Transaction<'_, Sqlite>,
    letter: &NewDeadLetter,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO dead_letter_totals (system, cluster, dlq, source, reason, total) \
         VALUES (?, ?, ?, ?, ?, 1) \
         ON CONFLICT (system, cluster, dlq, source, reason) DO UPDATE SET total = total + 1",
    )
    .bind(letter.position.system().as_str())
    .bind(letter.cluster.as_str())
    .bind(letter.position.dlq())
    .bind(
        letter
            .decoded
            .origin
            .destination
            .as_deref()
            .unwrap_or_default(),
    )
    .bind(letter.decoded.reason.as_str())
    .execute(&mut **transaction)
    .await?;
    Ok(())
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
