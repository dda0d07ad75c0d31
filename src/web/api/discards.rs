use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use super::Body;
use super::dead_letters::Summary;
use super::list::{List, filter, page_request, time};
use crate::domain::{
    BulkAction, BulkActionId, BulkActionKind, BulkSelection, DeadLetterId, DeadLetterSummary,
    Discard, Filter, Timestamp,
};
use crate::store::NewBulkAction;
use crate::web::AppState;
use crate::web::path::Path;
use crate::web::problem::Problem;
use crate::web::views::{PATIENCE, actor, checked_reason};
use crate::web::visit::Visit;

/// For how long a discarded dead letter can be restored if the request does not say.
const DEFAULT_DAYS: u32 = 30;
const MOST_DAYS: u32 = 3_650;

/// Dead letters that are meant: `dead_letter_ids` or `filter`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Selected {
    pub(super) dead_letter_ids: Option<Vec<i64>>,
    pub(super) filter: Option<String>,
}

/// What a discard or restore would do if it were confirmed now.
#[derive(Debug, Serialize)]
pub(super) struct BulkPreflight {
    matching: u64,
    /// Of these, those that would be changed; the others stay as they are.
    eligible: u64,
}

/// What shall be discarded: `dead_letter_ids` or `filter`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewDiscards {
    dead_letter_ids: Option<Vec<i64>>,
    /// The empty filter means all dead letters.
    filter: Option<String>,
    reason: String,
    expires_in_days: Option<u32>,
    /// The number that was seen; if another one would be discarded now, none is.
    eligible: Option<u64>,
}

/// What shall be restored: `dead_letter_ids` or `filter`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewRestores {
    dead_letter_ids: Option<Vec<i64>>,
    /// The empty filter means all that is discarded.
    filter: Option<String>,
    /// The number that was seen; if another one would be restored now, none is.
    eligible: Option<u64>,
}

/// A discard or restore and how far it has come.
#[derive(Debug, Serialize)]
pub(super) struct Action {
    id: i64,
    kind: &'static str,
    selection: String,
    requested_at: String,
    requested_by: String,
    reason: Option<String>,
    expires_at: Option<String>,
    /// Dead letters that it has changed.
    changed: u64,
    /// Null while it goes on.
    finished_at: Option<String>,
    /// Why it ended early.
    problem: Option<String>,
}

/// A discarded dead letter.
#[expect(clippy::struct_field_names, reason = "the names of the wire format")]
#[derive(Debug, Serialize)]
pub(super) struct Discarded {
    #[serde(flatten)]
    summary: Summary,
    discarded_at: String,
    discarded_by: String,
    discard_reason: String,
    expires_at: String,
}

/// Discards what is open of a selection that is frozen now.
pub(super) async fn discard(
    State(state): State<AppState>,
    visit: Visit,
    Body(body): Body<NewDiscards>,
) -> Result<(StatusCode, Json<Action>), Problem> {
    let days = body.expires_in_days.unwrap_or(DEFAULT_DAYS);
    if !(1..=MOST_DAYS).contains(&days) {
        return Err(Problem::bad_request(format!(
            "expires_in_days is {days}; it must be a number from 1 to {MOST_DAYS}"
        )));
    }
    let kind = BulkActionKind::Discard {
        reason: checked_reason(&body.reason)
            .map_err(|problem| Problem::bad_request(format!("reason: {problem}")))?,
        expires_at: visit.now.plus(Duration::from_hours(24 * u64::from(days))),
    };
    let selection = selection(body.dead_letter_ids, body.filter.as_deref())?;
    request(&state, &visit, (kind, selection), body.eligible).await
}

/// How many a discard would put aside. Changes nothing.
pub(super) async fn preflight_discard(
    State(state): State<AppState>,
    visit: Visit,
    Body(body): Body<Selected>,
) -> Result<Json<BulkPreflight>, Problem> {
    let kind = BulkActionKind::Discard {
        reason: String::new(),
        expires_at: visit.now,
    };
    BulkPreflight::of(&state, &visit, &kind, body).await
}

/// How many a restore would bring back. Changes nothing.
pub(super) async fn preflight_restore(
    State(state): State<AppState>,
    visit: Visit,
    Body(body): Body<Selected>,
) -> Result<Json<BulkPreflight>, Problem> {
    BulkPreflight::of(&state, &visit, &BulkActionKind::Restore, body).await
}

impl BulkPreflight {
    async fn of(
        state: &AppState,
        visit: &Visit,
        kind: &BulkActionKind,
        body: Selected,
    ) -> Result<Json<Self>, Problem> {
        let selection = selection(body.dead_letter_ids, body.filter.as_deref())?;
        let matching = match &selection {
            BulkSelection::DeadLetters(ids) => ids.len() as u64,
            BulkSelection::Filter(filter) => {
                state.store.count_dead_letters(filter, visit.now).await?
            }
        };
        let counted = state.bulk_actions.count(kind, &selection, visit.now);
        let eligible = counted.await?;
        Ok(Json(Self { matching, eligible }))
    }
}

/// Restores what is discarded of a selection that is frozen now.
pub(super) async fn restore(
    State(state): State<AppState>,
    visit: Visit,
    Body(body): Body<NewRestores>,
) -> Result<(StatusCode, Json<Action>), Problem> {
    let selection = selection(body.dead_letter_ids, body.filter.as_deref())?;
    let restore = (BulkActionKind::Restore, selection);
    request(&state, &visit, restore, body.eligible).await
}

/// Discarded dead letters that match, those indexed last first.
pub(super) async fn list(
    State(state): State<AppState>,
    visit: Visit,
) -> Result<Json<List<Discarded>>, Problem> {
    let request = page_request(&visit)?;
    let page = state
        .store
        .discarded(&filter(&visit)?, visit.now, &request)
        .await?;
    Ok(Json(List::of(page, Discarded::of)))
}

/// How far a discard or restore has come.
pub(super) async fn action(
    State(state): State<AppState>,
    Path(id): Path<i64>,
) -> Result<Json<Action>, Problem> {
    let action = state.store.bulk_action(BulkActionId(id)).await?;
    Ok(Json(Action::of(action)))
}

async fn request(
    state: &AppState,
    visit: &Visit,
    (kind, selection): (BulkActionKind, BulkSelection),
    seen: Option<u64>,
) -> Result<(StatusCode, Json<Action>), Problem> {
    if let Some(seen) = seen {
        let counted = state.bulk_actions.count(&kind, &selection, visit.now);
        let eligible = counted.await?;
        if seen != eligible {
            return Err(Problem::conflict(format!(
                "meanwhile the number of dead letters that would be changed went from {seen} to \
                 {eligible}; look again and confirm"
            )));
        }
    }
    let actor = actor(visit);
    let action = NewBulkAction {
        kind,
        selection,
        requested_at: Timestamp::now(),
        requested_by: actor.name,
        address: actor.address,
    };
    let action = state.bulk_actions.request(&action, PATIENCE).await?;
    Ok((StatusCode::CREATED, Json(Action::of(action))))
}

pub(super) fn selection(
    ids: Option<Vec<i64>>,
    filter: Option<&str>,
) -> Result<BulkSelection, Problem> {
    match (ids, filter) {
        (Some(ids), None) if ids.is_empty() => Err(Problem::bad_request(
            "dead_letter_ids is empty; name at least one",
        )),
        (Some(ids), None) => Ok(BulkSelection::DeadLetters(
            ids.into_iter().map(DeadLetterId).collect(),
        )),
        (None, Some(filter)) => Filter::parse(filter)
            .map(BulkSelection::Filter)
            .map_err(|error| Problem::bad_request(error.to_string())),
        _ => Err(Problem::bad_request(
            "give either dead_letter_ids or filter",
        )),
    }
}

impl Action {
    fn of(action: BulkAction) -> Self {
        let kind = action.kind.as_str();
        let (reason, expires_at) = match action.kind {
            BulkActionKind::Discard { reason, expires_at } => {
                (Some(reason), Some(time(expires_at)))
            }
            BulkActionKind::Restore => (None, None),
        };
        Self {
            id: action.id.0,
            kind,
            selection: action.selection.describe(),
            requested_at: time(action.requested_at),
            requested_by: action.requested_by,
            reason,
            expires_at,
            changed: action.changed,
            finished_at: action.finished_at.map(time),
            problem: action.problem,
        }
    }
}

impl Discarded {
    fn of((letter, discard): (DeadLetterSummary, Discard)) -> Self {
        Self {
            summary: Summary::of(&letter),
            discarded_at: time(discard.at),
            discarded_by: discard.by,
            discard_reason: discard.reason,
            expires_at: time(discard.expires_at),
        }
    }
}
