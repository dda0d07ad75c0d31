use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use super::Body;
use super::list::time;
use crate::config::HumanDuration;
use crate::domain::{FailureGroupId, RedrivePolicy};
use crate::store::StoredPolicy;
use crate::web::AppState;
use crate::web::path::Path;
use crate::web::problem::Problem;
use crate::web::views::{known_group, no_policy, parse_delay, remove_policy, save_policy};
use crate::web::visit::Visit;

/// A policy as somebody wants it; what is left out is as in a new one.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewPolicy {
    enabled: bool,
    attempts: Option<u32>,
    first_delay: Option<String>,
    factor: Option<u32>,
    events_per_second: Option<u32>,
    stop_percent: Option<u8>,
}

/// A policy, what it did, and what its last look at the group found.
#[derive(Debug, Serialize)]
pub(super) struct Policy {
    enabled: bool,
    attempts: u32,
    first_delay: String,
    factor: u32,
    events_per_second: Option<u32>,
    stop_percent: u8,
    changed_by: String,
    changed_at: String,
    /// Why it switched itself off.
    stopped_reason: Option<String>,
    runs: u64,
    events: u64,
    last_job: Option<String>,
    /// It has still something to send, so that the next run waits.
    is_sending: bool,
    looked_at: Option<String>,
    waiting: u64,
    next_due_at: Option<String>,
    for_next_run: u64,
    skipped: Vec<Skipped>,
}

#[derive(Debug, Serialize)]
struct Skipped {
    reason: String,
    count: u64,
}

pub(super) async fn detail(
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<Json<Policy>, Problem> {
    load(&state, &id.as_str().into()).await.map(Json)
}

pub(super) async fn set(
    State(state): State<AppState>,
    Path(id): Path<String>,
    visit: Visit,
    Body(body): Body<NewPolicy>,
) -> Result<Json<Policy>, Problem> {
    let group = id.as_str().into();
    let enabled = body.enabled;
    save_policy(&state, &visit, &group, enabled, policy_of(&body)?).await?;
    load(&state, &group).await.map(Json)
}

pub(super) async fn remove(
    State(state): State<AppState>,
    Path(id): Path<String>,
    visit: Visit,
) -> Result<StatusCode, Problem> {
    remove_policy(&state, &visit, &id.as_str().into()).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn policy_of(body: &NewPolicy) -> Result<RedrivePolicy, Problem> {
    let default = RedrivePolicy::default();
    let first_delay = body.first_delay.as_deref().map(parse_delay).transpose()?;
    Ok(RedrivePolicy {
        attempts: body.attempts.unwrap_or(default.attempts),
        first_delay: first_delay.unwrap_or(default.first_delay),
        factor: body.factor.unwrap_or(default.factor),
        events_per_second: body.events_per_second,
        stop_percent: body.stop_percent.unwrap_or(default.stop_percent),
    })
}

async fn load(state: &AppState, group: &FailureGroupId) -> Result<Policy, Problem> {
    known_group(state, group).await?;
    let stored = state.store.redrive_policy(group).await?;
    let stored = stored.ok_or_else(|| no_policy(group))?;
    let last_run = state.store.last_redrive_run(group).await?;
    Ok(Policy {
        last_job: last_run.map(|(job, _)| job.to_string()),
        is_sending: state.store.redrive_run_is_under_way(group).await?,
        ..Policy::of(stored)
    })
}

impl Policy {
    fn of(stored: StoredPolicy) -> Self {
        let policy = stored.policy;
        let (looked_at, findings) = stored.findings.unzip();
        let findings = findings.unwrap_or_default();
        let skipped = findings.skipped.into_iter();
        Self {
            enabled: stored.enabled,
            attempts: policy.attempts,
            first_delay: HumanDuration(policy.first_delay).to_string(),
            factor: policy.factor,
            events_per_second: policy.events_per_second,
            stop_percent: policy.stop_percent,
            changed_by: stored.changed_by,
            changed_at: time(stored.changed_at),
            stopped_reason: stored.stopped,
            runs: stored.runs,
            events: stored.events,
            last_job: None,
            is_sending: false,
            looked_at: looked_at.map(time),
            waiting: findings.waiting,
            next_due_at: findings.next_due.map(time),
            for_next_run: findings.for_next_run,
            skipped: skipped
                .map(|(reason, count)| Skipped { reason, count })
                .collect(),
        }
    }
}
