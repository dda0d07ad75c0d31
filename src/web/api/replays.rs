use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use super::Body;
use super::list::{List, page_request, time};
use super::replay_request::{BrakeBody, NewReplays};
use crate::domain::{
    Destination, Replay, ReplayJob, ReplayJobId, ReplayOptions, ReplayState, Timestamp,
};
use crate::replay::SeenUnknown;
use crate::store::{PageRequest, RefusedReplay};
use crate::web::AppState;
use crate::web::path::Path;
use crate::web::problem::Problem;
use crate::web::views::{
    actor, changed_meanwhile, chosen_state, evidence, parse_decision, parse_job, parse_replay,
};
use crate::web::visit::Visit;

/// A job with its counts.
#[derive(Debug, Serialize)]
pub(super) struct Job {
    id: String,
    created_at: String,
    created_by: String,
    selection: String,
    state: &'static str,
    /// Why it is paused.
    reason: Option<String>,
    brake: BrakeBody,
    options: ReplayOptions,
    total: u64,
    counts: BTreeMap<&'static str, u64>,
    /// Of a large job: selected events that are not part of it.
    refused_count: u64,
}

/// A job with its first events.
#[derive(Debug, Serialize)]
pub(super) struct JobDetail {
    #[serde(flatten)]
    job: Job,
    events: Vec<Event>,
    /// What keeps planned events from being sent now; it is tried again without anybody's doing.
    obstacles: Vec<ObstacleAt>,
    /// Only in the answer that creates the job.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    refused: Vec<Refused>,
}

#[derive(Debug, Serialize)]
struct ObstacleAt {
    cluster: String,
    at: String,
    reason: String,
}

/// One replay of one dead letter.
#[derive(Debug, Serialize)]
pub(super) struct Event {
    dead_letter_id: i64,
    replay_id: String,
    job_id: String,
    state: &'static str,
    revision: u32,
    attempt: u32,
    destination: Destination,
    updated_at: String,
    /// The state with what it knows.
    detail: ReplayState,
    /// The same for people.
    evidence: String,
}

#[derive(Debug, Serialize)]
struct Refused {
    dead_letter_id: i64,
    reason: String,
}

/// What a person decides about an unknown replay.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DecisionBody {
    pub(super) decision: String,
}

/// A decision about every replay of a job that is unknown.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DecisionAboutJob {
    decision: String,
    /// How many the person saw; with another number nothing is decided.
    count: Option<u64>,
}

/// Freezes a job and has it sent.
pub(super) async fn create(
    State(state): State<AppState>,
    visit: Visit,
    Body(body): Body<NewReplays>,
) -> Result<(StatusCode, Json<JobDetail>), Problem> {
    let (request, brake) = (body.request()?, body.brake()?);
    if let Some(seen) = body.eligible {
        let eligible = state.replay.preflight(&request).await?.eligible;
        if seen != eligible {
            return Err(Problem::conflict(changed_meanwhile(
                &seen.to_string(),
                eligible,
            )));
        }
    }
    let started = state
        .replay
        .start_held(request, brake, actor(&visit))
        .await?;
    let mut detail = JobDetail::load(&state, started.job, visit.now).await?;
    detail.refused = started.refused.into_iter().map(refused).collect();
    Ok((StatusCode::CREATED, Json(detail)))
}

/// Jobs, the newest first.
pub(super) async fn list(
    State(state): State<AppState>,
    visit: Visit,
) -> Result<Json<List<Job>>, Problem> {
    let page = state.store.replay_jobs(&page_request(&visit)?).await?;
    Ok(Json(List::of(page, Job::of)))
}

pub(super) async fn detail(
    State(state): State<AppState>,
    Path(id): Path<String>,
    visit: Visit,
) -> Result<Json<JobDetail>, Problem> {
    JobDetail::load(&state, parse_job(&id)?, visit.now)
        .await
        .map(Json)
}

/// Events of a job in the order in which they are sent, all or those in one state.
pub(super) async fn events(
    State(state): State<AppState>,
    Path(id): Path<String>,
    visit: Visit,
) -> Result<Json<List<Event>>, Problem> {
    let id = parse_job(&id)?;
    let known = state.store.replay_job(id).await?;
    known.ok_or_else(|| Problem::not_found(format!("there is no replay job {id}")))?;
    let chosen = chosen_state(&visit)?;
    let page = page_request(&visit)?;
    let page = state.store.events_of_job(id, chosen, &page).await?;
    Ok(Json(List::of(page, |replay| Event::of(&replay, visit.now))))
}

/// Cancels what is not sent yet.
pub(super) async fn cancel(
    State(state): State<AppState>,
    Path(id): Path<String>,
    visit: Visit,
) -> Result<Json<JobDetail>, Problem> {
    let id = parse_job(&id)?;
    state.replay.cancel(id, actor(&visit)).await?;
    JobDetail::load(&state, id, visit.now).await.map(Json)
}

/// Nothing begins to be sent until the job is resumed.
pub(super) async fn pause(
    State(state): State<AppState>,
    Path(id): Path<String>,
    visit: Visit,
) -> Result<Json<JobDetail>, Problem> {
    let id = parse_job(&id)?;
    state.replay.pause(id, actor(&visit)).await?;
    JobDetail::load(&state, id, visit.now).await.map(Json)
}

pub(super) async fn resume(
    State(state): State<AppState>,
    Path(id): Path<String>,
    visit: Visit,
) -> Result<Json<JobDetail>, Problem> {
    let id = parse_job(&id)?;
    state.replay.resume(id, actor(&visit)).await?;
    JobDetail::load(&state, id, visit.now).await.map(Json)
}

/// Replaces the brake of a job.
pub(super) async fn set_brake(
    State(state): State<AppState>,
    Path(id): Path<String>,
    visit: Visit,
    Body(body): Body<BrakeBody>,
) -> Result<Json<JobDetail>, Problem> {
    let id = parse_job(&id)?;
    let brake = body.parse()?;
    state.replay.set_brake(id, brake, actor(&visit)).await?;
    JobDetail::load(&state, id, visit.now).await.map(Json)
}

/// Decides about every unknown replay of a job.
pub(super) async fn resolve_all(
    State(state): State<AppState>,
    Path(id): Path<String>,
    visit: Visit,
    Body(body): Body<DecisionAboutJob>,
) -> Result<Json<JobDetail>, Problem> {
    let id = parse_job(&id)?;
    let decision = parse_decision(&body.decision)?;
    let seen = SeenUnknown {
        through: visit.now,
        count: body.count,
    };
    let all = state
        .replay
        .resolve_all_unknown(id, seen, decision, actor(&visit));
    all.await?;
    JobDetail::load(&state, id, visit.now).await.map(Json)
}

/// Decides about one unknown replay.
pub(super) async fn resolve(
    State(state): State<AppState>,
    Path((job, replay)): Path<(String, String)>,
    visit: Visit,
    Body(body): Body<DecisionBody>,
) -> Result<Json<Event>, Problem> {
    let (job, replay) = (parse_job(&job)?, parse_replay(&replay)?);
    if state.store.replay(replay).await?.job != job {
        return Err(Problem::not_found(format!(
            "job {job} has no replay {replay}"
        )));
    }
    let decision = parse_decision(&body.decision)?;
    let replay = state
        .replay
        .resolve_unknown(replay, decision, actor(&visit))
        .await?;
    Ok(Json(Event::of(&replay, visit.now)))
}

impl Job {
    fn of(job: ReplayJob) -> Self {
        Self {
            id: job.id.to_string(),
            created_at: time(job.created_at),
            state: job.state.as_str(),
            brake: BrakeBody::of(&job.brake),
            options: job.options,
            total: job.total(),
            refused_count: job.refused,
            counts: job
                .counts
                .iter()
                .map(|(state, count)| (state.as_str(), *count))
                .collect(),
            created_by: job.created_by,
            selection: job.selection,
            reason: job.reason,
        }
    }
}

impl JobDetail {
    async fn load(state: &AppState, id: ReplayJobId, now: Timestamp) -> Result<Self, Problem> {
        let job = state.store.replay_job(id).await?;
        let job = job.ok_or_else(|| Problem::not_found(format!("there is no replay job {id}")))?;
        let first = PageRequest::first(PageRequest::MAX_LIMIT);
        let events = state.store.events_of_job(id, None, &first).await?.items;
        let met = state.replay.obstacles(&job).await?.into_iter();
        let obstacles = met.map(|(cluster, obstacle)| ObstacleAt {
            cluster: cluster.to_string(),
            at: time(obstacle.at),
            reason: obstacle.reason,
        });
        Ok(Self {
            job: Job::of(job),
            events: events.iter().map(|replay| Event::of(replay, now)).collect(),
            obstacles: obstacles.collect(),
            refused: Vec::new(),
        })
    }
}

impl Event {
    pub(super) fn of(replay: &Replay, now: Timestamp) -> Self {
        Self {
            dead_letter_id: replay.dead_letter.0,
            replay_id: replay.id.to_string(),
            job_id: replay.job.to_string(),
            state: replay.state.name().as_str(),
            revision: replay.revision.0,
            attempt: replay.attempt,
            destination: replay.destination.clone(),
            updated_at: time(replay.updated_at),
            evidence: evidence(replay, now),
            detail: replay.state.clone(),
        }
    }
}

fn refused(refused: RefusedReplay) -> Refused {
    Refused {
        dead_letter_id: refused.dead_letter.0,
        reason: refused.reason,
    }
}
