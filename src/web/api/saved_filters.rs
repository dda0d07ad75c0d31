use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use super::Body;
use super::list::{List, page_request, time};
use crate::domain::SavedFilter;
use crate::web::AppState;
use crate::web::path::Path;
use crate::web::problem::Problem;
use crate::web::views::{remove_filter, save_filter_as};
use crate::web::visit::Visit;

/// A filter to be saved; one of that name is replaced.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewSavedFilter {
    name: String,
    filter: String,
}

/// A saved filter.
#[derive(Debug, Serialize)]
pub(super) struct Saved {
    name: String,
    filter: String,
    created_at: String,
    created_by: String,
}

impl Saved {
    fn of(saved: &SavedFilter) -> Self {
        Self {
            name: saved.name.to_string(),
            filter: saved.filter.text().to_owned(),
            created_at: time(saved.created_at),
            created_by: saved.created_by.clone(),
        }
    }
}

/// Saved filters by name.
pub(super) async fn list(
    State(state): State<AppState>,
    visit: Visit,
) -> Result<Json<List<Saved>>, Problem> {
    let saved = state.store.saved_filters().await?;
    let list = List::cut(saved.iter(), &page_request(&visit)?, Saved::of)?;
    Ok(Json(list))
}

/// Saves a filter under a name.
pub(super) async fn save(
    State(state): State<AppState>,
    visit: Visit,
    Body(body): Body<NewSavedFilter>,
) -> Result<(StatusCode, Json<Saved>), Problem> {
    let saved = save_filter_as(&state, &visit, &body.name, &body.filter).await?;
    Ok((StatusCode::CREATED, Json(Saved::of(&saved))))
}

/// Removes the saved filter of that name.
pub(super) async fn remove(
    State(state): State<AppState>,
    Path(name): Path<String>,
    visit: Visit,
) -> Result<StatusCode, Problem> {
    remove_filter(&state, &visit, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}
