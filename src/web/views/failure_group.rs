//! One failure group: what it is, what people said of it, and who takes care.

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};

use super::failure_groups::{GroupCard, cards};
use super::frame::NavigationEntry;
use super::preflight::actor;
use super::redrive_policy::PolicySection;
use crate::domain::{FailureGroupId, Timestamp};
use crate::store::{Author, FailureGroup, GroupNote};
use crate::web::AppState;
use crate::web::escape::Markup;
use crate::web::markup;
use crate::web::parameters::path;
use crate::web::path::Path;
use crate::web::problem::Problem;
use crate::web::visit::{CheckedForm, Visit};

/// Notes that are shown; older ones are in the audit.
pub(crate) const NOTES: u32 = 200;

const LONGEST_NOTE: usize = 2_000;
const LONGEST_ASSIGNEE: usize = 100;

struct NoteView {
    author: String,
    at: Markup,
    text: String,
}

#[derive(Template)]
#[template(path = "failure_group.html")]
struct FailureGroupPage {
    card: GroupCard,
    action: String,
    assignee: String,
    assigned: String,
    notes: Vec<NoteView>,
    policy: PolicySection,
    csrf: String,
}

pub(crate) async fn failure_group(
    State(state): State<AppState>,
    Path(id): Path<String>,
    visit: Visit,
) -> Result<Response, Problem> {
    let content = FailureGroupPage::load(&state, &visit, &id.as_str().into()).await?;
    let title = content.card.title.clone();
    visit.page(&state, NavigationEntry::DeadLetters, &title, &content)
}

/// Adds a note.
pub(crate) async fn note_failure_group(
    State(state): State<AppState>,
    Path(id): Path<String>,
    visit: Visit,
    CheckedForm(fields): CheckedForm,
) -> Result<Response, Problem> {
    let text = checked_note(fields.get("text").unwrap_or(""))?;
    let group = id.as_str().into();
    state
        .store
        .add_group_note(&group, &text, &author(&visit))
        .await?;
    Ok(Redirect::to(&path_of(&group)).into_response())
}

/// Says who takes care of it.
pub(crate) async fn assign_failure_group(
    State(state): State<AppState>,
    Path(id): Path<String>,
    visit: Visit,
    CheckedForm(fields): CheckedForm,
) -> Result<Response, Problem> {
    let assignee = checked_assignee(fields.get("assignee"))?;
    let group = id.as_str().into();
    state
        .store
        .assign_group(&group, assignee.as_deref(), &author(&visit))
        .await?;
    Ok(Redirect::to(&path_of(&group)).into_response())
}

impl FailureGroupPage {
    async fn load(state: &AppState, visit: &Visit, id: &FailureGroupId) -> Result<Self, Problem> {
        let group = known_group(state, id).await?;
        let assignment = state.store.group_assignment(id).await?;
        let notes = state.store.group_notes(id, NOTES).await?;
        let mut cards = cards(state, vec![group], visit.now).await?;
        let card = cards.pop().ok_or_else(|| no_such_group(id))?;
        Ok(Self {
            card,
            action: path_of(id),
            assigned: assignment.as_ref().map_or_else(String::new, |assignment| {
                let age = markup::ago_text(assignment.at, visit.now);
                format!("assigned by {} {age}", assignment.by)
            }),
            assignee: assignment.map_or_else(String::new, |assignment| assignment.assignee),
            notes: notes
                .into_iter()
                .map(|note| note_view(note, visit.now))
                .collect(),
            policy: PolicySection::load(state, id, visit.now).await?,
            csrf: visit.csrf.clone(),
        })
    }
}

fn note_view(note: GroupNote, now: Timestamp) -> NoteView {
    NoteView {
        author: note.author,
        at: markup::ago(note.at, now),
        text: note.text,
    }
}

/// The page of a group.
pub(crate) fn path_of(id: &FailureGroupId) -> String {
    path(["failure-groups", id.as_str()])
}

pub(crate) async fn known_group(
    state: &AppState,
    id: &FailureGroupId,
) -> Result<FailureGroup, Problem> {
    let group = state.store.failure_group(id).await?;
    group.ok_or_else(|| no_such_group(id))
}

fn no_such_group(id: &FailureGroupId) -> Problem {
    let id = markup::cut_end(id.as_str(), 100);
    Problem::not_found(format!("there is no failure group {id}"))
}

/// Who acts, for a note and the audit.
pub(crate) fn author(visit: &Visit) -> Author {
    let actor = actor(visit);
    Author {
        name: actor.name,
        address: actor.address,
        at: visit.now,
    }
}

/// The note as it will be kept.
pub(crate) fn checked_note(text: &str) -> Result<String, Problem> {
    let text = text.trim();
    match text.chars().count() {
        0 => Err(Problem::bad_request("the note is empty; write something")),
        1..=LONGEST_NOTE => Ok(text.replace("\r\n", "\n")),
        _ => Err(Problem::bad_request(format!(
            "the note is longer than {LONGEST_NOTE} characters; shorten it"
        ))),
    }
}

/// The name as it will be kept; nothing means nobody.
pub(crate) fn checked_assignee(text: Option<&str>) -> Result<Option<String>, Problem> {
    let name = text.map(str::trim).filter(|name| !name.is_empty());
    match name {
        Some(name) if name.chars().count() > LONGEST_ASSIGNEE => Err(Problem::bad_request(
            format!("assignee is longer than {LONGEST_ASSIGNEE} characters; shorten it"),
        )),
        name => Ok(name.map(str::to_owned)),
    }
}
