use std::collections::HashSet;
use std::sync::Arc;

use tokio::sync::watch;
use uuid::Uuid;

use crate::config::Config;
use crate::domain::{
    Brake, DeadLetterId, Replay, ReplayEvent, ReplayId, ReplayJobId, Snapshot, Timestamp,
};
use crate::metrics::Metrics;
use crate::schemas::Schemas;
use crate::store::{NewAuditEntry, NewReplay, NewReplayJob, RefusedReplay, ReplayCandidate, Store};

use super::audience::audiences;
use super::changes::Changes;
use super::outcome::count_outcomes;
use super::plan::{PlanContext, judge, sort_for_sending};
use super::topic_limits::TopicLimits;
use super::{
    Actor, Decision, DestinationChoice, JobStarted, MOST_EVENTS_OF_A_JOB, Preflight,
    PreflightEvent, ReplayError, ReplayRequest, RevisionChoice, Selection, crash, plan,
};

/// What people do with replays. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ReplayHandle {
    pub(super) config: Arc<Config>,
    pub(super) store: Store,
    pub(super) metrics: Arc<Metrics>,
    pub(super) snapshots: watch::Receiver<Arc<Snapshot>>,
    pub(super) changes: Changes,
    /// By which replays are gated.
    pub(super) schemas: Option<Schemas>,
    pub(super) topic_limits: TopicLimits,
}

/// A selection as it was looked up.
struct Selected {
    ids: Vec<DeadLetterId>,
    matching: u64,
    cut_at: Option<u32>,
}

impl ReplayHandle {
    /// The same with the schemas of the configuration, which refuse replays if it says so.
    #[must_use]
    pub fn gated_by(mut self, schemas: Schemas) -> Self {
        self.schemas = Some(schemas).filter(Schemas::gates_replays);
        self
    }

    /// What would happen if the request were confirmed now. Changes nothing.
    pub async fn preflight(&self, request: &ReplayRequest) -> Result<Preflight, ReplayError> {
        let selected = self.select(&request.selection).await?;
        let candidates = self.candidates(&selected.ids, request.revision).await?;
        let snapshot = self.snapshots.borrow().clone();
        let mut events = self.judge_all(&selected.ids, &candidates, request, &snapshot);
        self.gate(&mut events, &candidates).await?;
        Ok(Preflight {
            matching: selected.matching,
            cut_at: selected.cut_at,
            audiences: audiences(&events, &candidates, &snapshot),
            events,
        })
    }

    /// Freezes a job and has it sent. When this returns, the job is on disk.
    pub async fn start(
        &self,
        request: ReplayRequest,
        actor: Actor,
    ) -> Result<JobStarted, ReplayError> {
        self.start_held(request, Brake::default(), actor).await
    }

    /// The same with a brake from the first event on.
    pub async fn start_held(
        &self,
        request: ReplayRequest,
        brake: Brake,
        actor: Actor,
    ) -> Result<JobStarted, ReplayError> {
        let brake = checked(brake)?;
        let selected = self.select(&request.selection).await?;
        let candidates = self.candidates(&selected.ids, request.revision).await?;
        let snapshot = self.snapshots.borrow().clone();
        let mut events = self.judge_all(&selected.ids, &candidates, &request, &snapshot);
        self.gate(&mut events, &candidates).await?;
        let (job, mut refused) = freeze(events, &request, &actor, Timestamp::now());
        if job.replays.is_empty() {
            return Err(ReplayError::NothingEligible { refused });
        }
        crash::point("plan.before_commit");
        let created = self
            .store
            .create_held_job(&job, &brake, &creation_entry(&job, &request, &brake, actor))
            .await?;
        crash::point("plan.committed");
        refused.extend(created.refused);
        if created.planned.is_empty() {
            return Err(ReplayError::NothingEligible { refused });
        }
        tracing::info!(job = %job.id, planned = created.planned.len(), "a replay job was confirmed");
        self.changes.announce();
        Ok(JobStarted {
            job: job.id,
            planned: created.planned,
            refused,
        })
    }

    /// A person decides about a replay that is unknown.
    pub async fn resolve_unknown(
        &self,
        id: ReplayId,
        decision: Decision,
        actor: Actor,
    ) -> Result<Replay, ReplayError> {
        let at = Timestamp::now();
        let event = match decision {
            Decision::SendAgain => ReplayEvent::SendAgain,
            Decision::AcceptAsSent => ReplayEvent::AcceptAsSent { at },
            Decision::AcceptAsFailed => ReplayEvent::AcceptAsFailed { at },
        };
        let detail = serde_json::json!({ "replay": id, "decision": decision.as_str() });
        let entry = entry("replay.resolve", actor, at, detail);
        let replay = self.store.resolve_unknown(id, event, &entry).await?;
        let changed = std::slice::from_ref(&replay);
        count_outcomes(&self.store, &self.metrics, changed).await;
        self.changes.announce();
        Ok(replay)
    }

    /// Cancels what a job has still planned. What is being sent or was sent stays as it is.
    pub async fn cancel(
        &self,
        job: ReplayJobId,
        actor: Actor,
    ) -> Result<Vec<ReplayId>, ReplayError> {
        self.must_exist(job).await?;
        let detail = serde_json::json!({ "job": job });
        let entry = entry("replay.cancel", actor, Timestamp::now(), detail);
        let cancelled = self.store.cancel_job(job, &entry).await?;
        for id in &cancelled {
            let replay = self.store.replay(*id).await?;
            count_outcomes(&self.store, &self.metrics, &[replay]).await;
        }
        self.changes.announce();
        Ok(cancelled)
    }

    /// Pauses a job: once this returns, none of its events begins to be sent.
    pub async fn pause(&self, job: ReplayJobId, actor: Actor) -> Result<(), ReplayError> {
        self.must_exist(job).await?;
        let reason = format!("paused by {}", actor.name);
        let detail = serde_json::json!({ "job": job });
        let entry = entry("replay.pause", actor, Timestamp::now(), detail);
        if !self.store.pause_job(job, &reason, &entry).await? {
            return Err(ReplayError::PausedAlready(job));
        }
        self.changes.announce();
        Ok(())
    }

    /// Lets a paused job go on. What died again or failed so far does not stop it any more.
    pub async fn resume(&self, job: ReplayJobId, actor: Actor) -> Result<(), ReplayError> {
        self.must_exist(job).await?;
        let detail = serde_json::json!({ "job": job });
        let entry = entry("replay.resume", actor, Timestamp::now(), detail);
        if !self.store.resume_job(job, &entry).await? {
            return Err(ReplayError::NotPaused(job));
        }
        self.changes.announce();
        Ok(())
    }

    /// Replaces the brake of a job; a canary ramp goes on where it was.
    pub async fn set_brake(
        &self,
        job: ReplayJobId,
        brake: Brake,
        actor: Actor,
    ) -> Result<(), ReplayError> {
        let brake = checked(brake)?;
        let detail = serde_json::json!({ "job": job, "brake": brake_for_audit(&brake) });
        let entry = entry("replay.brake", actor, Timestamp::now(), detail);
        if !self.store.set_brake(job, &brake, &entry).await? {
            return Err(ReplayError::NoSuchJob(job));
        }
        self.changes.announce();
        Ok(())
    }

    async fn must_exist(&self, job: ReplayJobId) -> Result<(), ReplayError> {
        let found = self.store.replay_job(job).await?;
        found.map(drop).ok_or(ReplayError::NoSuchJob(job))
    }

    /// Changes its value whenever a replay changed its state here.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    async fn select(&self, selection: &Selection) -> Result<Selected, ReplayError> {
        let selected = match selection {
            Selection::DeadLetters(ids) => select_named(ids)?,
            Selection::Filter(filter) => {
                let now = Timestamp::now();
                let limit = MOST_EVENTS_OF_A_JOB;
                let ids = self.store.matching_ids(filter, now, limit).await?;
                let matching = self.store.count_dead_letters(filter, now).await?;
                let cut_at = (matching > u64::from(limit)).then_some(limit);
                Selected {
                    ids,
                    matching,
                    cut_at,
                }
            }
        };
        if selected.ids.is_empty() {
            return Err(ReplayError::NothingSelected);
        }
        Ok(selected)
    }

    async fn candidates(
        &self,
        ids: &[DeadLetterId],
        revision: RevisionChoice,
    ) -> Result<Vec<ReplayCandidate>, ReplayError> {
        let revision = match revision {
            RevisionChoice::Latest => None,
            RevisionChoice::Number(number) => Some(number),
        };
        let mut candidates = self.store.replay_candidates(ids, revision).await?;
        sort_for_sending(&mut candidates);
        Ok(candidates)
    }

    fn judge_all(
        &self,
        ids: &[DeadLetterId],
        candidates: &[ReplayCandidate],
        request: &ReplayRequest,
        snapshot: &Snapshot,
    ) -> Vec<PreflightEvent> {
        let context = PlanContext {
            config: &self.config,
            snapshot,
            request,
        };
        let known: HashSet<DeadLetterId> = candidates
            .iter()
            .map(|candidate| candidate.summary.id)
            .collect();
        let judged = candidates
            .iter()
            .map(|candidate| judge(candidate, &context));
        let missing = ids.iter().filter(|id| !known.contains(id));
        judged.chain(missing.map(|id| plan::unknown(*id))).collect()
    }
}

/// Percent that may die again or fail before a canary ramp stops, where nobody chose.
const RAMP_STOP_PERCENT: u8 = 10;

/// A brake that makes sense; a ramp always has a limit at which it stops.
fn checked(mut brake: Brake) -> Result<Brake, ReplayError> {
    if brake.events_per_second == Some(0) {
        return Err(ReplayError::NoRate);
    }
    if let Some(percent) = brake.stop_percent.filter(|percent| *percent > 100) {
        return Err(ReplayError::NoPercentage(percent));
    }
    if brake.ramp && brake.stop_percent.is_none() && brake.stop_count.is_none() {
        brake.stop_percent = Some(RAMP_STOP_PERCENT);
    }
    Ok(brake)
}

fn brake_for_audit(brake: &Brake) -> serde_json::Value {
    serde_json::json!({
        "not_before": brake.not_before.map(Timestamp::to_rfc3339),
        "events_per_second": brake.events_per_second,
        "ramp": brake.ramp,
        "stop_percent": brake.stop_percent,
        "stop_count": brake.stop_count,
    })
}

fn select_named(ids: &[DeadLetterId]) -> Result<Selected, ReplayError> {
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    ids.dedup();
    if ids.len() > MOST_EVENTS_OF_A_JOB as usize {
        return Err(ReplayError::TooMany { count: ids.len() });
    }
    Ok(Selected {
        matching: ids.len() as u64,
        ids,
        cut_at: None,
    })
}

/// The job of what is eligible, in the order of sending, and what is not.
fn freeze(
    events: Vec<PreflightEvent>,
    request: &ReplayRequest,
    actor: &Actor,
    now: Timestamp,
) -> (NewReplayJob, Vec<RefusedReplay>) {
    let mut replays = Vec::new();
    let mut refused = Vec::new();
    for event in events {
        match event.verdict {
            // IDs of version 7 are in the order in which they were made, which is that of sending.
            Ok(destination) => replays.push(NewReplay {
                id: ReplayId(Uuid::now_v7()),
                dead_letter: event.dead_letter,
                revision: event.revision,
                destination,
            }),
            Err(refusal) => refused.push(RefusedReplay {
                dead_letter: event.dead_letter,
                reason: refusal.reason,
            }),
        }
    }
    let job = NewReplayJob {
        id: ReplayJobId(Uuid::now_v7()),
        created_at: now,
        created_by: actor.name.clone(),
        selection: selection_for_people(&request.selection),
        replays,
    };
    (job, refused)
}

fn selection_for_people(selection: &Selection) -> String {
    match selection {
        Selection::DeadLetters(ids) if ids.len() == 1 => format!("dead letter {}", ids[0]),
        Selection::DeadLetters(ids) => format!("{} dead letters", ids.len()),
        Selection::Filter(filter) if filter.is_empty() => "all dead letters".to_owned(),
        Selection::Filter(filter) => filter.to_string(),
    }
}

/// The store adds which replays it planned: the exact set.
fn creation_entry(
    job: &NewReplayJob,
    request: &ReplayRequest,
    brake: &Brake,
    actor: Actor,
) -> NewAuditEntry {
    let destination = match &request.destination {
        DestinationChoice::Original => "original".to_owned(),
        _ => job
            .replays
            .first()
            .map(|replay| replay.destination.to_string())
            .unwrap_or_default(),
    };
    let detail = serde_json::json!({
        "job": job.id,
        "selection": job.selection,
        "destination": destination,
        "brake": brake_for_audit(brake),
    });
    entry("replay.create", actor, job.created_at, detail)
}

fn entry(action: &str, actor: Actor, at: Timestamp, detail: serde_json::Value) -> NewAuditEntry {
    NewAuditEntry {
        at,
        actor: actor.name,
        address: actor.address,
        action: action.to_owned(),
        detail,
    }
}
