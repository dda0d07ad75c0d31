//! What became of a replay that was sent, as far as there is evidence (design.md, promise 3).
//!
//! Kafka: a group whose committed offset moved from at or before the record to beyond it has *passed*
//! it, which a consumer that dead-letters it and then commits does too. So it is *consumed* only after
//! intake has read the DLQs beyond the ends that were seen after the pass, nothing waits in the retry topics
//! of its topic, and the settle time is over. RabbitMQ shows no passes. Of what nothing is seen for long
//! is said just that. That it *died
//! again* comes from intake, at any time.

mod counting;
mod deaths;
mod passes;
mod settling;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::config::ReplayConfig;
use crate::domain::{
    ClusterName, Destination, Landing, NameFilter, Offset, PassedBy, Replay, ReplayEvent, ReplayId,
    ReplayState, ReplayStateName, Snapshot, Timestamp, TopicName,
};
use crate::metrics::Metrics;
use crate::store::{KafkaCursor, LogPlace, Store, StoreError, TrackedPosition, TrackedReplay};

use super::changes::Changes;
use super::ticks::Ticks;
use deaths::Deaths;
use passes::Passes;
use settling::{DlqEnds, decisive_pass, is_settled, retries_are_over};

pub(super) use counting::count_outcomes;

/// How often outcomes are judged between two snapshots: settling waits for intake, not for sampling.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// A replay that changed last so long ago is no longer watched for a pass.
const WATCHED_FOR: Duration = Duration::from_hours(24);

/// Replays that are judged together and then let go: however many wait, memory is bounded.
const PAGE: u32 = 1_000;

/// Events written in one transaction, so that none holds the writer for long.
const EVENTS_OF_A_TRANSACTION: usize = 500;

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
        let mut ticks = Ticks::new(LOOK_INTERVAL, self.stop.clone());
        while ticks.next().await {
            if let Err(error) = self.look(&mut memory, Timestamp::now()).await {
                tracing::warn!(%error, "outcomes of replays could not be judged; trying again");
            }
        }
    }

    async fn look(&mut self, memory: &mut Memory, now: Timestamp) -> Result<(), StoreError> {
        let is_new = self.snapshots.has_changed().unwrap_or(false);
        let snapshot = self.snapshots.borrow_and_update().clone();
        if is_new {
            let places = self.store.places_of_replays().await?;
            memory
                .passes
                .observe(&snapshot, &places.into_iter().collect());
            for place in memory.passes.places() {
                self.note_passes(&memory.passes, &place, now).await?;
            }
            self.note_silences(now).await?;
        }
        self.settle(&snapshot, now).await?;
        memory.deaths.count_new(&self.store, &self.metrics).await
    }

    /// Writes down who passed the replays of one partition: only those are read that lie where a
    /// committed offset moved.
    async fn note_passes(
        &self,
        passes: &Passes,
        place: &LogPlace,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let Some((mut from, to)) = passes.moved(place) else {
            return Ok(());
        };
        let since = now.minus(WATCHED_FOR);
        loop {
            let landed = self.store.replays_landed(place, (from, to), since, PAGE);
            let landed = landed.await?;
            let mut events = Vec::new();
            for replay in &landed {
                let Some(landing) = landing_of(&replay.state) else {
                    continue;
                };
                from = Offset(landing.offset.0 + 1);
                let known = passed_by(&replay.state);
                let new = passes
                    .of(place, landing.offset)
                    .into_iter()
                    .filter(|passed| !known.iter().any(|known| known.group == passed.group));
                events.extend(new.map(|passed| (replay.id, ReplayEvent::PassedBy(passed))));
            }
            self.advance(events).await?;
            if landed.len() < PAGE as usize {
                return Ok(());
            }
        }
    }

    /// Says of what was not seen for too long just that.
    async fn note_silences(&self, now: Timestamp) -> Result<(), StoreError> {
        let limit = *self.settings.not_seen_after;
        let mut after = TrackedPosition::at(Timestamp::default());
        loop {
            let sent = ReplayStateName::Sent;
            let page = self
                .store
                .tracked_replays(sent, after, now.minus(limit), PAGE);
            let page = page.await?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            after = last.position();
            let silence =
                |tracked: &TrackedReplay| (tracked.replay.id, ReplayEvent::Silence { at: now });
            self.advance(page.iter().map(silence).collect()).await?;
        }
    }

    /// Calls consumed what passed and would be back by now.
    async fn settle(&self, snapshot: &Snapshot, now: Timestamp) -> Result<(), StoreError> {
        let settle_time = *self.settings.settle_time;
        let mut known: HashMap<ClusterName, Option<(DlqEnds, Vec<KafkaCursor>)>> = HashMap::new();
        let mut after = TrackedPosition::at(now.minus(WATCHED_FOR));
        loop {
            let passed = ReplayStateName::Passed;
            // What was noted to have passed later cannot have settled yet.
            let through = now.minus(settle_time);
            let page = self.store.tracked_replays(passed, after, through, PAGE);
            let page = page.await?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            after = last.position();
            let mut events = Vec::new();
            for tracked in &page {
                let name = tracked.replay.destination.cluster();
                if !known.contains_key(name) {
                    known.insert(name.clone(), self.ends_of(snapshot, name).await?);
                }
                let (Some(cluster), Some((ends, cursors)), Some(topic)) = (
                    snapshot.cluster(name),
                    &known[name],
                    topic_of(&tracked.replay),
                ) else {
                    continue;
                };
                let by = passed_by(&tracked.replay.state);
                let Some(passed_at) = decisive_pass(tracked, topic, by, cluster) else {
                    continue;
                };
                let settled_from = passed_at.plus(settle_time);
                if is_settled(passed_at, settled_from, now, ends, cursors)
                    && retries_are_over(cluster, topic)
                {
                    events.push((tracked.replay.id, ReplayEvent::Settled { at: now }));
                }
            }
            self.advance(events).await?;
        }
    }

    /// The ends of a cluster's DLQs and how far intake has read them.
    async fn ends_of(
        &self,
        snapshot: &Snapshot,
        name: &ClusterName,
    ) -> Result<Option<(DlqEnds, Vec<KafkaCursor>)>, StoreError> {
        let cluster = snapshot.cluster(name);
        let ends = cluster.and_then(|cluster| DlqEnds::of(cluster, &self.dlqs.0, &self.dlqs.1));
        match ends {
            Some(ends) => Ok(Some((ends, self.store.kafka_cursors(name).await?))),
            None => Ok(None),
        }
    }

    async fn advance(&self, events: Vec<(ReplayId, ReplayEvent)>) -> Result<(), StoreError> {
        for chunk in events.chunks(EVENTS_OF_A_TRANSACTION) {
            let results = self
                .store
                .advance_replays(chunk.to_vec(), Timestamp::now())
                .await?;
            let mut changed = Vec::with_capacity(results.len());
            for result in results {
                match result {
                    Ok(replay) => changed.push(replay),
                    // Most likely it died again in this very moment.
                    Err(error) => tracing::debug!(%error, "an outcome was known already"),
                }
            }
            count_outcomes(&self.store, &self.metrics, &changed).await;
            self.changes.announce();
        }
        Ok(())
    }
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
