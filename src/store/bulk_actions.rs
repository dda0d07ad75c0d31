//! Discards and restores: frozen when they are confirmed, then done chunk by chunk. What a chunk
//! changes, how far the action has come and its audit entry are one transaction, so that an action
//! goes on after a crash where it was, and the audit names exactly what was changed.

use sqlx::{FromRow, QueryBuilder, Sqlite, Transaction};

use super::dead_letters::SUMMARY_COLUMNS;
use super::dead_letters::SummaryRow;
use super::{NewAuditEntry, Page, PageRequest, Store, StoreError, audit, filter_sql};
use crate::domain::{
    BulkAction, BulkActionId, BulkActionKind, BulkSelection, DeadLetterId, DeadLetterIds,
    DeadLetterStatus, DeadLetterSummary, Discard, Filter, Timestamp,
};

/// Dead letters that one transaction changes: a few milliseconds of work beside its sync.
const CHUNK: u32 = 1_000;

const COLUMNS: &str = "id, kind, selection, selected_by, requested_at_ms, requested_by, address, \
     reason, expires_at_ms, position, through, changed, finished_at_ms, problem";

/// A bulk action as it was confirmed.
#[derive(Clone, Debug)]
pub struct NewBulkAction {
    pub kind: BulkActionKind,
    pub selection: BulkSelection,
    pub requested_at: Timestamp,
    pub requested_by: String,
    /// From where, for the audit.
    pub address: String,
}

impl Store {
    /// Freezes an action: what arrives later is not part of it. [`Store::continue_bulk_action`] does it.
    pub async fn create_bulk_action(
        &self,
        action: &NewBulkAction,
    ) -> Result<BulkActionId, StoreError> {
        let (reason, expires_at) = match &action.kind {
            BulkActionKind::Discard { reason, expires_at } => {
                (Some(reason.as_str()), Some(expires_at.as_millis()))
            }
            BulkActionKind::Restore => (None, None),
        };
        let (selected_by, selection) = encode_selection(&action.selection)?;
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let created = sqlx::query(
            "INSERT INTO bulk_actions (kind, selection, selected_by, requested_at_ms, requested_by, \
             address, reason, expires_at_ms, through) VALUES (?, ?, ?, ?, ?, ?, ?, ?, \
             (SELECT COALESCE(MAX(id), 0) FROM dead_letters))",
        )
        .bind(action.kind.as_str())
        .bind(selection)
        .bind(selected_by)
        .bind(action.requested_at.as_millis())
        .bind(&action.requested_by)
        .bind(&action.address)
        .bind(reason)
        .bind(expires_at)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(BulkActionId(created.last_insert_rowid()))
    }

    /// Does the next chunk of an action and answers how it stands then.
    pub async fn continue_bulk_action(
        &self,
        id: BulkActionId,
        now: Timestamp,
    ) -> Result<BulkAction, StoreError> {
        let mut action = self.bulk_action(id).await?;
        if action.finished_at.is_some() {
            return Ok(action);
        }
        let (status, range) = (
            status_before(&action.kind),
            (action.position, action.through),
        );
        let (selection, frozen_at) = (&action.selection, action.requested_at);
        let ids = self
            .selected(selection, status, frozen_at, range, CHUNK)
            .await?;
        let is_last = ids.len() < CHUNK as usize;
        let position = ids.last().copied().unwrap_or(action.through);
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let changed = change_chunk(&mut transaction, &action, &ids).await?;
        if !changed.is_empty() {
            let changed = changed.iter().copied().collect();
            audit::append(&mut transaction, &chunk_entry(&action, &changed, now)).await?;
        }
        action.position = position;
        action.changed += changed.len() as u64;
        action.finished_at = is_last.then_some(now);
        put_progress(&mut transaction, &action).await?;
        transaction.commit().await?;
        Ok(action)
    }

    /// Ends an action that cannot go on.
    pub async fn fail_bulk_action(
        &self,
        id: BulkActionId,
        problem: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        sqlx::query("UPDATE bulk_actions SET finished_at_ms = ?, problem = ? WHERE id = ?")
            .bind(now.as_millis())
            .bind(problem)
            .bind(id.0)
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    /// The oldest action that is not finished.
    pub async fn unfinished_bulk_action(&self) -> Result<Option<BulkActionId>, StoreError> {
        let sql = "SELECT id FROM bulk_actions WHERE finished_at_ms IS NULL ORDER BY id LIMIT 1";
        let id: Option<i64> = sqlx::query_scalar(sql).fetch_optional(&self.reader).await?;
        Ok(id.map(BulkActionId))
    }

    pub async fn bulk_action(&self, id: BulkActionId) -> Result<BulkAction, StoreError> {
        let mut query =
            QueryBuilder::<Sqlite>::new(format!("SELECT {COLUMNS} FROM bulk_actions WHERE id = "));
        query.push_bind(id.0);
        let row: Option<ActionRow> = query.build_query_as().fetch_optional(&self.reader).await?;
        row.ok_or(StoreError::NoSuchBulkAction(id))?.into_action()
    }

    /// How many dead letters an action on this selection would change now.
    pub async fn count_changeable(
        &self,
        kind: &BulkActionKind,
        selection: &BulkSelection,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        self.count_selected(selection, status_before(kind), now)
            .await
    }

    /// How many dead letters of a selection have a status.
    pub(super) async fn count_selected(
        &self,
        selection: &BulkSelection,
        status: DeadLetterStatus,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let mut query = select_with_status("COUNT(*)", selection, status, now)?;
        let count: i64 = query.build_query_scalar().fetch_one(&self.reader).await?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    /// Those of a selection that have a status, oldest first, after `after` up to `through`. A reader finds
    /// them, so that a filter that matches little holds up no writer.
    pub(super) async fn selected(
        &self,
        selection: &BulkSelection,
        status: DeadLetterStatus,
        now: Timestamp,
        (after, through): (DeadLetterId, DeadLetterId),
        limit: u32,
    ) -> Result<Vec<DeadLetterId>, StoreError> {
        let mut query = select_with_status("id", selection, status, now)?;
        query.push(" AND id > ").push_bind(after.0);
        query.push(" AND id <= ").push_bind(through.0);
        query
            .push(" ORDER BY id LIMIT ")
            .push_bind(i64::from(limit));
        let ids: Vec<i64> = query.build_query_scalar().fetch_all(&self.reader).await?;
        Ok(ids.into_iter().map(DeadLetterId).collect())
    }

    /// Discarded dead letters that match, those indexed last first, each with its discard.
    pub async fn discarded(
        &self,
        filter: &Filter,
        now: Timestamp,
        page: &PageRequest,
    ) -> Result<Page<(DeadLetterSummary, Discard)>, StoreError> {
        let mut query = QueryBuilder::new(format!(
            "SELECT {SUMMARY_COLUMNS} FROM dead_letters WHERE status = 'discarded' AND "
        ));
        filter_sql::push(&mut query, filter, now);
        if let Some(last) = page.key()? {
            query.push(" AND id < ").push_bind(last);
        }
        query
            .push(" ORDER BY id DESC LIMIT ")
            .push_bind(page.rows());
        let rows: Vec<SummaryRow> = query.build_query_as().fetch_all(&self.reader).await?;
        let letters = rows.into_iter().map(DeadLetterSummary::from).collect();
        let page = Page::of(letters, page, |letter: &DeadLetterSummary| letter.id.0);
        let mut items = Vec::with_capacity(page.items.len());
        for letter in page.items {
            // One that was restored meanwhile is left out.
            if let Some(discard) = self.discard_of(letter.id).await? {
                items.push((letter, discard));
            }
        }
        Ok(Page {
            items,
            next_cursor: page.next_cursor,
        })
    }

    /// Why a dead letter is discarded, if it is.
    pub async fn discard_of(&self, id: DeadLetterId) -> Result<Option<Discard>, StoreError> {
        let row: Option<DiscardRow> = sqlx::query_as(
            "SELECT a.id, a.requested_at_ms, a.requested_by, a.reason, a.expires_at_ms \
             FROM discarded_dead_letters d JOIN bulk_actions a ON a.id = d.action \
             WHERE d.dead_letter = ?",
        )
        .bind(id.0)
        .fetch_optional(&self.reader)
        .await?;
        Ok(row.map(|(action, at, by, reason, expires_at)| Discard {
            action: BulkActionId(action),
            at: Timestamp(at),
            by,
            reason: reason.unwrap_or_default(),
            expires_at: Timestamp(expires_at.unwrap_or(i64::MAX)),
        }))
    }
}

/// The status from which an action takes a dead letter.
const fn status_before(kind: &BulkActionKind) -> DeadLetterStatus {
    match kind {
        BulkActionKind::Discard { .. } => DeadLetterStatus::Open,
        BulkActionKind::Restore => DeadLetterStatus::Discarded,
    }
}

const fn status_after(kind: &BulkActionKind) -> DeadLetterStatus {
    match kind {
        BulkActionKind::Discard { .. } => DeadLetterStatus::Discarded,
        BulkActionKind::Restore => DeadLetterStatus::Open,
    }
}

/// Changes those of the chunk that are still in the status from which the action takes them: a replay
/// may have been quicker.
async fn change_chunk(
    transaction: &mut Transaction<'_, Sqlite>,
    action: &BulkAction,
    ids: &[DeadLetterId],
) -> Result<Vec<DeadLetterId>, StoreError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let changed: Vec<i64> = sqlx::query_scalar(
        "UPDATE dead_letters SET status = ? WHERE status = ? \
         AND id IN (SELECT value FROM json_each(?)) RETURNING id",
    )
    .bind(status_after(&action.kind).as_str())
    .bind(status_before(&action.kind).as_str())
    .bind(json_list(ids)?)
    .fetch_all(&mut **transaction)
    .await?;
    let changed: Vec<DeadLetterId> = changed.into_iter().map(DeadLetterId).collect();
    if matches!(action.kind, BulkActionKind::Discard { .. }) {
        sqlx::query(
            "INSERT INTO discarded_dead_letters (dead_letter, action) \
             SELECT value, ? FROM json_each(?)",
        )
        .bind(action.id.0)
        .bind(json_list(&changed)?)
        .execute(&mut **transaction)
        .await?;
    }
    Ok(changed)
}

async fn put_progress(
    transaction: &mut Transaction<'_, Sqlite>,
    action: &BulkAction,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE bulk_actions SET position = ?, changed = ?, finished_at_ms = ? WHERE id = ?",
    )
    .bind(action.position.0)
    .bind(i64::try_from(action.changed).unwrap_or(i64::MAX))
    .bind(action.finished_at.map(Timestamp::as_millis))
    .bind(action.id.0)
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

fn chunk_entry(action: &BulkAction, changed: &DeadLetterIds, now: Timestamp) -> NewAuditEntry {
    let mut detail = serde_json::json!({
        "count": changed.len(),
        "selection": action.selection.describe(),
        "dead_letters": changed,
        "bulk_action": action.id.0,
    });
    if let BulkActionKind::Discard { reason, expires_at } = &action.kind {
        detail["reason"] = reason.as_str().into();
        detail["expires_at"] = expires_at.to_rfc3339().into();
    }
    NewAuditEntry {
        at: now,
        actor: action.requested_by.clone(),
        address: action.address.clone(),
        action: format!("dead_letter.{}", action.kind.as_str()),
        detail,
    }
}

fn select_with_status(
    what: &str,
    selection: &BulkSelection,
    status: DeadLetterStatus,
    now: Timestamp,
) -> Result<QueryBuilder<Sqlite>, StoreError> {
    let mut query = QueryBuilder::new(format!("SELECT {what} FROM dead_letters WHERE "));
    match selection {
        BulkSelection::Filter(filter) => filter_sql::push(&mut query, filter, now),
        BulkSelection::DeadLetters(ids) => {
            query
                .push("id IN (SELECT value FROM json_each(")
                .push_bind(json_list(ids)?)
                .push("))");
        }
    }
    query.push(" AND status = ").push_bind(status.as_str());
    Ok(query)
}

fn json_list(ids: &[DeadLetterId]) -> Result<String, StoreError> {
    serde_json::to_string(ids).map_err(StoreError::corrupt("a list of dead letters"))
}

pub(super) fn encode_selection(
    selection: &BulkSelection,
) -> Result<(&'static str, String), StoreError> {
    Ok(match selection {
        BulkSelection::DeadLetters(ids) => ("ids", json_list(ids)?),
        BulkSelection::Filter(filter) => ("filter", filter.text().to_owned()),
    })
}

/// The selection as it was written down; the inner error says why its filter is none any more.
pub(super) fn decode_selection(
    selected_by: &str,
    selection: &str,
) -> Result<Result<BulkSelection, String>, StoreError> {
    if selected_by == "ids" {
        let ids = serde_json::from_str(selection);
        let ids = ids.map_err(StoreError::corrupt("a list of dead letters"))?;
        return Ok(Ok(BulkSelection::DeadLetters(ids)));
    }
    let filter = Filter::parse(selection).map_err(|error| error.to_string());
    Ok(filter.map(BulkSelection::Filter))
}

/// Action, time, person, reason and expiry.
type DiscardRow = (i64, i64, String, Option<String>, Option<i64>);

#[derive(Debug, FromRow)]
struct ActionRow {
    id: i64,
    kind: String,
    selection: String,
    selected_by: String,
    requested_at_ms: i64,
    requested_by: String,
    address: String,
    reason: Option<String>,
    expires_at_ms: Option<i64>,
    position: i64,
    through: i64,
    changed: i64,
    finished_at_ms: Option<i64>,
    problem: Option<String>,
}

impl ActionRow {
    fn into_action(self) -> Result<BulkAction, StoreError> {
        let id = BulkActionId(self.id);
        let selection = decode_selection(&self.selected_by, &self.selection)?
            .map_err(|reason| StoreError::UnreadableBulkAction { id, reason })?;
        let kind = if self.kind == "restore" {
            BulkActionKind::Restore
        } else {
            BulkActionKind::Discard {
                reason: self.reason.unwrap_or_default(),
                expires_at: Timestamp(self.expires_at_ms.unwrap_or(i64::MAX)),
            }
        };
        Ok(BulkAction {
            id,
            kind,
            selection,
            requested_at: Timestamp(self.requested_at_ms),
            requested_by: self.requested_by,
            address: self.address,
            position: DeadLetterId(self.position),
            through: DeadLetterId(self.through),
            changed: u64::try_from(self.changed).unwrap_or(0),
            finished_at: self.finished_at_ms.map(Timestamp),
            problem: self.problem,
        })
    }
}

#[cfg(test)]
mod tests;
