//! Removing what nobody needs any more, in chunks that hold up no other writer, each with its audit
//! entry. Groups, totals, job counts, cursors and the audit stay: what was removed is not indexed
//! again, and no counter goes back.

use sqlx::{FromRow, QueryBuilder, Sqlite, Transaction};

use super::{NewAuditEntry, Store, StoreError, audit};
use crate::domain::{DeadLetterId, DeadLetterIds, Timestamp};

/// Dead letters that one transaction removes, and the bytes that they may have together.
const CHUNK: i64 = 200;
const CHUNK_BYTES: i64 = 8 * 1024 * 1024;

/// Pages that one transaction gives back to the file system.
const VACUUMED_PAGES: u32 = 1_000;

const RUNS_KEPT: i64 = 50;

/// Tables whose rows are parts of a dead letter, by their column for it.
const PARTS: [(&str, &str); 7] = [
    ("bodies", "dead_letter"),
    ("unkept_bodies", "dead_letter"),
    ("revisions", "dead_letter"),
    ("drafts", "dead_letter"),
    ("replay_plans", "dead_letter"),
    ("repair_results", "dead_letter"),
    ("discarded_dead_letters", "dead_letter"),
];

/// What may never be removed: whose replay is not settled, what still lies in an observed queue, where
/// the next look would find it anew, what RabbitMQ may deliver again, and what is on its way back into
/// its queue.
const UNTOUCHED: &str = "(d.system <> 'rabbitmq' OR d.custody <> 'broker' OR d.status = 'gone') \
     AND NOT EXISTS (SELECT 1 FROM replays r WHERE r.dead_letter = d.id \
     AND r.state IN ('planned', 'sending', 'sent', 'passed', 'unknown')) \
     AND NOT EXISTS (SELECT 1 FROM unacknowledged u WHERE u.dead_letter = d.id) \
     AND NOT EXISTS (SELECT 1 FROM returns b WHERE b.dead_letter = d.id AND b.state <> 'returned')";

/// Which dead letters are removed, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// Discarded ones whose discard has expired.
    Expired,
    /// Settled ones that the store has held since before a time.
    Old { before: Timestamp, open_too: bool },
    /// The oldest settled ones, because the store is too large.
    Oldest { open_too: bool },
}

impl Removal {
    /// The word for metrics and the audit.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Old { .. } => "age",
            Self::Oldest { .. } => "size",
        }
    }

    const fn open_too(self) -> bool {
        match self {
            Self::Expired => false,
            Self::Old { open_too, .. } | Self::Oldest { open_too } => open_too,
        }
    }
}

/// What one chunk removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    pub count: u64,
    /// The last one that was looked at; none if there was nothing left.
    pub position: Option<DeadLetterId>,
}

/// Space of the database file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreSpace {
    pub bytes: u64,
    /// Of those, the ones that hold nothing.
    pub free_bytes: u64,
}

impl StoreSpace {
    pub const fn used_bytes(self) -> u64 {
        self.bytes.saturating_sub(self.free_bytes)
    }
}

/// One pass of retention over the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetentionRun {
    pub started_at: Timestamp,
    pub finished_at: Timestamp,
    pub removed: u64,
    pub bytes_before: u64,
    pub bytes_after: u64,
    /// What it could not do.
    pub problem: Option<String>,
}

impl Store {
    /// Removes the next chunk of those after `position`.
    pub async fn remove_chunk(
        &self,
        removal: Removal,
        position: DeadLetterId,
        now: Timestamp,
    ) -> Result<Removed, StoreError> {
        let ids = self.removable(removal, position, now).await?;
        let Some(last) = ids.last().copied() else {
            return Ok(Removed::default());
        };
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let still = still_removable(&mut transaction, removal, &ids, now).await?;
        if !still.is_empty() {
            remove(&mut transaction, &still).await?;
            audit::append(&mut transaction, &entry(removal, &still, now)).await?;
        }
        transaction.commit().await?;
        Ok(Removed {
            count: still.len() as u64,
            position: Some(DeadLetterId(last)),
        })
    }

    /// Candidates in the order of their IDs. A reader finds them: what is skipped holds up no writer.
    async fn removable(
        &self,
        removal: Removal,
        position: DeadLetterId,
        now: Timestamp,
    ) -> Result<Vec<i64>, StoreError> {
        let through = match removal {
            Removal::Old { before, .. } => self.last_indexed_before(before).await?,
            Removal::Expired | Removal::Oldest { .. } => i64::MAX,
        };
        let mut query = QueryBuilder::new("SELECT id, size FROM (");
        for (index, status) in statuses(removal).iter().enumerate() {
            if index > 0 {
                query.push(" UNION ALL ");
            }
            query.push("SELECT * FROM (SELECT d.id, d.size FROM dead_letters d WHERE d.status = ");
            query.push_bind(*status);
            query.push(" AND d.id > ").push_bind(position.0);
            query.push(" AND d.id <= ").push_bind(through);
            query.push(" AND ");
            push_condition(&mut query, removal, now);
            query.push(format!(" ORDER BY d.id LIMIT {CHUNK})"));
        }
        query.push(format!(") ORDER BY id LIMIT {CHUNK}"));
        let rows: Vec<(i64, i64)> = query.build_query_as().fetch_all(&self.reader).await?;
        let mut bytes = 0;
        let within = rows.iter().take_while(|(_, size)| {
            let fits = bytes < CHUNK_BYTES;
            bytes += size;
            fits
        });
        Ok(within.map(|(id, _)| *id).collect())
    }

    /// The last dead letter that the store has held since before a time. IDs ascend in the order of
    /// arrival, so halving finds it without an index by time.
    async fn last_indexed_before(&self, before: Timestamp) -> Result<i64, StoreError> {
        let mut low = 0;
        let mut high = self.newest_id().await?.0;
        while low < high {
            let middle = low + (high - low + 1) / 2;
            // The newest one up to the middle; between two there may be a gap.
            let indexed_at: Option<i64> = sqlx::query_scalar(
                "SELECT indexed_at_ms FROM dead_letters WHERE id <= ? ORDER BY id DESC LIMIT 1",
            )
            .bind(middle)
            .fetch_optional(&self.reader)
            .await?;
            if indexed_at.is_none_or(|at| at < before.as_millis()) {
                low = middle;
            } else {
                high = middle - 1;
            }
        }
        Ok(low)
    }

    /// Gives some free pages back to the file system; `false` if none is left.
    pub async fn give_back_pages(&self) -> Result<bool, StoreError> {
        let sql = format!("PRAGMA incremental_vacuum({VACUUMED_PAGES})");
        sqlx::query(sqlx::AssertSqlSafe(sql))
            .fetch_all(&self.writer)
            .await?;
        let left: i64 = sqlx::query_scalar("SELECT freelist_count FROM pragma_freelist_count()")
            .fetch_one(&self.writer)
            .await?;
        Ok(left > 0)
    }

    pub async fn space(&self) -> Result<StoreSpace, StoreError> {
        let (bytes, free): (i64, i64) = sqlx::query_as(
            "SELECT page_count * page_size, freelist_count * page_size \
             FROM pragma_page_count(), pragma_freelist_count(), pragma_page_size()",
        )
        .fetch_one(&self.reader)
        .await?;
        Ok(StoreSpace {
            bytes: u64::try_from(bytes).unwrap_or(0),
            free_bytes: u64::try_from(free).unwrap_or(0),
        })
    }

    pub async fn note_retention_run(&self, run: &RetentionRun) -> Result<(), StoreError> {
        let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        sqlx::query(
            "INSERT INTO retention_runs (started_at_ms, finished_at_ms, removed, bytes_before, \
             bytes_after, problem) VALUES (?, ?, ?, ?, ?, ?)",
        )
        .bind(run.started_at.as_millis())
        .bind(run.finished_at.as_millis())
        .bind(number(run.removed))
        .bind(number(run.bytes_before))
        .bind(number(run.bytes_after))
        .bind(&run.problem)
        .execute(&mut *transaction)
        .await?;
        sqlx::query(
            "DELETE FROM retention_runs WHERE id <= (SELECT MAX(id) FROM retention_runs) - ?",
        )
        .bind(RUNS_KEPT)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// The last run, and the last one that removed something.
    pub async fn last_retention_runs(
        &self,
    ) -> Result<(Option<RetentionRun>, Option<RetentionRun>), StoreError> {
        let last = "SELECT * FROM retention_runs ORDER BY id DESC LIMIT 1";
        let last: Option<RunRow> = sqlx::query_as(last).fetch_optional(&self.reader).await?;
        let busy = "SELECT * FROM retention_runs WHERE removed > 0 ORDER BY id DESC LIMIT 1";
        let busy: Option<RunRow> = sqlx::query_as(busy).fetch_optional(&self.reader).await?;
        Ok((last.map(RetentionRun::from), busy.map(RetentionRun::from)))
    }
}

fn statuses(removal: Removal) -> &'static [&'static str] {
    match removal {
        Removal::Expired => &["discarded"],
        _ if removal.open_too() => &["replayed", "gone", "open"],
        _ => &["replayed", "gone"],
    }
}

fn push_condition(query: &mut QueryBuilder<Sqlite>, removal: Removal, now: Timestamp) {
    query.push(UNTOUCHED);
    match removal {
        Removal::Expired => {
            query
                .push(
                    " AND EXISTS (SELECT 1 FROM discarded_dead_letters x \
                     JOIN bulk_actions a ON a.id = x.action \
                     WHERE x.dead_letter = d.id AND a.expires_at_ms <= ",
                )
                .push_bind(now.as_millis())
                .push(")");
        }
        Removal::Old { before, .. } => {
            query
                .push(" AND d.indexed_at_ms < ")
                .push_bind(before.as_millis());
        }
        Removal::Oldest { .. } => {}
    }
}

/// A replay or a restore may have been quicker.
async fn still_removable(
    transaction: &mut Transaction<'_, Sqlite>,
    removal: Removal,
    ids: &[i64],
    now: Timestamp,
) -> Result<Vec<i64>, StoreError> {
    let mut query = QueryBuilder::new("SELECT d.id FROM json_each(");
    query.push_bind(json_list(ids)?);
    query.push(") j JOIN dead_letters d ON d.id = j.value WHERE d.status IN (");
    let mut list = query.separated(", ");
    for status in statuses(removal) {
        list.push_bind(*status);
    }
    query.push(") AND ");
    push_condition(&mut query, removal, now);
    Ok(query
        .build_query_scalar()
        .fetch_all(&mut **transaction)
        .await?)
}

async fn remove(transaction: &mut Transaction<'_, Sqlite>, ids: &[i64]) -> Result<(), StoreError> {
    let ids = json_list(ids)?;
    // By way of a change of status, so that what counts the open ones counts it.
    let close = "UPDATE dead_letters SET status = 'gone' WHERE status = 'open' \
                 AND id IN (SELECT value FROM json_each(?))";
    sqlx::query(close)
        .bind(&ids)
        .execute(&mut **transaction)
        .await?;
    for (table, column) in PARTS.iter().chain(&[("dead_letters", "id")]) {
        let sql = format!("DELETE FROM {table} WHERE {column} IN (SELECT value FROM json_each(?))");
        sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(&ids)
            .execute(&mut **transaction)
            .await?;
    }
    sqlx::query("UPDATE removed_dead_letters SET number = number + json_array_length(?)")
        .bind(&ids)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

fn entry(removal: Removal, ids: &[i64], now: Timestamp) -> NewAuditEntry {
    let removed: DeadLetterIds = ids.iter().copied().map(DeadLetterId).collect();
    NewAuditEntry {
        at: now,
        actor: "system".to_owned(),
        address: String::new(),
        action: "retention.remove".to_owned(),
        detail: serde_json::json!({
            "count": removed.len(),
            "reason": removal.reason(),
            "dead_letters": removed,
        }),
    }
}

fn json_list(ids: &[i64]) -> Result<String, StoreError> {
    serde_json::to_string(ids).map_err(StoreError::corrupt("a list of dead letters"))
}

#[derive(Debug, FromRow)]
struct RunRow {
    started_at_ms: i64,
    finished_at_ms: i64,
    removed: i64,
    bytes_before: i64,
    bytes_after: i64,
    problem: Option<String>,
}

impl From<RunRow> for RetentionRun {
    fn from(row: RunRow) -> Self {
        let number = |value: i64| u64::try_from(value).unwrap_or(0);
        Self {
            started_at: Timestamp(row.started_at_ms),
            finished_at: Timestamp(row.finished_at_ms),
            removed: number(row.removed),
            bytes_before: number(row.bytes_before),
            bytes_after: number(row.bytes_after),
            problem: row.problem,
        }
    }
}

#[cfg(test)]
mod tests;
