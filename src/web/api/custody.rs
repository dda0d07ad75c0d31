use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use super::Body;
use super::dead_letters::Summary;
use super::discards::{Selected, selection};
use crate::dead_letters::{FetchReport, ReturnReport};
use crate::domain::DeadLetterId;
use crate::web::AppState;
use crate::web::path::Path;
use crate::web::problem::Problem;
use crate::web::views::{parse_custody, place, requester, set_custody};
use crate::web::visit::Visit;

/// What became of each.
#[derive(Debug, Serialize)]
pub(super) struct Returns {
    /// They lie in their queues.
    returned: Vec<i64>,
    /// They are in the store as before.
    refused: Vec<Refused>,
    /// They are in the store, and may lie in their queues as well.
    unknown: Vec<Refused>,
}

/// What became of each body.
#[derive(Debug, Serialize)]
pub(super) struct BodyFetches {
    /// In the store now.
    fetched: Vec<i64>,
    /// As before.
    refused: Vec<Refused>,
}

#[derive(Debug, Serialize)]
struct Refused {
    dead_letter_id: i64,
    reason: String,
}

impl Refused {
    fn all(refused: Vec<(DeadLetterId, String)>) -> Vec<Self> {
        let refused = refused.into_iter().map(|(id, reason)| Self {
            dead_letter_id: id.0,
            reason,
        });
        refused.collect()
    }
}

/// What a look at a queue brought.
#[derive(Debug, Serialize)]
pub(super) struct Look {
    /// Messages that it showed.
    seen: usize,
    /// Those that were not known before.
    new: usize,
    /// Those that had too few deliveries left to be given back, and are in the store now.
    kept: usize,
    /// Messages that were ready when it began; null for a stream, which does not tell.
    ready: Option<u32>,
}

/// Takes a look at the head of an observed queue, or reads on in a stream.
pub(super) async fn look(
    State(state): State<AppState>,
    Path(names): Path<(String, String, String)>,
    visit: Visit,
) -> Result<Json<Look>, Problem> {
    let accepted_by = accepts_cost(&visit)?.then(|| requester(&visit));
    let place = place(names);
    let looked = state.observer.look(&place, accepted_by.as_ref()).await?;
    Ok(Json(Look {
        seen: looked.seen,
        new: looked.new,
        kept: looked.kept,
        ready: looked.ready,
    }))
}

/// `accept_cost`: whether it is accepted that a look counts as a delivery.
fn accepts_cost(visit: &Visit) -> Result<bool, Problem> {
    match visit.query.get("accept_cost") {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(other) => Err(Problem::bad_request(format!(
            "accept_cost is {other:?}; it must be true or false"
        ))),
    }
}

/// Takes a dead letter out of its observed queue into the store.
pub(super) async fn take(
    State(state): State<AppState>,
    Path(id): Path<i64>,
    visit: Visit,
) -> Result<Json<Summary>, Problem> {
    let id = DeadLetterId(id);
    let (requester, accepts_cost) = (requester(&visit), accepts_cost(&visit)?);
    state.observer.take(id, &requester, accepts_cost).await?;
    let letter = state.store.dead_letter_summary(id).await?;
    Ok(Json(Summary::of(&letter)))
}

/// Publishes dead letters back into the queues that they were taken from.
pub(super) async fn give_back(
    State(state): State<AppState>,
    visit: Visit,
    Body(body): Body<Selected>,
) -> Result<Json<Returns>, Problem> {
    let selection = selection(body.dead_letter_ids, body.filter.as_deref())?;
    let requester = requester(&visit);
    let report = state.observer.give_back(&selection, &requester).await?;
    Ok(Json(Returns::of(report)))
}

/// Fetches bodies that were too large for the store from their Kafka topics.
pub(super) async fn fetch_bodies(
    State(state): State<AppState>,
    visit: Visit,
    Body(body): Body<Selected>,
) -> Result<Json<BodyFetches>, Problem> {
    let selection = selection(body.dead_letter_ids, body.filter.as_deref())?;
    let requester = requester(&visit);
    let FetchReport { fetched, refused } =
        state.observer.fetch_bodies(&selection, &requester).await?;
    Ok(Json(BodyFetches {
        fetched: fetched.into_iter().map(|id| id.0).collect(),
        refused: Refused::all(refused),
    }))
}

/// Who shall keep the messages of a queue: `managed`, or `observe` to end it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewCustody {
    custody: String,
}

/// Gives a queue into custody, or ends that.
pub(super) async fn set_queue_custody(
    State(state): State<AppState>,
    Path(names): Path<(String, String, String)>,
    visit: Visit,
    Body(body): Body<NewCustody>,
) -> Result<StatusCode, Problem> {
    let custody = parse_custody(&body.custody)?;
    set_custody(&state, &visit, place(names), custody).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl Returns {
    fn of(report: ReturnReport) -> Self {
        Self {
            returned: report.returned.into_iter().map(|id| id.0).collect(),
            refused: Refused::all(report.refused),
            unknown: Refused::all(report.unknown),
        }
    }
}
