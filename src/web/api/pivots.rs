use axum::Json;
use axum::extract::State;
use serde::Serialize;

use super::list::{filter, time};
use crate::store::PIVOTED;
use crate::web::AppState;
use crate::web::path::Path;
use crate::web::problem::Problem;
use crate::web::views::known_field;
use crate::web::visit::Visit;

#[derive(Debug, Serialize)]
pub(super) struct Item {
    value: Option<String>,
    open: u64,
    failure_groups: u64,
    last_death: String,
}

#[derive(Debug, Serialize)]
pub(super) struct PivotAnswer {
    items: Vec<Item>,
    looked_at: u64,
    /// There are more open ones than were looked at.
    is_cut: bool,
}

/// Open dead letters that match, by one field.
pub(super) async fn pivot(
    State(state): State<AppState>,
    Path(field): Path<String>,
    visit: Visit,
) -> Result<Json<PivotAnswer>, Problem> {
    let field = known_field(&field)?;
    let pivot = state
        .store
        .pivot(field, &filter(&visit)?, visit.now)
        .await?;
    let items = pivot.rows.into_iter().map(|row| Item {
        value: row.value,
        open: row.open,
        failure_groups: row.groups,
        last_death: time(row.last_death),
    });
    Ok(Json(PivotAnswer {
        items: items.collect(),
        looked_at: pivot.looked_at,
        is_cut: pivot.looked_at >= u64::from(PIVOTED),
    }))
}
