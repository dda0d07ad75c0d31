//! Dead letters that go back into their RabbitMQ queue. A return is written down before the message
//! leaves: whatever a crash leaves behind, the store still holds the message.

use sqlx::{Sqlite, Transaction};

use super::custody::RETURN;
use super::{NewAuditEntry, Store, StoreError, audit};
use crate::domain::{DeadLetterId, DeadLetterIds, Timestamp};

/// A dead letter that is about to go back.
#[derive(Clone, Debug)]
pub struct Returning {
    pub dead_letter: DeadLetterId,
    /// Of the message as it will lie in its queue.
    pub fingerprint: String,
}

/// How a return went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReturnState {
    /// The message is on its way.
    Sending,
    /// It lies in its queue.
    Returned,
    /// It may lie in its queue; the store holds it too.
    Unknown,
}

impl ReturnState {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Sending => "sending",
            Self::Returned => "returned",
            Self::Unknown => "unknown",
        }
    }

    fn parse(text: &str) -> Self {
        match text {
            "sending" => Self::Sending,
            "returned" => Self::Returned,
            _ => Self::Unknown,
        }
    }
}

/// The last return of a dead letter.
#[derive(Clone, Debug)]
pub struct Return {
    pub state: ReturnState,
    pub by: String,
    pub at: Timestamp,
}

impl Store {
    /// Writes down that these are about to go back, with an audit entry that names those that may: open,
    /// in the store, and of RabbitMQ. Answers them; the others have changed in this moment.
    pub async fn begin_returns(
        &self,
        returning: &[Returning],
        entry: &NewAuditEntry,
    ) -> Result<Vec<DeadLetterId>, StoreError> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let mut begun = Vec::new();
        for one in returning {
            let changed = sqlx::query(
                "UPDATE dead_letters SET status = 'gone' WHERE id = ? AND status = 'open' \
                 AND custody = 'store' AND system = 'rabbitmq'",
            )
            .bind(one.dead_letter.0)
            .execute(&mut *transaction)
            .await?
            .rows_affected();
            if changed == 1 {
                put(&mut transaction, one, entry).await?;
                begun.push(one.dead_letter);
            }
        }
        if begun.is_empty() {
            return Ok(begun);
        }
        let named: DeadLetterIds = begun.iter().copied().collect();
        let entry = entry.with_detail("dead_letters", &named);
        audit::append(&mut transaction, &entry).await?;
        transaction.commit().await?;
        Ok(begun)
    }

    /// The broker holds it again. If it is seen there it is this row.
    pub async fn end_return(&self, id: DeadLetterId) -> Result<(), StoreError> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        sqlx::query(
            "UPDATE dead_letters SET custody = 'broker', fingerprint = \
             (SELECT fingerprint FROM returns WHERE dead_letter = ?1) WHERE id = ?1",
        )
        .bind(id.0)
        .execute(&mut *transaction)
        .await?;
        set_state(&mut transaction, id, ReturnState::Returned).await?;
        Ok(transaction.commit().await?)
    }

    /// It is surely not in its queue: it is open as before.
    pub async fn undo_return(&self, id: DeadLetterId) -> Result<(), StoreError> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        sqlx::query("DELETE FROM returns WHERE dead_letter = ?")
            .bind(id.0)
            .execute(&mut *transaction)
            .await?;
        reopen(&mut transaction, id).await?;
        Ok(transaction.commit().await?)
    }

    /// It may be in its queue: it is open, and what comes from there with the same content may be a
    /// second copy of it.
    pub async fn doubt_return(&self, id: DeadLetterId) -> Result<(), StoreError> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        doubt(&mut transaction, id).await?;
        Ok(transaction.commit().await?)
    }

    /// Doubts every return that was under way when the process died; how many they were.
    pub async fn doubt_unfinished_returns(&self) -> Result<usize, StoreError> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let unfinished: Vec<i64> =
            sqlx::query_scalar("SELECT dead_letter FROM returns WHERE state = 'sending'")
                .fetch_all(&mut *transaction)
                .await?;
        for id in &unfinished {
            doubt(&mut transaction, DeadLetterId(*id)).await?;
        }
        transaction.commit().await?;
        Ok(unfinished.len())
    }

    /// Doubts those of these returns that have not ended.
    pub async fn doubt_returns(&self, ids: &[DeadLetterId]) -> Result<(), StoreError> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        for id in ids {
            let state: Option<String> =
                sqlx::query_scalar("SELECT state FROM returns WHERE dead_letter = ?")
                    .bind(id.0)
                    .fetch_optional(&mut *transaction)
                    .await?;
            if state.as_deref() == Some(ReturnState::Sending.as_str()) {
                doubt(&mut transaction, *id).await?;
            }
        }
        Ok(transaction.commit().await?)
    }

    /// The last return of a dead letter, if there was one.
    pub async fn return_of(&self, id: DeadLetterId) -> Result<Option<Return>, StoreError> {
        let row: Option<(String, String, i64)> =
            sqlx::query_as("SELECT state, requested_by, at_ms FROM returns WHERE dead_letter = ?")
                .bind(id.0)
                .fetch_optional(&self.reader)
                .await?;
        Ok(row.map(|(state, by, at)| Return {
            state: ReturnState::parse(&state),
            by,
            at: Timestamp(at),
        }))
    }
}

async fn put(
    transaction: &mut Transaction<'_, Sqlite>,
    returning: &Returning,
    entry: &NewAuditEntry,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT OR REPLACE INTO returns (dead_letter, state, fingerprint, requested_by, at_ms) \
         VALUES (?, ?, ?, ?, ?)",
    )
    .bind(returning.dead_letter.0)
    .bind(ReturnState::Sending.as_str())
    .bind(&returning.fingerprint)
    .bind(&entry.actor)
    .bind(entry.at.as_millis())
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

async fn doubt(
    transaction: &mut Transaction<'_, Sqlite>,
    id: DeadLetterId,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT OR REPLACE INTO unacknowledged \
         (dead_letter, cluster, vhost, queue, fingerprint, session) \
         SELECT d.id, d.cluster, d.vhost, d.dlq, r.fingerprint, ? \
         FROM dead_letters d JOIN returns r ON r.dead_letter = d.id WHERE d.id = ?",
    )
    .bind(RETURN)
    .bind(id.0)
    .execute(&mut **transaction)
    .await?;
    set_state(transaction, id, ReturnState::Unknown).await?;
    reopen(transaction, id).await
}

async fn set_state(
    transaction: &mut Transaction<'_, Sqlite>,
    id: DeadLetterId,
    state: ReturnState,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE returns SET state = ? WHERE dead_letter = ?")
        .bind(state.as_str())
        .bind(id.0)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

async fn reopen(
    transaction: &mut Transaction<'_, Sqlite>,
    id: DeadLetterId,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE dead_letters SET status = 'open' WHERE id = ?")
        .bind(id.0)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests;
