use axum::Json;
use axum::extract::State;
use serde::Serialize;

use super::list::{List, filter, page_request, time};
use crate::store::FailureGroup;
use crate::web::AppState;
use crate::web::problem::Problem;
use crate::web::visit::Visit;

#[derive(Debug, Serialize)]
pub(super) struct Group {
    id: String,
    title: String,
    explanation: String,
    open: u64,
    total: u64,
    first_seen: String,
    last_seen: String,
    regressed_at: Option<String>,
    newest_dead_letter_id: Option<i64>,
}

/// Failure groups with members that match, those with the newest first.
pub(super) async fn list(
    State(state): State<AppState>,
    visit: Visit,
) -> Result<Json<List<Group>>, Problem> {
    let request = page_request(&visit)?;
    let page = state
        .store
        .failure_groups(&filter(&visit)?, visit.now, &request)
        .await?;
    let group = |group: FailureGroup| Group {
        id: group.id.to_string(),
        title: group.title,
        explanation: group.explanation,
        open: group.open,
        total: group.total,
        first_seen: time(group.first_seen),
        last_seen: time(group.last_seen),
        regressed_at: group.regressed_at.map(time),
        newest_dead_letter_id: group.newest.map(|newest| newest.id.0),
    };
    Ok(Json(List::of(page, group)))
}
