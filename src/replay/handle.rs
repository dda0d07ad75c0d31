use std::sync::Arc;

use tokio::sync::watch;

use crate::config::Config;
use crate::domain::{
    Brake, ClusterName, Filter, Replay, ReplayEvent, ReplayId, ReplayJob, ReplayJobId,
    ReplayJobState, ReplayStateName, Snapshot, Timestamp,
};
use crate::metrics::Metrics;
use crate::schemas::Schemas;
use crate::store::{DECIDED_AT_ONCE, NewAuditEntry, Store, UnknownReplays};

use super::changes::Changes;
use super::obstacles::{Obstacle, Obstacles};
use super::outcome::count_outcomes;
use super::topic_limits::TopicLimits;
use super::{Actor, Decision, ReplayError, SeenUnknown};

/// What people do with replays. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ReplayHandle {
    pub(super) config: Arc<Config>,
    pub(super) store: Store,
    pub(super) metrics: Arc<Metrics>,
    pub(super) snapshots: watch::Receiver<Arc<Snapshot>>,
    pub(super) changes: Changes,
    pub(super) obstacles: Obstacles,
    /// By which replays are gated.
    pub(super) schemas: Option<Schemas>,
    pub(super) topic_limits: TopicLimits,
}

impl ReplayHandle {
    /// A person decides about a replay that is unknown.
    pub async fn resolve_unknown(
        &self,
        id: ReplayId,
        decision: Decision,
        actor: Actor,
    ) -> Result<Replay, ReplayError> {
        let at = Timestamp::now();
        let event = event_of(decision, at);
        let detail = serde_json::json!({ "replay": id, "decision": decision.as_str() });
        let entry = entry("replay.resolve", actor, at, detail);
        let replay = self.store.resolve_unknown(id, event, &entry).await?;
        let changed = std::slice::from_ref(&replay);
        count_outcomes(&self.store, &self.metrics, changed).await;
        self.changes.announce();
        Ok(replay)
    }

    /// Decides the same about every replay of a job that somebody saw as unknown; answers how many they were.
    pub async fn resolve_all_unknown(
        &self,
        job: ReplayJobId,
        seen: SeenUnknown,
        decision: Decision,
        actor: Actor,
    ) -> Result<u64, ReplayError> {
        self.must_exist(job).await?;
        let detail = serde_json::json!({ "job": job, "decision": decision.as_str() });
        let replays = UnknownReplays::OfJob(job);
        self.resolve_seen((replays, seen), decision, (actor, detail))
            .await
    }

    /// Decides the same about every replay that somebody saw as unknown and whose dead letter matches, of
    /// whatever job; answers how many they were.
    pub async fn resolve_matching_unknown(
        &self,
        filter: &Filter,
        seen: SeenUnknown,
        decision: Decision,
        actor: Actor,
    ) -> Result<u64, ReplayError> {
        let detail = serde_json::json!({
            "filter": filter.text(),
            "unknown_since": seen.through.to_rfc3339(),
            "decision": decision.as_str(),
        });
        let replays = UnknownReplays::Matching(filter);
        self.resolve_seen((replays, seen), decision, (actor, detail))
            .await
    }

    /// The set is read once and then decided in parts: what becomes unknown meanwhile is another decision.
    async fn resolve_seen(
        &self,
        (replays, seen): (UnknownReplays<'_>, SeenUnknown),
        decision: Decision,
        (actor, detail): (Actor, serde_json::Value),
    ) -> Result<u64, ReplayError> {
        let set = self.store.unknown_replays(replays, seen.through).await?;
        let found = set.len() as u64;
        if let Some(seen) = seen.count.filter(|seen| *seen != found) {
            return Err(ReplayError::OtherUnknown { seen, found });
        }
        let mut count = 0;
        for part in set.chunks(DECIDED_AT_ONCE) {
            let at = Timestamp::now();
            let entry = entry("replay.resolve", actor.clone(), at, detail.clone());
            let (part, event) = ((part, seen.through), event_of(decision, at));
            let decided = self.store.resolve_some(part, &event, &entry).await?;
            count_outcomes(&self.store, &self.metrics, &decided).await;
            count += decided.len() as u64;
            self.changes.announce();
        }
        Ok(count)
    }

    /// Cancels what a job has still planned and answers how many events that were. What is being sent or
    /// was sent stays as it is.
    pub async fn cancel(&self, job: ReplayJobId, actor: Actor) -> Result<u64, ReplayError> {
        self.must_exist(job).await?;
        let reason = format!("being cancelled by {}", actor.name);
        let detail = serde_json::json!({ "job": job });
        let mut count = 0;
        loop {
            let at = Timestamp::now();
            let entry = entry("replay.cancel", actor.clone(), at, detail.clone());
            let cancelled = self.store.cancel_some(job, &reason, &entry).await?;
            count_outcomes(&self.store, &self.metrics, &cancelled).await;
            count += cancelled.len() as u64;
            self.changes.announce();
            let job = self.store.replay_job(job).await?;
            if job.is_none_or(|job| job.count(ReplayStateName::Planned) == 0) {
                return Ok(count);
            }
        }
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

    /// Replaces the brake of a job; a canary ramp goes on where it was. What is loaded and not being sent waits for
    /// the new one.
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
        self.changes.announce_brake();
        Ok(())
    }

    async fn must_exist(&self, job: ReplayJobId) -> Result<(), ReplayError> {
        let found = self.store.replay_job(job).await?;
        found.map(drop).ok_or(ReplayError::NoSuchJob(job))
    }

    /// Why replays of a job that are planned had to wait lately, by the clusters to which they go. None while
    /// the job may not be sent.
    pub async fn obstacles(
        &self,
        job: &ReplayJob,
    ) -> Result<Vec<(ClusterName, Obstacle)>, ReplayError> {
        if job.count(ReplayStateName::Planned) == 0 || job.state != ReplayJobState::Ready {
            return Ok(Vec::new());
        }
        let clusters = self.store.clusters_of_planned(job.id).await?;
        let met = |cluster: ClusterName| Some((cluster.clone(), self.obstacles.of(&cluster)?));
        Ok(clusters.into_iter().filter_map(met).collect())
    }

    /// Changes its value whenever a replay changed its state here.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

const fn event_of(decision: Decision, at: Timestamp) -> ReplayEvent {
    match decision {
        Decision::SendAgain => ReplayEvent::SendAgain,
        Decision::AcceptAsSent => ReplayEvent::AcceptAsSent { at },
        Decision::AcceptAsFailed => ReplayEvent::AcceptAsFailed { at },
    }
}

/// Percent that may die again or fail before a canary ramp stops, where nobody chose.
const RAMP_STOP_PERCENT: u8 = 10;

/// A brake that makes sense; a ramp always has a limit at which it stops.
pub(super) fn checked(mut brake: Brake) -> Result<Brake, ReplayError> {
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

pub(super) fn brake_for_audit(brake: &Brake) -> serde_json::Value {
    serde_json::json!({
        "not_before": brake.not_before.map(Timestamp::to_rfc3339),
        "events_per_second": brake.events_per_second,
        "ramp": brake.ramp,
        "stop_percent": brake.stop_percent,
        "stop_count": brake.stop_count,
    })
}

pub(super) fn entry(
    action: &str,
    actor: Actor,
    at: Timestamp,
    detail: serde_json::Value,
) -> NewAuditEntry {
    NewAuditEntry {
        at,
        actor: actor.name,
        address: actor.address,
        action: action.to_owned(),
        detail,
    }
}
