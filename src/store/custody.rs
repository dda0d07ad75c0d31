//! Messages that are taken from a RabbitMQ queue. RabbitMQ gives a message no identity and an
//! acknowledgement no answer, so what comes back as a redelivery is compared with exactly those rows
//! whose acknowledgement may have been lost, each of them once (broker-facts C.4). Everything else is
//! another message, however equal: since RabbitMQ 4.3 a dead letter is marked as redelivered at its
//! first delivery already.

use sqlx::{Sqlite, Transaction};
use uuid::Uuid;

use super::audit;
use super::insert::insert_all;
use super::{Indexed, NewAuditEntry, Store, StoreError};
use crate::domain::{
    ClusterName, DeadLetterId, DeadLetterStatus, NewDeadLetter, Position, QueueName, Timestamp,
    VhostName,
};

/// Stands for a session where a message may have come into the queue by a return.
pub(super) const RETURN: &str = "return";

/// One connection that takes messages from a queue. What a connection was given is never delivered to
/// the same connection again.
#[derive(Clone, Debug)]
pub struct CustodySession {
    id: String,
    /// Rows after this one were written by this session, as far as its queue is concerned.
    newest_before: DeadLetterId,
}

impl Store {
    /// To be called for each new connection.
    pub async fn begin_custody(&self) -> Result<CustodySession, StoreError> {
        Ok(CustodySession {
            id: Uuid::new_v4().to_string(),
            newest_before: self.newest_id().await?,
        })
    }

    /// Stores messages that were taken from a RabbitMQ queue. When this returns they are on disk and
    /// may be acknowledged. Everything that the session took before must have been acknowledged.
    ///
    /// Answers the new rows. A message that was observed before keeps its row.
    pub async fn take_custody(
        &self,
        session: &CustodySession,
        batch: &[NewDeadLetter],
        now: Timestamp,
    ) -> Result<Vec<Indexed>, StoreError> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        forget_session(&mut transaction, session).await?;
        let mut fresh = Vec::new();
        for (index, letter) in batch.iter().enumerate() {
            match recognise(&mut transaction, session, letter).await? {
                Recognised::Stored => {}
                Recognised::Observed(id) => adopt(&mut transaction, session, letter, id).await?,
                Recognised::New { twin } => fresh.push((index, twin)),
            }
        }
        let letters: Vec<_> = fresh
            .iter()
            .map(|(index, _)| batch[*index].clone())
            .collect();
        let letters = self.prepare(letters)?;
        let mut indexed = insert_all(&mut transaction, &letters, now).await?;
        for entry in &mut indexed {
            let (index, twin) = fresh[entry.batch_index];
            entry.batch_index = index;
            open_acknowledgement(&mut transaction, session, &batch[index], entry.id).await?;
            if let Some(twin) = twin {
                mark_duplicate(&mut transaction, entry.id, twin).await?;
            }
        }
        transaction.commit().await?;
        self.announce_to_search(&letters);
        Ok(indexed)
    }

    /// Stores the message of an observed row, with an audit entry. When this returns it is on disk and
    /// may be acknowledged; `false` if the row is not observed and open any more.
    pub async fn take_observed(
        &self,
        session: &CustodySession,
        id: DeadLetterId,
        letter: &NewDeadLetter,
        entry: &NewAuditEntry,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let is_observed: i64 = sqlx::query_scalar(
            "SELECT COUNT(*) FROM dead_letters \
             WHERE id = ? AND custody = 'broker' AND status = 'open'",
        )
        .bind(id.0)
        .fetch_one(&mut *transaction)
        .await?;
        if is_observed == 0 {
            return Ok(false);
        }
        adopt(&mut transaction, session, letter, id).await?;
        audit::append(&mut transaction, entry).await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// Notes that RabbitMQ has seen the acknowledgement of all that the session took.
    pub async fn acknowledged(&self, session: &CustodySession) -> Result<(), StoreError> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        forget_session(&mut transaction, session).await?;
        Ok(transaction.commit().await?)
    }

    /// Notes that a queue was read to its end by the session, its only consumer: what earlier sessions
    /// took and did not get again here was acknowledged in time.
    pub async fn queue_was_read_to_its_end(
        &self,
        session: &CustodySession,
        cluster: &ClusterName,
        (vhost, queue): (&VhostName, &QueueName),
    ) -> Result<(), StoreError> {
        sqlx::query(
            "DELETE FROM unacknowledged \
             WHERE cluster = ? AND vhost = ? AND queue = ? AND session <> ?",
        )
        .bind(cluster.as_str())
        .bind(vhost.as_str())
        .bind(queue.as_str())
        .bind(&session.id)
        .execute(&self.writer)
        .await?;
        Ok(())
    }
}

/// What a delivery is, by what is stored.
enum Recognised {
    /// Surely the message of a row whose acknowledgement was lost.
    Stored,
    /// The message of a row that a look at the queue has left.
    Observed(DeadLetterId),
    /// To be stored: duplicate before loss.
    New { twin: Option<DeadLetterId> },
}

async fn recognise(
    transaction: &mut Transaction<'_, Sqlite>,
    session: &CustodySession,
    letter: &NewDeadLetter,
) -> Result<Recognised, StoreError> {
    if let Some(claim) = claim_unacknowledged(transaction, session, letter).await? {
        let row = claim.row;
        let is_certain = has_identity(letter)
            && !claim.skips_earlier
            && is_the_only_one(transaction, letter).await?;
        return Ok(if is_certain {
            tracing::debug!(dead_letter = %row, "a redelivery of a stored dead letter");
            Recognised::Stored
        } else {
            Recognised::New { twin: Some(row) }
        });
    }
    if let Some(row) = observed_row(transaction, letter).await? {
        return Ok(Recognised::Observed(row));
    }
    let twin = if letter.redelivered {
        earlier_twin(transaction, session, letter).await?
    } else {
        None
    };
    Ok(Recognised::New { twin })
}

/// Whether the message carries an ID that its publisher gives to no second one.
fn has_identity(letter: &NewDeadLetter) -> bool {
    let properties = letter.message.properties.as_ref();
    letter.replay_id.is_some() || properties.is_some_and(|p| p.message_id.is_some())
}

/// A message ID that two stored dead letters share is no identity.
async fn is_the_only_one(
    transaction: &mut Transaction<'_, Sqlite>,
    letter: &NewDeadLetter,
) -> Result<bool, StoreError> {
    let count: i64 = sqlx::query_scalar(
        "SELECT COUNT(*) FROM dead_letters \
         WHERE system = 'rabbitmq' AND cluster = ? AND fingerprint = ?",
    )
    .bind(letter.cluster.as_str())
    .bind(place(letter).fingerprint)
    .fetch_one(&mut **transaction)
    .await?;
    Ok(count == 1)
}

/// A row whose message may lie in the queue as well, so that a delivery may be it.
struct Claim {
    row: DeadLetterId,
    /// Messages of the same acknowledgement that lay before it have not come back. A queue gives back all
    /// that one acknowledgement would have named, in its order: it had arrived, and this is an equal message
    /// that the earlier session had been given beside.
    skips_earlier: bool,
}

/// A row whose acknowledgement may have been lost by an earlier session, and then it is redelivered, or whose
/// return was cut short. From now on it waits for this session's acknowledgement.
async fn claim_unacknowledged(
    transaction: &mut Transaction<'_, Sqlite>,
    session: &CustodySession,
    letter: &NewDeadLetter,
) -> Result<Option<Claim>, StoreError> {
    let place = place(letter);
    let found: Option<(i64, bool)> = sqlx::query_as(
        "SELECT dead_letter, session <> ?7 AND EXISTS \
           (SELECT 1 FROM unacknowledged earlier WHERE earlier.cluster = ?2 AND earlier.vhost = ?3 \
            AND earlier.queue = ?4 AND earlier.session = unacknowledged.session \
            AND earlier.dead_letter < unacknowledged.dead_letter) AS skips_earlier \
         FROM unacknowledged WHERE cluster = ?2 AND vhost = ?3 AND queue = ?4 \
         AND fingerprint = ?5 AND session <> ?1 AND (?6 OR session = ?7) \
         ORDER BY dead_letter LIMIT 1",
    )
    .bind(&session.id)
    .bind(letter.cluster.as_str())
    .bind(place.vhost)
    .bind(place.queue)
    .bind(place.fingerprint)
    .bind(letter.redelivered)
    .bind(RETURN)
    .fetch_optional(&mut **transaction)
    .await?;
    let Some((row, skips_earlier)) = found else {
        return Ok(None);
    };
    sqlx::query("UPDATE unacknowledged SET session = ? WHERE dead_letter = ?")
        .bind(&session.id)
        .bind(row)
        .execute(&mut **transaction)
        .await?;
    let row = DeadLetterId(row);
    Ok(Some(Claim { row, skips_earlier }))
}

/// The stored row that a message in the window of an observed queue may repeat, each row once.
pub(super) async fn second_copy_of(
    transaction: &mut Transaction<'_, Sqlite>,
    letter: &NewDeadLetter,
) -> Result<Option<DeadLetterId>, StoreError> {
    let place = place(letter);
    let row = sqlx::query_scalar(
        "DELETE FROM unacknowledged WHERE dead_letter = \
         (SELECT MIN(dead_letter) FROM unacknowledged WHERE cluster = ? AND vhost = ? \
          AND queue = ? AND fingerprint = ?) \
         RETURNING dead_letter",
    )
    .bind(letter.cluster.as_str())
    .bind(place.vhost)
    .bind(place.queue)
    .bind(place.fingerprint)
    .fetch_optional(&mut **transaction)
    .await?;
    Ok(row.map(DeadLetterId))
}

/// A row of an observed queue with this content; one that was in the last window before one that was
/// not.
async fn observed_row(
    transaction: &mut Transaction<'_, Sqlite>,
    letter: &NewDeadLetter,
) -> Result<Option<DeadLetterId>, StoreError> {
    let row = sqlx::query_scalar(
        "SELECT id FROM dead_letters WHERE system = 'rabbitmq' AND cluster = ? \
         AND fingerprint = ? AND custody = 'broker' ORDER BY status = 'gone', id LIMIT 1",
    )
    .bind(letter.cluster.as_str())
    .bind(place(letter).fingerprint)
    .fetch_optional(&mut **transaction)
    .await?;
    Ok(row.map(DeadLetterId))
}

/// The newest equal row of an earlier session. Its acknowledgement had arrived, but a broker that crashed
/// after that may have forgotten it.
async fn earlier_twin(
    transaction: &mut Transaction<'_, Sqlite>,
    session: &CustodySession,
    letter: &NewDeadLetter,
) -> Result<Option<DeadLetterId>, StoreError> {
    let twin = sqlx::query_scalar(
        "SELECT id FROM dead_letters WHERE system = 'rabbitmq' AND cluster = ? \
         AND fingerprint = ? AND id <= ? \
         AND id NOT IN (SELECT dead_letter FROM unacknowledged WHERE session = ?) \
         ORDER BY id DESC LIMIT 1",
    )
    .bind(letter.cluster.as_str())
    .bind(place(letter).fingerprint)
    .bind(session.newest_before.0)
    .bind(&session.id)
    .fetch_optional(&mut **transaction)
    .await?;
    Ok(twin.map(DeadLetterId))
}

/// The store becomes the record of a message that was observed before. A body that was left to the
/// broker is stored now, because the broker is about to forget it.
async fn adopt(
    transaction: &mut Transaction<'_, Sqlite>,
    session: &CustodySession,
    letter: &NewDeadLetter,
    id: DeadLetterId,
) -> Result<(), StoreError> {
    let gone = DeadLetterStatus::Gone.as_str();
    sqlx::query(
        "UPDATE dead_letters SET custody = 'store', \
         status = CASE status WHEN ? THEN 'open' ELSE status END WHERE id = ?",
    )
    .bind(gone)
    .bind(id.0)
    .execute(&mut **transaction)
    .await?;
    sqlx::query("UPDATE bodies SET body = ?, body_omitted = ? WHERE dead_letter = ?")
        .bind(letter.message.body.as_deref())
        .bind(letter.body_omitted.as_deref())
        .bind(id.0)
        .execute(&mut **transaction)
        .await?;
    open_acknowledgement(transaction, session, letter, id).await
}

async fn open_acknowledgement(
    transaction: &mut Transaction<'_, Sqlite>,
    session: &CustodySession,
    letter: &NewDeadLetter,
    id: DeadLetterId,
) -> Result<(), StoreError> {
    let place = place(letter);
    sqlx::query(
        "INSERT INTO unacknowledged (dead_letter, cluster, vhost, queue, fingerprint, session) \
         VALUES (?, ?, ?, ?, ?, ?)",
    )
    .bind(id.0)
    .bind(letter.cluster.as_str())
    .bind(place.vhost)
    .bind(place.queue)
    .bind(place.fingerprint)
    .bind(&session.id)
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

pub(super) async fn mark_duplicate(
    transaction: &mut Transaction<'_, Sqlite>,
    id: DeadLetterId,
    twin: DeadLetterId,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE dead_letters SET possible_duplicate_of = ? WHERE id = ?")
        .bind(twin.0)
        .bind(id.0)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

async fn forget_session(
    transaction: &mut Transaction<'_, Sqlite>,
    session: &CustodySession,
) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM unacknowledged WHERE session = ?")
        .bind(&session.id)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

struct Place<'a> {
    vhost: &'a str,
    queue: &'a str,
    fingerprint: &'a str,
}

/// Where it lay. A Kafka record, which nobody takes into custody, has no such place and matches nothing.
fn place(letter: &NewDeadLetter) -> Place<'_> {
    match &letter.position {
        Position::RabbitMq {
            vhost,
            queue,
            fingerprint,
        } => Place {
            vhost: vhost.as_str(),
            queue: queue.as_str(),
            fingerprint,
        },
        Position::Kafka { topic, .. } => Place {
            vhost: "",
            queue: topic.as_str(),
            fingerprint: "",
        },
    }
}

#[cfg(test)]
mod tests;
