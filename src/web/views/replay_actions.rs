//! What people do on the page of a job: cancel what is not sent, decide what is unknown.

use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Redirect, Response};

use super::preflight::actor;
use super::replay_form::brake_of;
use crate::domain::{ReplayId, ReplayJobId, ReplayStateName};
use crate::replay::{Decision, MOST_EVENTS_OF_A_JOB};
use crate::web::AppState;
use crate::web::problem::Problem;
use crate::web::visit::{CheckedForm, Visit};

pub(crate) async fn cancel_replay(
    State(state): State<AppState>,
    Path(job): Path<String>,
    visit: Visit,
    CheckedForm(_): CheckedForm,
) -> Result<Response, Problem> {
    let job = parse_job(&job)?;
    state.replay.cancel(job, actor(&visit)).await?;
    Ok(Redirect::to(&format!("/replays/{job}")).into_response())
}

/// Nothing begins to be sent until somebody resumes the job.
pub(crate) async fn pause_replay(
    State(state): State<AppState>,
    Path(job): Path<String>,
    visit: Visit,
    CheckedForm(_): CheckedForm,
) -> Result<Response, Problem> {
    let job = parse_job(&job)?;
    state.replay.pause(job, actor(&visit)).await?;
    Ok(Redirect::to(&format!("/replays/{job}")).into_response())
}

pub(crate) async fn resume_replay(
    State(state): State<AppState>,
    Path(job): Path<String>,
    visit: Visit,
    CheckedForm(_): CheckedForm,
) -> Result<Response, Problem> {
    let job = parse_job(&job)?;
    state.replay.resume(job, actor(&visit)).await?;
    Ok(Redirect::to(&format!("/replays/{job}")).into_response())
}

/// Replaces the brake by what the form says.
pub(crate) async fn set_brake(
    State(state): State<AppState>,
    Path(job): Path<String>,
    visit: Visit,
    CheckedForm(fields): CheckedForm,
) -> Result<Response, Problem> {
    let job = parse_job(&job)?;
    let brake = brake_of(&fields)?;
    state.replay.set_brake(job, brake, actor(&visit)).await?;
    Ok(Redirect::to(&format!("/replays/{job}")).into_response())
}

/// Decides about one replay, or about all of the job that are unknown.
pub(crate) async fn resolve_replay(
    State(state): State<AppState>,
    Path(job): Path<String>,
    visit: Visit,
    CheckedForm(fields): CheckedForm,
) -> Result<Response, Problem> {
    let job = parse_job(&job)?;
    let decision = parse_decision(fields.get("decision").unwrap_or(""))?;
    let ids = match fields.get("replay") {
        Some(id) => vec![parse_replay(id)?],
        None => unknown_of(&state, job).await?,
    };
    for id in ids {
        state
            .replay
            .resolve_unknown(id, decision, actor(&visit))
            .await?;
    }
    Ok(Redirect::to(&format!("/replays/{job}")).into_response())
}

async fn unknown_of(state: &AppState, job: ReplayJobId) -> Result<Vec<ReplayId>, Problem> {
    let replays = state
        .store
        .replays_of_job(job, MOST_EVENTS_OF_A_JOB)
        .await?;
    let unknown = replays
        .iter()
        .filter(|r| r.state.name() == ReplayStateName::Unknown);
    Ok(unknown.map(|replay| replay.id).collect())
}

pub(crate) fn parse_job(text: &str) -> Result<ReplayJobId, Problem> {
    text.parse()
        .map_err(|_| Problem::not_found("a replay job is named by a UUID"))
}

pub(crate) fn parse_replay(text: &str) -> Result<ReplayId, Problem> {
    text.parse()
        .map_err(|_| Problem::not_found("a replay is named by a UUID"))
}

pub(crate) fn parse_decision(text: &str) -> Result<Decision, Problem> {
    let known = [
        Decision::SendAgain,
        Decision::AcceptAsSent,
        Decision::AcceptAsFailed,
    ];
    known
        .into_iter()
        .find(|decision| decision.as_str() == text)
        .ok_or_else(|| {
            Problem::bad_request("decision must be send_again, accept_as_sent or accept_as_failed")
        })
}
