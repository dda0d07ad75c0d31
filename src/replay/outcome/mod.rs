//! What became of a replay that was sent, as far as there is evidence (design.md, promise 3).
//!
//! Kafka: a group whose committed offset moved from at or before the record to beyond it has *passed*
//! it, which a consumer that dead-letters it and then commits does too. So it is *consumed* only after
//! intake has read the DLQs beyond the ends that were seen after the pass, and the settle time is
//! over. RabbitMQ shows no passes. Of what nothing is seen for long is said just that. That it *died
//! again* comes from intake, at any time.

mod deaths;
mod passes;
mod settling;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::config::ReplayConfig;
use crate::domain::{
    ClusterName, Destination, Landing, NameFilter, PassedBy, Replay, ReplayEvent, ReplayId,
    ReplayState, ReplayStateName, Snapshot, Timestamp, TopicName,
};
use crate::metrics::Metrics;
use crate::store::{KafkaCursor, Store, StoreError, TrackedReplay};

use super::changes::Changes;
use deaths::Deaths;
use passes::{Passes, Watched};
use settling::{DlqEnds, decisive_pass, is_settled};

/// How often outcomes are judged between two snapshots: settling waits for intake, not for sampling.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// A replay that changed last so long ago is no longer watched for a pass.
const WATCHED_FOR: Duration = Duration::from_hours(24);

/// Replays that are watched together; the last changed first.
const MOST_WATCHED: u32 = 20_000;

/// Events written in one transaction, so that none holds the writer for long.
const EVENTS_OF_A_TRANSACTION: usize = 500;

/// Counts a replay of which the outcome is now known, in the metrics.
pub(super) async fn count_outcome(store: &Store, metrics: &Metrics, replay: &Replay) {
    let name = replay.state.name();
    if !is_outcome(name) {
        return;
    }
    match store.dead_letter_summary(replay.dead_letter).await {
        Ok(summary) => {
            let position = &summary.position;
            metrics.replay_outcome(&summary.cluster, position.system(), position.dlq(), name);
        }
        Err(error) => tracing::warn!(%error, "an outcome could not be counted"),
    }
}

/// Whether the metrics count a replay that reaches this state. That it died again is counted by
/// [`deaths`], since intake finds that out.
const fn is_outcome(name: ReplayStateName) -> bool {
    matches!(
        name,
        ReplayStateName::Consumed
            | ReplayStateName::NotSeenAgain
            | ReplayStateName::Failed
            | ReplayStateName::Unknown
            | ReplayStateName::Cancelled
    )
}

/// Watches what was sent.
pub(super) struct OutcomeWatcher {
    pub(super) settings: ReplayConfig,
    pub(super) store: Store,
    pub(super) metrics: Arc<Metrics>,
    pub(super) changes: Changes,
    pub(super) snapshots: watch::Receiver<Arc<Snapshot>>,
    /// Topics that hold dead letters, and those that only look so.
    pub(super) dlqs: (NameFilter, NameFilter),
    pub(super) stop: CancellationToken,
}

/// What the watcher remembers from one look to the next.
#[derive(Default)]
struct Memory {
    passes: Passes,
    deaths: Deaths,
}

impl OutcomeWatcher {
    pub(super) async fn run(mut self) {
        let mut memory = Memory {
            deaths: Deaths::since(Timestamp::now()),
            ..Memory::default()
        };
        let mut interval = tokio::time::interval(LOOK_INTERVAL);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = interval.tick() => {}
                () = self.stop.cancelled() => return,
            }
            if let Err(error) = self.look(&mut memory, Timestamp::now()).await {
                tracing::warn!(%error, "outcomes of replays could not be judged; trying again");
            }
        }
    }

    async fn look(&mut self, memory: &mut Memory, now: Timestamp) -> Result<(), StoreError> {
        let is_new = self.snapshots.has_changed().unwrap_or(false);
        let snapshot = self.snapshots.borrow_and_update().clone();
        let mut events = Vec::new();
        if is_new {
            events.extend(self.new_passes(&mut memory.passes, &snapshot, now).await?);
            events.extend(self.silences(now).await?);
        }
        self.advance(events).await?;
        let settled = self.settled(&snapshot, now).await?;
        self.advance(settled).await?;
        memory.deaths.count_new(&self.store, &self.metrics).await
    }

    async fn new_passes(
        &self,
        passes: &mut Passes,
        snapshot: &Snapshot,
        now: Timestamp,
    ) -> Result<Vec<(ReplayId, ReplayEvent)>, StoreError> {
        const STATES: [ReplayStateName; 4] = [
            ReplayStateName::Sending,
            ReplayStateName::Sent,
            ReplayStateName::Passed,
            ReplayStateName::NotSeenAgain,
        ];
        let since = now.minus(WATCHED_FOR);
        let tracked = self.store.tracked_replays(&STATES, since, MOST_WATCHED);
        let tracked = tracked.await?;
        let places = tracked
            .iter()
            .filter_map(|tracked| place_of(&tracked.replay));
        passes.observe(snapshot, &places.collect::<HashSet<_>>());
        let mut events = Vec::new();
        for TrackedReplay { replay, .. } in &tracked {
            let (Some(topic), Some(landing)) = (topic_of(replay), landing_of(&replay.state)) else {
                continue;
            };
            let known = passed_by(&replay.state);
            let found = passes.of(replay.destination.cluster(), topic, landing);
            let new = found
                .into_iter()
                .filter(|passed| !known.iter().any(|known| known.group == passed.group));
            events.extend(new.map(|passed| (replay.id, ReplayEvent::PassedBy(passed))));
        }
        Ok(events)
    }

    /// Replays of which nothing was seen for too long.
    async fn silences(&self, now: Timestamp) -> Result<Vec<(ReplayId, ReplayEvent)>, StoreError> {
        let sent = [ReplayStateName::Sent];
        let tracked = self
            .store
            .tracked_replays(&sent, Timestamp(0), MOST_WATCHED);
        let limit = *self.settings.not_seen_after;
        let is_silent = |replay: &Replay| matches!(replay.state, ReplayState::Sent { at, .. } if now.since(at) >= limit);
        let silent = tracked.await?.into_iter().map(|tracked| tracked.replay);
        Ok(silent
            .filter(is_silent)
            .map(|replay| (replay.id, ReplayEvent::Silence { at: now }))
            .collect())
    }

    /// Replays that passed and would be back by now.
    async fn settled(
        &self,
        snapshot: &Snapshot,
        now: Timestamp,
    ) -> Result<Vec<(ReplayId, ReplayEvent)>, StoreError> {
        let passed = [ReplayStateName::Passed];
        let since = now.minus(WATCHED_FOR);
        let tracked = self.store.tracked_replays(&passed, since, MOST_WATCHED);
        let mut by_cluster: HashMap<ClusterName, Vec<TrackedReplay>> = HashMap::new();
        for tracked in tracked.await? {
            let cluster = tracked.replay.destination.cluster().clone();
            by_cluster.entry(cluster).or_default().push(tracked);
        }
        let mut events = Vec::new();
        for (name, tracked) in by_cluster {
            let Some(cluster) = snapshot.cluster(&name) else {
                continue;
            };
            let Some(ends) = DlqEnds::of(cluster, &self.dlqs.0, &self.dlqs.1) else {
                continue;
            };
            let cursors: Vec<KafkaCursor> = self.store.kafka_cursors(&name).await?;
            for tracked in tracked {
                let Some(topic) = topic_of(&tracked.replay) else {
                    continue;
                };
                let by = passed_by(&tracked.replay.state);
                let Some(passed_at) = decisive_pass(&tracked, topic, by, cluster) else {
                    continue;
                };
                let settled_from = passed_at.plus(*self.settings.settle_time);
                if is_settled(passed_at, settled_from, now, &ends, &cursors) {
                    events.push((tracked.replay.id, ReplayEvent::Settled { at: now }));
                }
            }
        }
        Ok(events)
    }

    async fn advance(&self, events: Vec<(ReplayId, ReplayEvent)>) -> Result<(), StoreError> {
        for chunk in events.chunks(EVENTS_OF_A_TRANSACTION) {
            let results = self
                .store
                .advance_replays(chunk.to_vec(), Timestamp::now())
                .await?;
            for result in results {
                match result {
                    Ok(replay) => count_outcome(&self.store, &self.metrics, &replay).await,
                    // Most likely it died again in this very moment.
                    Err(error) => tracing::debug!(%error, "an outcome was known already"),
                }
            }
            self.changes.announce();
        }
        Ok(())
    }
}

/// Where a replay landed, or is about to.
fn place_of(replay: &Replay) -> Option<Watched> {
    let landing = match &replay.state {
        ReplayState::Sending { high_watermark, .. } => *high_watermark,
        state => landing_of(state),
    };
    Some(Watched {
        cluster: replay.destination.cluster().clone(),
        topic: topic_of(replay)?.clone(),
        partition: landing?.partition,
    })
}

const fn landing_of(state: &ReplayState) -> Option<Landing> {
    match state {
        ReplayState::Sent { landing, .. } | ReplayState::NotSeenAgain { landing, .. } => *landing,
        ReplayState::Passed { landing, .. } => Some(*landing),
        _ => None,
    }
}

fn passed_by(state: &ReplayState) -> &[PassedBy] {
    match state {
        ReplayState::Passed { by, .. } => by,
        _ => &[],
    }
}

const fn topic_of(replay: &Replay) -> Option<&TopicName> {
    match &replay.destination {
        Destination::Kafka { topic, .. } => Some(topic),
        Destination::RabbitMq { .. } => None,
    }
}
