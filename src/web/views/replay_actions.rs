//! What people do on the page of a job: cancel what is not sent, decide what is unknown.

use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};

use super::decision_form::seen_unknown;
use super::preflight::actor;
use super::replay_form::brake_of;
use super::replay_job::show_job;
use crate::domain::{ReplayId, ReplayJobId};
use crate::replay::Decision;
use crate::web::AppState;
use crate::web::parameters::Parameters;
use crate::web::path::Path;
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
    Ok(back_to(job))
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
    Ok(back_to(job))
}

pub(crate) async fn resume_replay(
    State(state): State<AppState>,
    Path(job): Path<String>,
    visit: Visit,
    CheckedForm(_): CheckedForm,
) -> Result<Response, Problem> {
    let job = parse_job(&job)?;
    state.replay.resume(job, actor(&visit)).await?;
    Ok(back_to(job))
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
    Ok(back_to(job))
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
    if let Some(id) = fields.get("replay") {
        let (id, actor) = (parse_replay(id)?, actor(&visit));
        state.replay.resolve_unknown(id, decision, actor).await?;
        return Ok(back_to(job));
    }
    match decide_about_all(&state, &visit, job, decision, &fields).await {
        Ok(()) => Ok(back_to(job)),
        Err(problem) if problem.is_conflict() => {
            show_job(&state, &visit, job, problem.detail).await
        }
        Err(problem) => Err(problem),
    }
}

async fn decide_about_all(
    state: &AppState,
    visit: &Visit,
    job: ReplayJobId,
    decision: Decision,
    fields: &Parameters,
) -> Result<(), Problem> {
    let seen = seen_unknown(fields)?;
    let all = state
        .replay
        .resolve_all_unknown(job, seen, decision, actor(visit));
    all.await?;
    Ok(())
}

fn back_to(job: ReplayJobId) -> Response {
    Redirect::to(&format!("/replays/{job}")).into_response()
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
