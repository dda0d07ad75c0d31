//! `/api/v1`: what the pages show and do, as JSON. Lists are `{items, next_cursor}`, times RFC 3339,
//! errors problem+json. `openapi.json` beside this file describes it; a test keeps the two in step.
//!
//! Wire types live here and convert from the domain's, so that neither binds the other.

mod alerts;
mod audit;
mod brokers;
mod custody;
mod dead_letters;
mod discards;
mod download;
mod duplicates;
mod failure_groups;
mod flow;
mod group_care;
mod history;
mod list;
mod notifications;
mod open_replays;
mod overview;
mod pivots;
mod preflight;
mod query_names;
mod redrive_policy;
mod repairs;
mod replay_request;
mod replays;
mod revisions;
mod saved_filters;
mod schemas;
mod traces;
mod transfer;

use axum::extract::{DefaultBodyLimit, FromRequest, Request};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, delete, get, post, put};
use axum::{Json, Router};
use serde::de::DeserializeOwned;

use self::transfer::IMPORT_BODY_LIMIT;
use super::AppState;
use super::body_limit::BodyLimit;
use super::problem::Problem;

/// A route as the document names it.
type Route = (&'static str, &'static str, MethodRouter<AppState>);

const DOCUMENT: &str = include_str!("openapi.json");

/// Every route of the API: its method, its path under `/api/v1`, its handler.
fn routes() -> Vec<Route> {
    let mut routes = sampling_routes();
    routes.extend(dead_letter_routes());
    routes.extend(replay_routes());
    routes
}

/// What the brokers are like, now and before.
fn sampling_routes() -> Vec<Route> {
    vec![
        ("get", "/overview", get(overview::overview)),
        ("get", "/overview/history", get(history::overview)),
        ("get", "/consumer-groups", get(brokers::consumer_groups)),
        (
            "get",
            "/consumer-groups/{cluster}/{group}/history",
            get(history::consumer_group),
        ),
        ("get", "/queues", get(brokers::queues)),
        (
            "get",
            "/queues/{cluster}/{vhost}/{queue}/history",
            get(history::queue),
        ),
    ]
}

fn dead_letter_routes() -> Vec<Route> {
    let revision = post(revisions::create).layer(BodyLimit::Edit.layer());
    let import = post(transfer::import).layer(DefaultBodyLimit::max(IMPORT_BODY_LIMIT));
    vec![
        (
            "post",
            "/queues/{cluster}/{vhost}/{queue}/custody",
            post(custody::set_queue_custody),
        ),
        (
            "post",
            "/queues/{cluster}/{vhost}/{queue}/look",
            post(custody::look),
        ),
        ("get", "/dead-letters", get(dead_letters::list)),
        ("get", "/dead-letters/export", get(transfer::export)),
        ("post", "/dead-letters/import", import),
        ("get", "/dead-letters/{id}", get(dead_letters::detail)),
        ("post", "/dead-letters/{id}/revisions", revision),
        (
            "get",
            "/dead-letters/{id}/revisions/{number}",
            get(revisions::detail),
        ),
        ("post", "/dead-letters/{id}/take", post(custody::take)),
        ("post", "/returns", post(custody::give_back)),
        ("post", "/body-fetches", post(custody::fetch_bodies)),
        ("get", "/dead-letters/{id}/schema", get(schemas::verdict)),
        ("get", "/discards", get(discards::list)),
        ("post", "/discards", post(discards::discard)),
        (
            "post",
            "/discards/preflight",
            post(discards::preflight_discard),
        ),
        ("post", "/restores", post(discards::restore)),
        (
            "post",
            "/restores/preflight",
            post(discards::preflight_restore),
        ),
        ("get", "/bulk-actions/{id}", get(discards::action)),
        ("get", "/saved-filters", get(saved_filters::list)),
        ("post", "/saved-filters", post(saved_filters::save)),
        (
            "delete",
            "/saved-filters/{name}",
            delete(saved_filters::remove),
        ),
        ("get", "/dead-letters/by/{field}", get(pivots::pivot)),
        ("post", "/repairs", post(repairs::create)),
        ("get", "/repairs/{id}", get(repairs::detail)),
        ("get", "/failure-groups", get(failure_groups::list)),
        ("get", "/failure-groups/{id}", get(group_care::detail)),
        (
            "post",
            "/failure-groups/{id}/notes",
            post(group_care::add_note),
        ),
        (
            "put",
            "/failure-groups/{id}/assignee",
            put(group_care::assign),
        ),
        (
            "get",
            "/failure-groups/{id}/redrive-policy",
            get(redrive_policy::detail),
        ),
        (
            "put",
            "/failure-groups/{id}/redrive-policy",
            put(redrive_policy::set),
        ),
        (
            "delete",
            "/failure-groups/{id}/redrive-policy",
            delete(redrive_policy::remove),
        ),
        ("get", "/notifications", get(notifications::list)),
        (
            "post",
            "/notifications/{name}/test",
            post(notifications::test),
        ),
        ("get", "/traces", get(traces::list)),
        ("get", "/duplicates", get(duplicates::list)),
        ("get", "/flow", get(flow::graph)),
        ("get", "/traces/{correlation_id}", get(traces::detail)),
        ("get", "/alerts", get(alerts::list)),
        ("get", "/audit", get(audit::list)),
        ("get", "/audit/head", get(audit::head)),
        ("get", "/audit/export", get(audit::export)),
        ("get", "/openapi.json", get(document)),
    ]
}

fn replay_routes() -> Vec<Route> {
    vec![
        ("post", "/replays", post(replays::create)),
        ("get", "/replays", get(replays::list)),
        ("post", "/replays/preflight", post(preflight::preflight)),
        ("get", "/replays/unknown", get(open_replays::unknown)),
        (
            "post",
            "/replays/unknown/resolve",
            post(open_replays::resolve),
        ),
        ("get", "/replays/awaiting", get(open_replays::awaited)),
        ("get", "/replays/{id}", get(replays::detail)),
        ("get", "/replays/{id}/events", get(replays::events)),
        ("post", "/replays/{id}/resolve", post(replays::resolve_all)),
        ("post", "/replays/{id}/cancel", post(replays::cancel)),
        ("post", "/replays/{id}/pause", post(replays::pause)),
        ("post", "/replays/{id}/resume", post(replays::resume)),
        ("post", "/replays/{id}/brake", post(replays::set_brake)),
        (
            "post",
            "/replays/{id}/events/{replay}/resolve",
            post(replays::resolve),
        ),
    ]
}

pub(super) fn router() -> Router<AppState> {
    // The tests read it as well.
    let document = serde_json::from_str(DOCUMENT).unwrap_or_default();
    let every = routes().into_iter();
    let inner = every.fold(Router::new(), |router, (method, path, handler)| {
        router.route(
            path,
            query_names::checked(&document, (method, path), handler),
        )
    });
    Router::new().nest("/api/v1", inner)
}

async fn document() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT).into_response()
}

/// A JSON body; a refusal is problem+json and names the place.
pub(crate) struct Body<T>(T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let limit = BodyLimit::of(request.extensions());
        match Json::<T>::from_request(request, state).await {
            Ok(Json(body)) => Ok(Self(body)),
            Err(rejection) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
                Err(limit.exceeded("The body is too large"))
            }
            Err(rejection) => Err(Problem::new(
                rejection.status(),
                "The body is not understood",
                rejection.body_text(),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    #[test]
    fn the_document_has_every_route_and_no_other() {
        let document: Value = serde_json::from_str(DOCUMENT).unwrap();
        let paths = document["paths"].as_object().unwrap();
        let documented: BTreeSet<_> = paths
            .iter()
            .flat_map(|(path, methods)| {
                let methods = methods.as_object().unwrap().keys();
                methods.map(move |method| (method.clone(), path.clone()))
            })
            .collect();
        let served: BTreeSet<_> = routes()
            .into_iter()
            .map(|(method, path, _)| (method.to_owned(), path.to_owned()))
            .collect();
        assert_eq!(documented, served);
    }

    #[test]
    fn every_reference_of_the_document_leads_somewhere() {
        fn check(value: &Value, document: &Value) {
            match value {
                Value::Object(fields) => {
                    if let Some(reference) = fields.get("$ref").and_then(Value::as_str) {
                        let pointer = reference.strip_prefix('#').unwrap();
                        assert!(document.pointer(pointer).is_some(), "{reference}");
                    }
                    fields.values().for_each(|value| check(value, document));
                }
                Value::Array(items) => items.iter().for_each(|value| check(value, document)),
                _ => {}
            }
        }
        let document: Value = serde_json::from_str(DOCUMENT).unwrap();
        check(&document, &document);
    }
}
