//! Repairs: frozen when they are confirmed, then recorded chunk by chunk. The revisions of a chunk, how
//! far the repair has come and its audit entry are one transaction.

use sqlx::{FromRow, Sqlite, Transaction};

use super::bulk_actions::{decode_selection, encode_selection};
use super::revisions;
use super::{NewAuditEntry, NewRevision, Store, StoreError, audit};
use crate::domain::{
    BulkSelection, DeadLetterId, DeadLetterIds, DeadLetterStatus, Repair, RepairId, RepairOutcome,
    RepairResult, RevisionNumber, Timestamp, sha256_hex,
};

/// A dead letter that is not open is not repaired: what was sent or put aside stays what it was.
const OPEN: DeadLetterStatus = DeadLetterStatus::Open;

/// A repair as it was confirmed.
#[derive(Clone, Debug)]
pub struct NewRepair {
    pub program: String,
    pub note: Option<String>,
    pub selection: BulkSelection,
    pub requested_at: Timestamp,
    pub requested_by: String,
    /// From where, for the audit.
    pub address: String,
}

impl Store {
    /// Freezes a repair: what arrives later is not part of it.
    pub async fn create_repair(&self, repair: &NewRepair) -> Result<RepairId, StoreError> {
        let (selected_by, selection) = encode_selection(&repair.selection)?;
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let created = sqlx::query(
            "INSERT INTO repairs (program, note, selection, selected_by, requested_at_ms, \
             requested_by, address, through) VALUES (?, ?, ?, ?, ?, ?, ?, \
             (SELECT COALESCE(MAX(id), 0) FROM dead_letters))",
        )
        .bind(&repair.program)
        .bind(repair.note.as_deref())
        .bind(selection)
        .bind(selected_by)
        .bind(repair.requested_at.as_millis())
        .bind(&repair.requested_by)
        .bind(&repair.address)
        .execute(&mut *transaction)
        .await?;
        let id = RepairId(created.last_insert_rowid());
        audit::append(&mut transaction, &creation_entry(id, repair)).await?;
        transaction.commit().await?;
        Ok(id)
    }

    pub async fn repair(&self, id: RepairId) -> Result<Repair, StoreError> {
        let row: Option<RepairRow> = sqlx::query_as(
            "SELECT id, program, note, selection, selected_by, requested_at_ms, requested_by, \
             address, position, through, changed, unchanged, failed, finished_at_ms, problem \
             FROM repairs WHERE id = ?",
        )
        .bind(id.0)
        .fetch_optional(&self.reader)
        .await?;
        row.ok_or(StoreError::NoSuchRepair(id))?.into_repair()
    }

    /// The oldest repair that is not finished.
    pub async fn unfinished_repair(&self) -> Result<Option<RepairId>, StoreError> {
        let sql = "SELECT id FROM repairs WHERE finished_at_ms IS NULL ORDER BY id LIMIT 1";
        let id: Option<i64> = sqlx::query_scalar(sql).fetch_optional(&self.reader).await?;
        Ok(id.map(RepairId))
    }

    /// Open dead letters of a selection, oldest first: those of `range`, beyond its first up to its last.
    pub async fn repairable(
        &self,
        selection: &BulkSelection,
        now: Timestamp,
        range: (DeadLetterId, DeadLetterId),
        limit: u32,
    ) -> Result<Vec<DeadLetterId>, StoreError> {
        self.selected(selection, OPEN, now, range, limit).await
    }

    /// How many dead letters of a selection are open.
    pub async fn count_repairable(
        &self,
        selection: &BulkSelection,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        self.count_selected(selection, OPEN, now).await
    }

    /// Writes what a chunk of a repair did, up to `position`, and ends it if `is_last` says so.
    pub async fn record_repair(
        &self,
        id: RepairId,
        results: Vec<RepairResult>,
        (position, finished_at): (DeadLetterId, Option<Timestamp>),
        now: Timestamp,
    ) -> Result<Repair, StoreError> {
        let mut repair = self.repair(id).await?;
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let mut changed = Vec::new();
        for result in results {
            let letter = result.dead_letter;
            match record(&mut transaction, &repair, result, now).await? {
                Recorded::Unchanged => repair.unchanged += 1,
                Recorded::Failed => repair.failed += 1,
                Recorded::Changed => changed.push(letter),
            }
        }
        repair.changed += changed.len() as u64;
        if !changed.is_empty() {
            let changed = changed.into_iter().collect();
            audit::append(&mut transaction, &chunk_entry(&repair, &changed, now)).await?;
        }
        repair.position = position;
        repair.finished_at = finished_at;
        put_progress(&mut transaction, &repair).await?;
        transaction.commit().await?;
        Ok(repair)
    }

    /// Ends a repair that cannot go on.
    pub async fn fail_repair(
        &self,
        id: RepairId,
        problem: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        sqlx::query("UPDATE repairs SET finished_at_ms = ?, problem = ? WHERE id = ?")
            .bind(now.as_millis())
            .bind(problem)
            .bind(id.0)
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    /// The first dead letters on which a repair failed, each with the reason.
    pub async fn repair_failures(
        &self,
        id: RepairId,
        limit: u32,
    ) -> Result<Vec<(DeadLetterId, String)>, StoreError> {
        let rows: Vec<(i64, String)> = sqlx::query_as(
            "SELECT dead_letter, problem FROM repair_results \
             WHERE repair = ? AND problem IS NOT NULL ORDER BY dead_letter LIMIT ?",
        )
        .bind(id.0)
        .bind(limit)
        .fetch_all(&self.reader)
        .await?;
        let rows = rows.into_iter();
        Ok(rows.map(|(id, why)| (DeadLetterId(id), why)).collect())
    }
}

enum Recorded {
    Unchanged,
    Changed,
    Failed,
}

async fn record(
    transaction: &mut Transaction<'_, Sqlite>,
    repair: &Repair,
    result: RepairResult,
    now: Timestamp,
) -> Result<Recorded, StoreError> {
    let letter = result.dead_letter;
    let (revision, problem) = match result.outcome {
        RepairOutcome::Unchanged => return Ok(Recorded::Unchanged),
        RepairOutcome::Failed(why) => (None, Some(why)),
        RepairOutcome::Changed { builds_on, message } => {
            if is_as_read(transaction, letter, builds_on).await? {
                let revision = NewRevision {
                    dead_letter: letter,
                    builds_on,
                    message,
                    author: repair.requested_by.clone(),
                    note: Some(revision_note(repair)),
                    at: now,
                };
                let number = revisions::insert(transaction, &revision).await?;
                (Some(number), None)
            } else {
                let why = "it was edited, replayed or put aside while the repair ran";
                (None, Some(why.to_owned()))
            }
        }
    };
    sqlx::query(
        "INSERT INTO repair_results (repair, dead_letter, revision, problem) VALUES (?, ?, ?, ?)",
    )
    .bind(repair.id.0)
    .bind(letter.0)
    .bind(revision.map(|number| number.0))
    .bind(problem)
    .execute(&mut **transaction)
    .await?;
    Ok(match revision {
        Some(_) => Recorded::Changed,
        None => Recorded::Failed,
    })
}

/// Whether nobody was quicker.
async fn is_as_read(
    transaction: &mut Transaction<'_, Sqlite>,
    letter: DeadLetterId,
    builds_on: RevisionNumber,
) -> Result<bool, StoreError> {
    let sql = "SELECT status, latest_revision FROM dead_letters WHERE id = ?";
    let (status, latest): (String, u32) = sqlx::query_as(sql)
        .bind(letter.0)
        .fetch_one(&mut **transaction)
        .await?;
    Ok(status == OPEN.as_str() && RevisionNumber(latest) == builds_on)
}

fn revision_note(repair: &Repair) -> String {
    match &repair.note {
        Some(note) => format!("repair {}: {note}", repair.id),
        None => format!("repair {}", repair.id),
    }
}

async fn put_progress(
    transaction: &mut Transaction<'_, Sqlite>,
    repair: &Repair,
) -> Result<(), StoreError> {
    let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    sqlx::query(
        "UPDATE repairs SET position = ?, changed = ?, unchanged = ?, failed = ?, \
         finished_at_ms = ? WHERE id = ?",
    )
    .bind(repair.position.0)
    .bind(count(repair.changed))
    .bind(count(repair.unchanged))
    .bind(count(repair.failed))
    .bind(repair.finished_at.map(Timestamp::as_millis))
    .bind(repair.id.0)
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

fn creation_entry(id: RepairId, repair: &NewRepair) -> NewAuditEntry {
    NewAuditEntry {
        at: repair.requested_at,
        actor: repair.requested_by.clone(),
        address: repair.address.clone(),
        action: "repair.create".to_owned(),
        detail: serde_json::json!({
            "repair": id.0,
            "selection": repair.selection.describe(),
            "program": repair.program,
            "note": repair.note,
        }),
    }
}

/// The exact set of a chunk.
fn chunk_entry(repair: &Repair, changed: &DeadLetterIds, now: Timestamp) -> NewAuditEntry {
    NewAuditEntry {
        at: now,
        actor: repair.requested_by.clone(),
        address: repair.address.clone(),
        action: "dead_letter.repair".to_owned(),
        detail: serde_json::json!({
            "repair": repair.id.0,
            "count": changed.len(),
            "dead_letters": changed,
            "program_sha256": sha256_hex(repair.program.as_bytes()),
        }),
    }
}

#[derive(Debug, FromRow)]
struct RepairRow {
    id: i64,
    program: String,
    note: Option<String>,
    selection: String,
    selected_by: String,
    requested_at_ms: i64,
    requested_by: String,
    address: String,
    position: i64,
    through: i64,
    changed: i64,
    unchanged: i64,
    failed: i64,
    finished_at_ms: Option<i64>,
    problem: Option<String>,
}

impl RepairRow {
    fn into_repair(self) -> Result<Repair, StoreError> {
        let id = RepairId(self.id);
        let count = |number: i64| u64::try_from(number).unwrap_or(0);
        Ok(Repair {
            id,
            program: self.program,
            note: self.note,
            selection: decode_selection(&self.selected_by, &self.selection)?
                .map_err(|reason| StoreError::UnreadableRepair { id, reason })?,
            requested_at: Timestamp(self.requested_at_ms),
            requested_by: self.requested_by,
            address: self.address,
            position: DeadLetterId(self.position),
            through: DeadLetterId(self.through),
            changed: count(self.changed),
            unchanged: count(self.unchanged),
            failed: count(self.failed),
            finished_at: self.finished_at_ms.map(Timestamp),
            problem: self.problem,
        })
    }
}
