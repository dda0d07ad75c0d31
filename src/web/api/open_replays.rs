//! Replays of all jobs that have no outcome yet.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};

use super::Body;
use super::list::{List, filter, page_request, time};
use super::replays::Event;
use crate::domain::Filter;
use crate::replay::SeenUnknown;
use crate::store::{OpenOutcome, OpenReplays};
use crate::web::AppState;
use crate::web::problem::Problem;
use crate::web::views::{actor, parse_decision, start_time};
use crate::web::visit::Visit;

/// A page of them, with what a decision about all of them names.
#[derive(Debug, Serialize)]
pub(super) struct OpenList {
    #[serde(flatten)]
    list: List<Event>,
    /// How many match; of those that await their outcome counted up to 10,000 a state.
    count: u64,
    /// When this was read.
    as_of: String,
}

/// A decision about all that match.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DecisionAboutAll {
    /// The empty filter means all.
    filter: String,
    decision: String,
    /// `as_of` of the list that the person saw.
    as_of: String,
    /// `count` of that list; with another number nothing is decided.
    count: u64,
}

/// How many were decided.
#[derive(Debug, Serialize)]
pub(super) struct Decided {
    decided: u64,
}

pub(super) async fn unknown(
    State(state): State<AppState>,
    visit: Visit,
) -> Result<Json<OpenList>, Problem> {
    list(&state, &visit, OpenOutcome::Unknown).await
}

pub(super) async fn awaited(
    State(state): State<AppState>,
    visit: Visit,
) -> Result<Json<OpenList>, Problem> {
    list(&state, &visit, OpenOutcome::Awaited).await
}

async fn list(
    state: &AppState,
    visit: &Visit,
    outcome: OpenOutcome,
) -> Result<Json<OpenList>, Problem> {
    let asked = OpenReplays {
        outcome,
        filter: filter(visit)?,
        through: visit.now,
    };
    let page = state
        .store
        .open_replays(&asked, &page_request(visit)?)
        .await?;
    Ok(Json(OpenList {
        list: List::of(page, |replay| Event::of(&replay, visit.now)),
        count: state.store.count_open_replays(&asked).await?,
        as_of: time(visit.now),
    }))
}

/// Decides about every unknown replay that matches, of whatever job.
pub(super) async fn resolve(
    State(state): State<AppState>,
    visit: Visit,
    Body(body): Body<DecisionAboutAll>,
) -> Result<Json<Decided>, Problem> {
    let filter =
        Filter::parse(&body.filter).map_err(|error| Problem::bad_request(error.to_string()))?;
    let seen = SeenUnknown {
        through: start_time(&body.as_of)?,
        count: Some(body.count),
    };
    let decision = parse_decision(&body.decision)?;
    let decided = state
        .replay
        .resolve_matching_unknown(&filter, seen, decision, actor(&visit))
        .await?;
    Ok(Json(Decided { decided }))
}
