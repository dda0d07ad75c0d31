//! Who did what to which events. Each entry's hash covers its own fields and the hash before, so
//! that a changed or removed row breaks the chain; [`verify`] finds where.

mod verify;

use serde::Serialize;
use sqlx::{FromRow, Sqlite, Transaction};

use super::{Page, PageRequest, Store, StoreError};
use crate::domain::{Timestamp, digest_of_fields};

pub use verify::{AuditFault, AuditReport, verify_audit};

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
    pub previous_hash: String,
    pub hash: String,
}

/// The newest entry: whoever keeps its hash elsewhere can prove later that nothing before it changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditHead {
    pub seq: i64,
    pub hash: String,
}

/// Which entries are asked for; the default asks for all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    pub actor: Option<String>,
    /// A whole action (`replay.create`) or the noun before its dot (`replay`).
    pub action: Option<String>,
    /// Entries from here on.
    pub since: Option<Timestamp>,
    /// Entries before this.
    pub until: Option<Timestamp>,
}

/// The conditions of an [`AuditFilter`], bound as parameters 2 to 5.
const FILTER_SQL: &str = "(?2 IS NULL OR actor = ?2) \
     AND (?3 IS NULL OR action = ?3 OR substr(action, 1, length(?3) + 1) = ?3 || '.') \
     AND (?4 IS NULL OR at_ms >= ?4) AND (?5 IS NULL OR at_ms < ?5)";

const COLUMNS: &str = "seq, at_ms, actor, address, action, detail, previous_hash, hash";

/// Actions that the page offers are those of so many newest entries.
const RECENT_ENTRIES: i64 = 5_000;

impl Store {
    /// Stores an entry of its own; most are written in the transaction of what they tell.
    pub async fn append_audit(&self, entry: &NewAuditEntry) -> Result<(), StoreError> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        append(&mut transaction, entry).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// The audit, newest first.
    pub async fn audit(
        &self,
        filter: &AuditFilter,
        page: &PageRequest,
    ) -> Result<Page<AuditEntry>, StoreError> {
        let before = page.key()?.unwrap_or(i64::MAX);
        let order = "seq < ?1 ORDER BY seq DESC LIMIT ?6";
        let entries = self.audit_rows(filter, order, before, page.rows()).await?;
        Ok(Page::of(entries, page, |entry: &AuditEntry| entry.seq))
    }

    /// At most `limit` entries after `seq`, oldest first: the next part of an export.
    pub async fn audit_after(
        &self,
        filter: &AuditFilter,
        seq: i64,
        limit: u32,
    ) -> Result<Vec<AuditEntry>, StoreError> {
        let order = "seq > ?1 ORDER BY seq LIMIT ?6";
        self.audit_rows(filter, order, seq, limit.into()).await
    }

    async fn audit_rows(
        &self,
        filter: &AuditFilter,
        order: &str,
        seq: i64,
        limit: i64,
    ) -> Result<Vec<AuditEntry>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM audit WHERE {FILTER_SQL} AND {order}");
        let rows: Vec<AuditRow> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(seq)
            .bind(filter.actor.as_deref())
            .bind(filter.action.as_deref())
            .bind(filter.since.map(Timestamp::as_millis))
            .bind(filter.until.map(Timestamp::as_millis))
            .bind(limit)
            .fetch_all(&self.reader)
            .await?;
        Ok(rows.into_iter().map(AuditRow::into_entry).collect())
    }

    /// The newest entry, if there is any.
    pub async fn audit_head(&self) -> Result<Option<AuditHead>, StoreError> {
        let sql = "SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1";
        let head: Option<(i64, String)> = sqlx::query_as(sql).fetch_optional(&self.reader).await?;
        Ok(head.map(|(seq, hash)| AuditHead { seq, hash }))
    }

    /// The actions of the newest entries, by name.
    pub async fn audit_actions(&self) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT DISTINCT action FROM (SELECT action FROM audit ORDER BY seq DESC LIMIT ?) \
             ORDER BY action";
        let actions = sqlx::query_scalar(sql).bind(RECENT_ENTRIES);
        Ok(actions.fetch_all(&self.reader).await?)
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
    let mut row = AuditRow {
        seq: 0,
        at_ms: entry.at.as_millis(),
        actor: entry.actor.clone(),
        address: entry.address.clone(),
        action: entry.action.clone(),
        detail: entry.detail.to_string(),
        previous_hash: previous.unwrap_or_default(),
        hash: String::new(),
    };
    row.hash = row.computed_hash();
    sqlx::query(
        "INSERT INTO audit (at_ms, actor, address, action, detail, previous_hash, hash) \
         VALUES (?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(row.at_ms)
    .bind(row.actor)
    .bind(row.address)
    .bind(row.action)
    .bind(row.detail)
    .bind(row.previous_hash)
    .bind(row.hash)
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

#[derive(Debug, FromRow)]
struct AuditRow {
    /// Given by the database; gaps show in [`verify`], so the hash need not cover it.
    seq: i64,
    at_ms: i64,
    actor: String,
    address: String,
    action: String,
    detail: String,
    previous_hash: String,
    hash: String,
}

impl AuditRow {
    fn computed_hash(&self) -> String {
        let at = self.at_ms.to_string();
        let fields = [
            &self.previous_hash,
            &at,
            &self.actor,
            &self.address,
            &self.action,
            &self.detail,
        ];
        digest_of_fields(fields.map(String::as_bytes))
    }

    fn into_entry(self) -> AuditEntry {
        AuditEntry {
            seq: self.seq,
            at: Timestamp(self.at_ms),
            actor: self.actor,
            address: self.address,
            action: self.action,
            // Only a hand that went round Redrive writes what is no JSON; the page must show it.
            detail: serde_json::from_str(&self.detail)
                .unwrap_or(serde_json::Value::String(self.detail)),
            previous_hash: self.previous_hash,
            hash: self.hash,
        }
    }
}
