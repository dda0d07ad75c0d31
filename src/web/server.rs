use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;

use super::body_limit::BodyLimit;
use super::listener::{BoundedListener, Peer};
use super::problem::Problem;
use super::security::{
    AllowedHosts, add_security_headers, refuse_cross_site_changes, refuse_foreign_hosts,
};
use super::{AppState, api, assets, events, health, scrape, views, visit};

/// The slowest page asks the store for a whole list; a replay's pre-flight asks a broker.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Serves pages and API until `stop`, then finishes the requests that are being answered.
pub async fn serve(
    state: AppState,
    listener: TcpListener,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let service = router(state).into_make_service_with_connect_info::<Peer>();
    axum::serve(BoundedListener::new(listener), service)
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
}

/// All routes with everything that guards them. The layers run from the last to the first.
pub fn router(state: AppState) -> Router {
    let hosts = AllowedHosts::new(&state.config.http.hosts);
    Router::new()
        .merge(pages())
        .merge(api::router())
        .route("/events", get(events::stream))
        .route("/static/{version}/{*name}", get(assets::serve))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(scrape::metrics))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(BodyLimit::Usual.layer())
        .layer(middleware::from_fn(give_up_in_time))
        .layer(middleware::from_fn(refuse_cross_site_changes))
        .layer(middleware::from_fn_with_state(state.clone(), count))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn_with_state(hosts, refuse_foreign_hosts))
        .layer(middleware::from_fn_with_state(
            state.clone(),
            visit::accompany,
        ))
        .layer(middleware::from_fn(add_security_headers))
        .with_state(state)
}

fn pages() -> Router<AppState> {
    let edit = BodyLimit::Edit.layer();
    Router::new()
        .route("/", get(views::overview))
        .route("/consumers", get(views::consumers))
        .route("/consumers/{cluster}/{group}", get(views::consumer_group))
        .route("/queues", get(views::queues))
        .route("/queues/{cluster}/{vhost}/{queue}", get(views::queue))
        .route(
            "/queues/{cluster}/{vhost}/{queue}/observe",
            post(views::look_at_queue),
        )
        .route(
            "/queues/{cluster}/{vhost}/{queue}/custody",
            get(views::explain_custody).post(views::change_custody),
        )
        .route("/dead-letters", get(views::failure_groups))
        .route("/dead-letters/by/{field}", get(views::pivot))
        .route("/dead-letters/list", get(views::dead_letter_list))
        .route("/dead-letters/list/columns", post(views::keep_columns))
        .route("/dead-letters/{id}", get(views::dead_letter))
        .route("/dead-letters/{id}/payload", get(views::download_payload))
        .route(
            "/dead-letters/{id}/edit",
            get(views::edit).post(views::review_edit).layer(edit),
        )
        .route("/dead-letters/{id}/take", post(views::take_dead_letter))
        .route("/dead-letters/{id}/fetch-body", post(views::fetch_body))
        .route("/dead-letters/{id}/return", post(views::return_dead_letter))
        .route(
            "/dead-letters/{id}/revisions",
            post(views::save_edit).layer(edit),
        )
        .route("/failure-groups/{id}", get(views::failure_group))
        .route(
            "/failure-groups/{id}/notes",
            post(views::note_failure_group),
        )
        .route(
            "/failure-groups/{id}/assignee",
            post(views::assign_failure_group),
        )
        .route(
            "/failure-groups/{id}/redrive-policy",
            post(views::set_redrive_policy),
        )
        .route(
            "/failure-groups/{id}/redrive-policy/remove",
            post(views::remove_redrive_policy),
        )
        .route("/dead-letters/{id}/revert", post(views::revert_edit))
        .route("/replays", get(views::replays).post(views::start_replay))
        .route("/replays/new", get(views::preflight))
        .route("/traces", get(views::traces))
        .route("/flow", get(views::flow))
        .route("/duplicates", get(views::duplicates))
        .route("/traces/{correlation_id}", get(views::trace))
        .route("/replays/unknown", get(views::unknown_replays))
        .route(
            "/replays/unknown/resolve",
            post(views::resolve_unknown_replays),
        )
        .route("/replays/awaiting", get(views::awaited_replays))
        .route("/replays/{job}", get(views::replay_job))
        .route("/replays/{job}/pause", post(views::pause_replay))
        .route("/replays/{job}/resume", post(views::resume_replay))
        .route("/replays/{job}/brake", post(views::set_brake))
        .route("/replays/{job}/cancel", post(views::cancel_replay))
        .route("/replays/{job}/resolve", post(views::resolve_replay))
        .route("/discards", get(views::discarded).post(views::discard))
        .route("/discards/new", get(views::confirm_discard))
        .route("/restores", post(views::restore))
        .route("/saved-filters", post(views::save_filter))
        .route("/saved-filters/remove", post(views::remove_saved_filter))
        .route("/repairs/new", get(views::new_repair))
        .route("/repairs", post(views::repair))
        .route("/repairs/{id}", get(views::repair_progress))
        .route("/alerts", get(views::alerts))
        .route("/alerts/{name}", get(views::alert))
        .route("/audit", get(views::audit))
        .route("/status", get(views::status))
        .route(
            "/status/notifications/test",
            post(views::send_test_notification),
        )
        .route("/theme", post(views::choose_theme))
}

/// Counts every answer under the pattern that matched, because paths are chosen by clients.
async fn count(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let response = next.run(request).await;
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    let method = if method.is_safe() || method == Method::POST {
        method.as_str()
    } else {
        "other"
    };
    let status = response.status().as_u16();
    state
        .metrics
        .http_request(method, route, status, started.elapsed());
    response
}

async fn not_found(request: Request) -> Problem {
    let path: String = request.uri().path().chars().take(200).collect();
    Problem::not_found(format!(
        "there is no page {path}; the rail on the left has all of them"
    ))
}

async fn method_not_allowed(request: Request) -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "Not allowed here",
        format!("this address does not take {}", request.method()),
    )
}

async fn give_up_in_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(REQUEST_TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_elapsed) => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "It took too long",
            "no answer within 30 s; Status says which broker is slow",
        )
        .into_response(),
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the layer hands the panic over"
)]
fn panicked(panic: Box<dyn std::any::Any + Send + 'static>) -> Response {
    let message = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("without a message");
    tracing::error!(message, "a request handler panicked");
    Problem::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "Redrive failed",
        "a programming error ended this request; Redrive's log has the cause",
    )
    .into_response()
}
