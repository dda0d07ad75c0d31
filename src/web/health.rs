use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use super::AppState;
use super::problem::Problem;
use crate::metrics;

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

/// The exposition for Prometheus, compressed if the client takes it.
pub(crate) async fn metrics(
    State(state): State<AppState>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let accepts_gzip = headers
        .get(header::ACCEPT_ENCODING)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|encodings| {
            encodings
                .split(',')
                .any(|one| one.trim().starts_with("gzip"))
        });
    if let Ok(size) = state.store.size_bytes().await {
        state.metrics.set_store_size(size);
    }
    let content_type = (header::CONTENT_TYPE, metrics::CONTENT_TYPE);
    if !accepts_gzip {
        return Ok(([content_type], state.metrics.render()).into_response());
    }
    // Compressing a large exposition takes long enough to hold up other requests.
    let registry = state.metrics;
    let body = tokio::task::spawn_blocking(move || registry.render_gzip())
        .await
        .map_err(|error| Problem::internal("the metrics could not be compressed", &error))?;
    let encoding = (header::CONTENT_ENCODING, "gzip");
    Ok(([content_type, encoding], body).into_response())
}
