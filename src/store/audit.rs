//! Who did what to which events. Each entry's hash covers its own fields and the hash before, so
//! that a changed or removed row breaks the chain.

use serde::Serialize;
use sqlx::{FromRow, Sqlite, Transaction};

use super::{Page, PageRequest, Store, StoreError};
use crate::domain::{Timestamp, digest_of_fields};

/// Something a person or Redrive itself did.
#[derive(Clone, Debug)]
pub struct NewAuditEntry {
    pub at: Timestamp,
    /// Who; `system` for Redrive itself.
    pub actor: String,
    /// From where; empty for Redrive itself.
    pub address: String,
    /// A verb and a noun: `replay.create`, `revision.create`, `replay.resolve`.
    pub action: String,
    /// The exact set of events and what was chosen, as JSON.
    pub detail: serde_json::Value,
}

impl NewAuditEntry {
    /// The same entry with one more field in its detail, which only the transaction knows.
    pub(super) fn with_detail(&self, field: &str, value: &impl Serialize) -> Self {
        let mut entry = self.clone();
        if let Some(detail) = entry.detail.as_object_mut() {
            detail.insert(field.to_owned(), serde_json::json!(value));
        }
        entry
    }
}

/// A stored entry.
#[derive(Clone, Debug)]
pub struct AuditEntry {
    pub seq: i64,
    pub at: Timestamp,
    pub actor: String,
    pub address: String,
    pub action: String,
    pub detail: serde_json::Value,
    pub hash: String,
}

impl Store {
    /// Stores an entry of its own; most are written in the transaction of what they tell.
    pub async fn append_audit(&self, entry: &NewAuditEntry) -> Result<(), StoreError> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        append(&mut transaction, entry).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// The audit, newest first.
    pub async fn audit(&self, page: &PageRequest) -> Result<Page<AuditEntry>, StoreError> {
        let rows: Vec<AuditRow> = sqlx::query_as(
            "SELECT seq, at_ms, actor, address, action, detail, hash FROM audit \
             WHERE seq < ? ORDER BY seq DESC LIMIT ?",
        )
        .bind(page.key()?.unwrap_or(i64::MAX))
        .bind(page.rows())
        .fetch_all(&self.reader)
        .await?;
        let entries: Result<Vec<_>, _> = rows.into_iter().map(AuditRow::into_entry).collect();
        Ok(Page::of(entries?, page, |entry: &AuditEntry| entry.seq))
    }
}

pub(super) async fn append(
    transaction: &mut Transaction<'_, Sqlite>,
    entry: &NewAuditEntry,
) -> Result<(), StoreError> {
    let previous: Option<String> =
        sqlx::query_scalar("SELECT hash FROM audit ORDER BY seq DESC LIMIT 1")
            .fetch_optional(&mut **transaction)
            .await?;
    let previous = previous.unwrap_or_default();
    let detail = entry.detail.to_string();
    let hash = entry_hash(&previous, entry, &detail);
    sqlx::query(
        "INSERT INTO audit (at_ms, actor, address, action, detail, previous_hash, hash) \
         VALUES (?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(entry.at.as_millis())
    .bind(&entry.actor)
    .bind(&entry.address)
    .bind(&entry.action)
    .bind(detail)
    .bind(previous)
    .bind(hash)
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

fn entry_hash(previous: &str, entry: &NewAuditEntry, detail: &str) -> String {
    let at = entry.at.as_millis().to_string();
    let fields = [
        previous,
        &at,
        &entry.actor,
        &entry.address,
        &entry.action,
        detail,
    ];
    digest_of_fields(fields.map(str::as_bytes))
}

#[derive(Debug, FromRow)]
struct AuditRow {
    seq: i64,
    at_ms: i64,
    actor: String,
    address: String,
    action: String,
    detail: String,
    hash: String,
}

impl AuditRow {
    fn into_entry(self) -> Result<AuditEntry, StoreError> {
        Ok(AuditEntry {
            seq: self.seq,
            at: Timestamp(self.at_ms),
            actor: self.actor,
            address: self.address,
            action: self.action,
            detail: serde_json::from_str(&self.detail).map_err(StoreError::corrupt("audit"))?,
            hash: self.hash,
        })
    }
}
