use sqlx::{FromRow, Sqlite, Transaction};

use super::message_rows::{self, MessageRow};
use super::{NewAuditEntry, Store, StoreError, audit};
use crate::domain::{DeadLetterId, Message, Revision, RevisionNumber, Timestamp};

/// An edit on its way into the store.
#[derive(Clone, Debug)]
pub struct NewRevision {
    pub dead_letter: DeadLetterId,
    /// The revision that the editor saw; another one in between is a conflict.
    pub builds_on: RevisionNumber,
    pub message: Message,
    pub author: String,
    pub note: Option<String>,
    pub at: Timestamp,
}

impl Store {
    /// Stores an edit as the next revision. The original is never changed.
    pub async fn add_revision(
        &self,
        revision: &NewRevision,
        entry: &NewAuditEntry,
    ) -> Result<RevisionNumber, StoreError> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let number = insert(&mut transaction, revision).await?;
        audit::append(&mut transaction, entry).await?;
        transaction.commit().await?;
        Ok(number)
    }

    /// All edits of a dead letter, oldest first.
    pub async fn revisions(&self, id: DeadLetterId) -> Result<Vec<Revision>, StoreError> {
        let rows: Vec<RevisionRow> = sqlx::query_as(
            "SELECT number, message_key, body, headers, properties, author, created_at_ms, note \
             FROM revisions WHERE dead_letter = ? ORDER BY number",
        )
        .bind(id.0)
        .fetch_all(&self.reader)
        .await?;
        rows.into_iter().map(|row| row.into_revision(id)).collect()
    }
}

/// The rows of an edit, if nobody has edited in between.
pub(super) async fn insert(
    transaction: &mut Transaction<'_, Sqlite>,
    revision: &NewRevision,
) -> Result<RevisionNumber, StoreError> {
    let id = revision.dead_letter;
    let latest: Option<u32> =
        sqlx::query_scalar("SELECT latest_revision FROM dead_letters WHERE id = ?")
            .bind(id.0)
            .fetch_optional(&mut **transaction)
            .await?;
    let latest = RevisionNumber(latest.ok_or(StoreError::NoSuchDeadLetter(id))?);
    if latest != revision.builds_on {
        let expected = revision.builds_on;
        return Err(StoreError::RevisionConflict {
            dead_letter: id,
            expected,
            latest,
        });
    }
    let number = RevisionNumber(latest.0 + 1);
    let parts = message_rows::encode(&revision.message)?;
    sqlx::query(
        "INSERT INTO revisions (dead_letter, number, message_key, body, headers, properties, \
         author, created_at_ms, note) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(id.0)
    .bind(number.0)
    .bind(revision.message.key.as_deref())
    .bind(revision.message.body.as_deref())
    .bind(parts.headers)
    .bind(parts.properties)
    .bind(&revision.author)
    .bind(revision.at.as_millis())
    .bind(revision.note.as_deref())
    .execute(&mut **transaction)
    .await?;
    sqlx::query("UPDATE dead_letters SET latest_revision = ? WHERE id = ?")
        .bind(number.0)
        .bind(id.0)
        .execute(&mut **transaction)
        .await?;
    Ok(number)
}

#[derive(Debug, FromRow)]
struct RevisionRow {
    number: u32,
    #[sqlx(flatten)]
    message: MessageRow,
    author: String,
    created_at_ms: i64,
    note: Option<String>,
}

impl RevisionRow {
    fn into_revision(self, dead_letter: DeadLetterId) -> Result<Revision, StoreError> {
        Ok(Revision {
            dead_letter,
            number: RevisionNumber(self.number),
            message: self.message.into_message()?,
            author: self.author,
            created_at: Timestamp(self.created_at_ms),
            note: self.note,
        })
    }
}
