//! Notes on failure groups, and who takes care of one. Both are written together with their audit
//! entry.

use sqlx::FromRow;

use super::{NewAuditEntry, Store, StoreError, audit};
use crate::domain::{FailureGroupId, Timestamp};

/// What somebody said of a failure group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupNote {
    pub author: String,
    pub at: Timestamp,
    pub text: String,
}

/// Who takes care of a failure group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupAssignment {
    pub assignee: String,
    pub by: String,
    pub at: Timestamp,
}

/// Who says or changes something.
#[derive(Clone, Debug)]
pub struct Author {
    pub name: String,
    /// From where, for the audit.
    pub address: String,
    pub at: Timestamp,
}

impl Author {
    pub(super) fn entry(&self, action: &str, detail: serde_json::Value) -> NewAuditEntry {
        NewAuditEntry {
            at: self.at,
            actor: self.name.clone(),
            address: self.address.clone(),
            action: action.to_owned(),
            detail,
        }
    }
}

impl Store {
    /// Adds a note; [`StoreError::NoSuchFailureGroup`] if there is no such group.
    pub async fn add_group_note(
        &self,
        group: &FailureGroupId,
        text: &str,
        author: &Author,
    ) -> Result<(), StoreError> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let added = sqlx::query(
            "INSERT INTO failure_group_notes (failure_group, author, created_at_ms, text) \
             SELECT id, ?2, ?3, ?4 FROM failure_groups WHERE id = ?1",
        )
        .bind(group.as_str())
        .bind(&author.name)
        .bind(author.at.as_millis())
        .bind(text)
        .execute(&mut *transaction)
        .await?;
        if added.rows_affected() == 0 {
            return Err(StoreError::NoSuchFailureGroup(group.clone()));
        }
        let detail = serde_json::json!({ "failure_group": group, "text": text });
        audit::append(
            &mut transaction,
            &author.entry("failure_group.note", detail),
        )
        .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// The newest notes on a group, oldest first.
    pub async fn group_notes(
        &self,
        group: &FailureGroupId,
        limit: u32,
    ) -> Result<Vec<GroupNote>, StoreError> {
        let rows: Vec<NoteRow> = sqlx::query_as(
            "SELECT * FROM (SELECT id, author, created_at_ms, text FROM failure_group_notes \
             WHERE failure_group = ? ORDER BY id DESC LIMIT ?) ORDER BY id",
        )
        .bind(group.as_str())
        .bind(i64::from(limit))
        .fetch_all(&self.reader)
        .await?;
        Ok(rows.into_iter().map(GroupNote::from).collect())
    }

    /// Says who takes care of a group; `None` for nobody. Naming the same again changes nothing.
    pub async fn assign_group(
        &self,
        group: &FailureGroupId,
        assignee: Option<&str>,
        author: &Author,
    ) -> Result<(), StoreError> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let before: Option<Option<String>> = sqlx::query_scalar(
            "SELECT a.assignee FROM failure_groups g \
             LEFT JOIN failure_group_assignees a ON a.failure_group = g.id WHERE g.id = ?",
        )
        .bind(group.as_str())
        .fetch_optional(&mut *transaction)
        .await?;
        let before = before.ok_or_else(|| StoreError::NoSuchFailureGroup(group.clone()))?;
        if before.as_deref() == assignee {
            return Ok(());
        }
        let change = match assignee {
            None => sqlx::query("DELETE FROM failure_group_assignees WHERE failure_group = ?")
                .bind(group.as_str()),
            Some(assignee) => sqlx::query(
                "INSERT OR REPLACE INTO failure_group_assignees \
                 (failure_group, assignee, assigned_by, assigned_at_ms) VALUES (?, ?, ?, ?)",
            )
            .bind(group.as_str())
            .bind(assignee)
            .bind(&author.name)
            .bind(author.at.as_millis()),
        };
        change.execute(&mut *transaction).await?;
        let detail =
            serde_json::json!({ "failure_group": group, "assignee": assignee, "before": before });
        audit::append(
            &mut transaction,
            &author.entry("failure_group.assign", detail),
        )
        .await?;
        transaction.commit().await?;
        Ok(())
    }

    pub async fn group_assignment(
        &self,
        group: &FailureGroupId,
    ) -> Result<Option<GroupAssignment>, StoreError> {
        let row: Option<(String, String, i64)> = sqlx::query_as(
            "SELECT assignee, assigned_by, assigned_at_ms FROM failure_group_assignees \
             WHERE failure_group = ?",
        )
        .bind(group.as_str())
        .fetch_optional(&self.reader)
        .await?;
        Ok(row.map(|(assignee, by, at)| GroupAssignment {
            assignee,
            by,
            at: Timestamp(at),
        }))
    }
}

#[derive(Debug, FromRow)]
struct NoteRow {
    author: String,
    created_at_ms: i64,
    text: String,
}

impl From<NoteRow> for GroupNote {
    fn from(row: NoteRow) -> Self {
        Self {
            author: row.author,
            at: Timestamp(row.created_at_ms),
            text: row.text,
        }
    }
}
