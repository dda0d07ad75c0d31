use super::{NewAuditEntry, Store, StoreError, audit};
use crate::domain::{DeadLetterId, Timestamp};

/// An edit that is not finished: the editor's form as it was left. It is no revision, so no replay sends
/// it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// In the encoding of a form.
    pub form: String,
    pub author: String,
    pub saved_at: Timestamp,
}

impl Store {
    /// Keeps a draft in place of the one before.
    pub async fn save_draft(
        &self,
        id: DeadLetterId,
        draft: &Draft,
        entry: &NewAuditEntry,
    ) -> Result<(), StoreError> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        sqlx::query(
            "INSERT INTO drafts (dead_letter, form, author, saved_at_ms) VALUES (?, ?, ?, ?) \
             ON CONFLICT (dead_letter) DO UPDATE SET form = excluded.form, \
             author = excluded.author, saved_at_ms = excluded.saved_at_ms",
        )
        .bind(id.0)
        .bind(&draft.form)
        .bind(&draft.author)
        .bind(draft.saved_at.as_millis())
        .execute(&mut *transaction)
        .await?;
        audit::append(&mut transaction, entry).await?;
        Ok(transaction.commit().await?)
    }

    pub async fn draft(&self, id: DeadLetterId) -> Result<Option<Draft>, StoreError> {
        let sql = "SELECT form, author, saved_at_ms FROM drafts WHERE dead_letter = ?";
        let row: Option<(String, String, i64)> = sqlx::query_as(sql)
            .bind(id.0)
            .fetch_optional(&self.reader)
            .await?;
        Ok(row.map(|(form, author, saved_at)| Draft {
            form,
            author,
            saved_at: Timestamp(saved_at),
        }))
    }

    /// Forgets a draft, if there is one.
    pub async fn discard_draft(
        &self,
        id: DeadLetterId,
        entry: &NewAuditEntry,
    ) -> Result<(), StoreError> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let gone = sqlx::query("DELETE FROM drafts WHERE dead_letter = ?")
            .bind(id.0)
            .execute(&mut *transaction)
            .await?;
        if gone.rows_affected() > 0 {
            audit::append(&mut transaction, entry).await?;
        }
        Ok(transaction.commit().await?)
    }
}
