use axum::Json;
use axum::extract::State;
use serde::Serialize;

use super::list::{List, filter, page_request, time, word};
use crate::domain::{GroupOrder, GroupState, Timestamp};
use crate::store::{FailureGroup, GroupQuery};
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
    assignee: Option<String>,
    /// How many notes it has.
    note_count: u64,
    /// Its redrive policy is on.
    is_redriven: bool,
    /// `new`, `regressed`, `growing`, `open`, `resolved`: all that it is now.
    states: Vec<&'static str>,
}

/// Failure groups with members that match, those with the newest first.
pub(super) async fn list(
    State(state): State<AppState>,
    visit: Visit,
) -> Result<Json<List<Group>>, Problem> {
    let request = page_request(&visit)?;
    let asked = GroupQuery {
        filter: filter(&visit)?,
        state: word(
            &visit,
            "state",
            GroupState::parse,
            &GroupState::ALL.map(GroupState::as_str),
        )?,
        order: word(
            &visit,
            "order",
            GroupOrder::parse,
            &GroupOrder::ALL.map(GroupOrder::as_str),
        )?
        .unwrap_or_default(),
    };
    let page = state
        .store
        .failure_groups_by(&asked, visit.now, &request)
        .await?;
    Ok(Json(List::of(page, |group| Group::of(group, visit.now))))
}

impl Group {
    pub(super) fn of(group: FailureGroup, now: Timestamp) -> Self {
        let states = group.states(now).into_iter().map(GroupState::as_str);
        Self {
            states: states.collect(),
            id: group.id.to_string(),
            title: group.title,
            explanation: group.explanation,
            open: group.open,
            total: group.total,
            first_seen: time(group.first_seen),
            last_seen: time(group.last_seen),
            regressed_at: group.regressed_at.map(time),
            newest_dead_letter_id: group.newest.map(|newest| newest.id.0),
            assignee: group.assignee,
            note_count: group.notes,
            is_redriven: group.is_redriven,
        }
    }
}
