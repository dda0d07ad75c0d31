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
    let snapshot = state.snapshot();
    let waiting = snapshot
        .clusters
        .iter()
        .find(|cluster| cluster.health.last_success.is_none() && cluster.health.error.is_none());
    match waiting {
        None => Ok("ready\n"),
        Some(cluster) => Err(Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "Not ready",
            format!("{} has not been looked at yet", cluster.name),
        )),
    }
}
