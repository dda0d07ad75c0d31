use axum::Router;
use crate::web::AppState;
pub(super) fn router() -> Router<AppState> { Router::new() }
