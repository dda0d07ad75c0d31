//! How much of each job may be sent now: its time, its canary step, its rate.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::{EngineContext, WINDOW};
use crate::domain::{ReplayJob, ReplayJobId, ReplayNumber, Timestamp};
use crate::store::{PlannedReplay, StoreError};

/// A rate is kept in portions, each of at least so long.
const SHORTEST_PORTION: Duration = Duration::from_millis(100);

/// Planned replays that may be sent now, and when more may be allowed.
pub(super) struct Allowed {
    pub(super) planned: Vec<PlannedReplay>,
    pub(super) look_again: Option<Duration>,
    /// A rate or a canary step had a say in it.
    pub(super) is_braked: bool,
    /// As of which brakes it is allowed.
    pub(super) brakes: u64,
    /// After what to go on, if more is planned that no brake has a say in.
    pub(super) more_after: Option<LoadedTo>,
}

/// The last replay of each job that was loaded.
pub(super) type LoadedTo = HashMap<ReplayJobId, ReplayNumber>;

/// What each job with a rate has saved up: at most what a second allows.
#[derive(Debug, Default)]
pub(super) struct Pacing {
    buckets: HashMap<ReplayJobId, Bucket>,
}

#[derive(Debug)]
struct Bucket {
    /// Thousandths of an event.
    thousandths: u64,
    filled_at: Instant,
}

impl Pacing {
    /// Loads what may be sent now, the oldest job first.
    pub(super) async fn load(&mut self, context: &EngineContext) -> Result<Allowed, StoreError> {
        self.load_after(context, &LoadedTo::new()).await
    }

    /// The same of what was planned after the named replays.
    pub(super) async fn load_after(
        &mut self,
        context: &EngineContext,
        after: &LoadedTo,
    ) -> Result<Allowed, StoreError> {
        let brakes = context.changes.brakes();
        let jobs = context.store.jobs_to_send().await?;
        self.buckets
            .retain(|id, _| jobs.iter().any(|job| job.id == *id));
        let (mut planned, mut is_braked, mut loaded) = (Vec::new(), false, after.clone());
        let mut look_again: Option<Duration> = None;
        let mut wait = |pause: Duration| {
            look_again = Some(look_again.map_or(pause, |known| known.min(pause)));
        };
        for job in &jobs {
            let room = u64::from(WINDOW).saturating_sub(planned.len() as u64);
            if room == 0 {
                break;
            }
            let now = Timestamp::now();
            if let Some(start) = job.brake.not_before.filter(|start| *start > now) {
                wait(start.since(now));
                continue;
            }
            let by_rate = self.by_rate(job, Instant::now());
            let by_ramp = job.allowed_by_ramp();
            is_braked |= by_rate.is_some() || by_ramp.is_some();
            let allowed = room
                .min(by_ramp.unwrap_or(u64::MAX))
                .min(by_rate.unwrap_or(u64::MAX));
            if by_rate.is_some() {
                wait(SHORTEST_PORTION);
            }
            let limit = u32::try_from(allowed).unwrap_or(WINDOW);
            if limit == 0 {
                continue;
            }
            let store = &context.store;
            let mut found = store
                .planned_replays(job.id, &context.cluster, after.get(&job.id).copied(), limit)
                .await?;
            if by_ramp.is_some() {
                keep_step(context, job.id, limit, &mut found).await?;
            }
            self.spend(job.id, found.len());
            loaded.extend(found.last().map(|last| (job.id, last.replay.number)));
            planned.extend(found);
        }
        let is_full = planned.len() >= WINDOW as usize;
        Ok(Allowed {
            planned,
            look_again,
            is_braked,
            brakes,
            more_after: (is_full && !is_braked).then_some(loaded),
        })
    }

    /// How many events the rate of a job allows now; `None` without a rate.
    fn by_rate(&mut self, job: &ReplayJob, now: Instant) -> Option<u64> {
        let rate = u64::from(job.brake.events_per_second?);
        // The first event leaves at once, after a restart too.
        let bucket = self.buckets.entry(job.id).or_insert(Bucket {
            thousandths: 1_000,
            filled_at: now,
        });
        let elapsed = now.saturating_duration_since(bucket.filled_at).as_millis();
        let elapsed = u64::try_from(elapsed).unwrap_or(u64::MAX);
        let saved = bucket
            .thousandths
            .saturating_add(rate.saturating_mul(elapsed));
        bucket.thousandths = saved.min(rate.max(1) * 1_000);
        // Not `now`: what is left of a millisecond counts the next time.
        bucket.filled_at += Duration::from_millis(elapsed);
        Some(bucket.thousandths / 1_000)
    }

    fn spend(&mut self, job: ReplayJobId, events: usize) {
        if let Some(bucket) = self.buckets.get_mut(&job) {
            let spent = (events as u64).saturating_mul(1_000);
            bucket.thousandths = bucket.thousandths.saturating_sub(spent);
        }
    }
}

/// Keeps of what is planned to one cluster what belongs to the canary step, which is that of all clusters
/// together: the first events of the job, whoever sends them. The step is read after them, so that what
/// another engine has begun to send meanwhile makes it smaller, never larger.
async fn keep_step(
    context: &EngineContext,
    job: ReplayJobId,
    limit: u32,
    found: &mut Vec<PlannedReplay>,
) -> Result<(), StoreError> {
    let mut first = context.store.first_planned(job, limit).await?;
    let job = context.store.replay_job(job).await?;
    let allowed = job.map_or(Some(0), |job| job.allowed_by_ramp());
    if let Some(allowed) = allowed {
        first.truncate(usize::try_from(allowed).unwrap_or(usize::MAX));
    }
    let last = first.last().copied();
    found.retain(|planned| last.is_some_and(|last| planned.replay.number <= last));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Brake, ReplayJobState, ReplayOptions, ReplayStateName};
    use uuid::Uuid;

    fn job(events_per_second: u32) -> ReplayJob {
        ReplayJob {
            id: ReplayJobId(Uuid::nil()),
            created_at: Timestamp(0),
            created_by: String::new(),
            selection: String::new(),
            state: ReplayJobState::Ready,
            reason: None,
            brake: Brake {
                events_per_second: Some(events_per_second),
                ..Brake::default()
            },
            options: ReplayOptions::default(),
            ramp_step: 0,
            ramp_base: 0,
            forgiven: 0,
            refused: 0,
            counts: vec![(ReplayStateName::Planned, 1000)],
        }
    }

    #[test]
    fn a_rate_is_kept_and_what_was_not_used_does_not_pile_up() {
        let start = Instant::now();
        let after = |millis| start + Duration::from_millis(millis);
        let mut pacing = Pacing::default();
        let slow = job(2);
        assert_eq!(pacing.by_rate(&slow, start), Some(1));
        pacing.spend(slow.id, 1);
        assert_eq!(pacing.by_rate(&slow, after(400)), Some(0));
        assert_eq!(pacing.by_rate(&slow, after(500)), Some(1));
        assert_eq!(pacing.by_rate(&slow, after(60_000)), Some(2));
    }
}
