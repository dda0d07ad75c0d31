use axum::extract::State;
use axum::http::StatusCode;

use super::AppState;
use super::problem::Problem;

/// The process answers.
pub(crate) async fn alive() -> &'static str {
    "ok\n"
}

/// The store answers and every broker was looked at once, successfully or not.
pub(crate) async fn ready(State(state): State<AppState>) -> Result<&'static str, Problem> {
    state.store.size_bytes().await?;
    if state.snapshot().clusters.is_empty() {
        return Err(Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "Not ready",
            "the brokers have not been looked at yet",
        ));
    }
    Ok("ready\n")
}
