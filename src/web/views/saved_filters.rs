//! Saved filters: links over the list of dead letters, and the forms that save and remove them.

use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use serde_json::json;

use super::letter_columns::ListView;
use super::preflight::actor;
use crate::domain::{Filter, FilterName, SavedFilter};
use crate::store::NewAuditEntry;
use crate::web::AppState;
use crate::web::problem::Problem;
use crate::web::visit::{CheckedForm, Visit};

/// A saved filter as a link.
pub(super) struct SavedLink {
    pub(super) name: String,
    pub(super) href: String,
    pub(super) is_current: bool,
}

impl SavedLink {
    pub(super) fn of(saved: &SavedFilter, view: &ListView, current: &str) -> Self {
        Self {
            name: saved.name.to_string(),
            href: view.url(saved.filter.text()),
            is_current: saved.filter.text() == current.trim(),
        }
    }
}

/// Saves the filter of a form.
pub(crate) async fn save_filter(
    State(state): State<AppState>,
    visit: Visit,
    CheckedForm(fields): CheckedForm,
) -> Result<Response, Problem> {
    let name = fields.get("name").unwrap_or("");
    let filter = fields.get("filter").unwrap_or("");
    let saved = save(&state, &visit, name, filter).await?;
    let list = ListView::asked(&fields, None).url(saved.filter.text());
    Ok(Redirect::to(&list).into_response())
}

/// Removes the saved filter that a form names.
pub(crate) async fn remove_saved_filter(
    State(state): State<AppState>,
    visit: Visit,
    CheckedForm(fields): CheckedForm,
) -> Result<Response, Problem> {
    remove(&state, &visit, fields.get("name").unwrap_or("")).await?;
    let list = ListView::asked(&fields, None).url("");
    Ok(Redirect::to(&list).into_response())
}

/// Saves a filter under a name, for pages and the API.
pub(crate) async fn save(
    state: &AppState,
    visit: &Visit,
    name: &str,
    filter: &str,
) -> Result<SavedFilter, Problem> {
    let name = FilterName::parse(name).map_err(|error| Problem::bad_request(error.to_string()))?;
    let filter = Filter::parse(filter).map_err(|error| Problem::bad_request(error.to_string()))?;
    if filter.is_empty() {
        return Err(Problem::bad_request(
            "the empty filter shows everything and needs no name; filter first, then save",
        ));
    }
    let saved = SavedFilter {
        name,
        filter,
        created_at: visit.now,
        created_by: actor(visit).name,
    };
    let detail = json!({ "name": saved.name.as_str(), "filter": saved.filter.text() });
    let entry = audit_entry(visit, "filter.save", detail);
    state.store.save_filter(&saved, &entry).await?;
    Ok(saved)
}

/// Removes the filter of that name, for pages and the API.
pub(crate) async fn remove(state: &AppState, visit: &Visit, name: &str) -> Result<(), Problem> {
    let name = FilterName::parse(name).map_err(|error| Problem::bad_request(error.to_string()))?;
    let entry = audit_entry(visit, "filter.remove", json!({ "name": name.as_str() }));
    Ok(state.store.remove_saved_filter(&name, &entry).await?)
}

fn audit_entry(visit: &Visit, action: &str, detail: serde_json::Value) -> NewAuditEntry {
    let actor = actor(visit);
    NewAuditEntry {
        at: visit.now,
        actor: actor.name,
        address: actor.address,
        action: action.to_owned(),
        detail,
    }
}
