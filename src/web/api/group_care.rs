use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use super::Body;
use super::failure_groups::Group;
use super::list::time;
use crate::domain::{FailureGroupId, Timestamp};
use crate::store::GroupNote;
use crate::web::AppState;
use crate::web::path::Path;
use crate::web::problem::Problem;
use crate::web::views::{NOTES, author, checked_assignee, checked_note, known_group};
use crate::web::visit::Visit;

#[derive(Debug, Serialize)]
pub(super) struct Note {
    author: String,
    created_at: String,
    text: String,
}

/// A group with what people said of it.
#[derive(Debug, Serialize)]
pub(super) struct GroupDetail {
    #[serde(flatten)]
    group: Group,
    notes: Vec<Note>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewNote {
    text: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewAssignee {
    assignee: Option<String>,
}

pub(super) async fn detail(
    State(state): State<AppState>,
    Path(id): Path<String>,
    visit: Visit,
) -> Result<Json<GroupDetail>, Problem> {
    load(&state, &id.as_str().into(), visit.now).await.map(Json)
}

pub(super) async fn add_note(
    State(state): State<AppState>,
    Path(id): Path<String>,
    visit: Visit,
    Body(body): Body<NewNote>,
) -> Result<(StatusCode, Json<GroupDetail>), Problem> {
    let id = id.as_str().into();
    let text = checked_note(&body.text)?;
    let author = author(&visit);
    state.store.add_group_note(&id, &text, &author).await?;
    Ok((
        StatusCode::CREATED,
        Json(load(&state, &id, visit.now).await?),
    ))
}

pub(super) async fn assign(
    State(state): State<AppState>,
    Path(id): Path<String>,
    visit: Visit,
    Body(body): Body<NewAssignee>,
) -> Result<Json<GroupDetail>, Problem> {
    let id = id.as_str().into();
    let assignee = checked_assignee(body.assignee.as_deref())?;
    let author = author(&visit);
    state
        .store
        .assign_group(&id, assignee.as_deref(), &author)
        .await?;
    load(&state, &id, visit.now).await.map(Json)
}

async fn load(
    state: &AppState,
    id: &FailureGroupId,
    now: Timestamp,
) -> Result<GroupDetail, Problem> {
    let group = known_group(state, id).await?;
    let notes = state.store.group_notes(id, NOTES).await?;
    Ok(GroupDetail {
        group: Group::of(group, now),
        notes: notes.into_iter().map(Note::of).collect(),
    })
}

impl Note {
    pub(super) fn of(note: GroupNote) -> Self {
        Self {
            author: note.author,
            created_at: time(note.at),
            text: note.text,
        }
    }
}
