use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::derive_kafka::CommittedDurations;
use super::history::{Grid, History, HourToSave, Hours, Line, SeriesKey, Source, draw};
use crate::domain::{
    BrokerHealth, ClusterDetail, ClusterName, ClusterSnapshot, SampleCost, Snapshot, System,
    Timestamp,
};
use crate::metrics::{EncodingCost, Metrics, SamplePhase};

/// What all cluster tasks write to: the snapshot, its history and its metrics, which therefore never
/// disagree.
#[derive(Debug)]
pub(super) struct Board {
    snapshot: watch::Sender<Arc<Snapshot>>,
    history: Mutex<History>,
    metrics: Arc<Metrics>,
    /// Two clusters that are done at once take turns.
    publishing: Mutex<()>,
}

/// A successful sample of one cluster with what was derived from it.
#[derive(Debug)]
pub(super) struct Observation {
    pub(super) detail: ClusterDetail,
    pub(super) taken_at: Timestamp,
    pub(super) cost: SampleCost,
    pub(super) deriving_took: Duration,
    pub(super) problems: Vec<String>,
    pub(super) facts: Vec<(String, String)>,
    pub(super) publish_to_commit: Vec<CommittedDurations>,
}

impl Board {
    /// A board on which the clusters are known and nothing is known about them.
    pub(super) fn new(
        clusters: impl Iterator<Item = (ClusterName, System)>,
        history: History,
        metrics: Arc<Metrics>,
    ) -> Self {
        let unknown = |(name, system)| {
            Arc::new(ClusterSnapshot {
                name,
                system,
                health: BrokerHealth::default(),
                detail: None,
            })
        };
        let snapshot = Snapshot {
            taken_at: Timestamp::now(),
            clusters: clusters.map(unknown).collect(),
        };
        Self::of(snapshot, history, metrics)
    }

    pub(super) fn of(snapshot: Snapshot, history: History, metrics: Arc<Metrics>) -> Self {
        metrics.observe_snapshot(&snapshot);
        Self {
            snapshot: watch::Sender::new(Arc::new(snapshot)),
            history: Mutex::new(history),
            metrics,
            publishing: Mutex::new(()),
        }
    }

    pub(super) fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.borrow())
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshot.subscribe()
    }

    pub(super) fn interval(&self) -> Duration {
        lock(&self.history).interval()
    }

    pub(super) fn record(
        &self,
        cluster: &ClusterName,
        detail: Option<&ClusterDetail>,
        at: Timestamp,
    ) {
        lock(&self.history).record(cluster, detail, at);
    }

    /// What is in memory of a series.
    pub(super) fn source(&self, key: &SeriesKey) -> Source {
        lock(&self.history).source(key)
    }

    /// The last hour of a series, of several clusters together.
    pub(super) fn lately(&self, keys: &[SeriesKey], now: Timestamp) -> Line {
        let history = lock(&self.history);
        let sources: Vec<_> = keys.iter().map(|key| history.source(key)).collect();
        let grid = Grid::lately(history.interval(), now);
        drop(history);
        draw(&sources, &grid)
    }

    pub(super) fn record_open_dead_letters(&self, cluster: &ClusterName, open: u64, at: Timestamp) {
        lock(&self.history).record_open_dead_letters(cluster, open, at);
    }

    /// The thinned points of a cluster, those that its store does not have whole.
    pub(super) fn hours_to_save(&self, cluster: &ClusterName) -> Vec<HourToSave> {
        self.with_hours(cluster, |hours| hours.to_save())
    }

    pub(super) fn with_hours<T>(
        &self,
        cluster: &ClusterName,
        work: impl FnOnce(&mut Hours) -> T,
    ) -> T {
        work(lock(&self.history).hours(cluster))
    }

    /// What the series of this cluster cost when they were written last.
    pub(super) fn encoding_cost(&self, cluster: &ClusterName) -> Option<EncodingCost> {
        self.metrics.encoding_cost(cluster)
    }

    /// Encodes the series, which takes a while if there are many: call it where blocking is allowed, as
    /// well as [`Board::failed`].
    pub(super) fn succeeded(
        &self,
        cluster: &ClusterName,
        system: System,
        observation: Observation,
        now: Timestamp,
    ) {
        let metrics = &self.metrics;
        let cost = &observation.cost;
        metrics.sample_phase(cluster, system, SamplePhase::Read, cost.duration);
        let deriving_took = observation.deriving_took;
        metrics.sample_phase(cluster, system, SamplePhase::Derive, deriving_took);
        metrics.sample_cost(cluster, system, cost);
        for committed in &observation.publish_to_commit {
            let CommittedDurations {
                group,
                topic,
                durations,
            } = committed;
            metrics.publish_to_commit(cluster, group, topic, durations);
        }
        self.record(cluster, Some(&observation.detail), observation.taken_at);
        let health = BrokerHealth {
            up: true,
            error: None,
            last_success: Some(observation.taken_at),
            cost: observation.cost,
            deriving_took,
            problems: observation.problems,
            facts: observation.facts,
        };
        self.publish(
            now,
            |_| ClusterSnapshot {
                name: cluster.clone(),
                system,
                health,
                detail: Some(observation.detail),
            },
            cluster,
        );
    }

    /// The last numbers stay, with their age and the reason.
    pub(super) fn failed(&self, cluster: &ClusterName, error: String, now: Timestamp) {
        self.record(cluster, None, now);
        self.publish(
            now,
            |last| {
                let mut failed = last.clone();
                failed.health.up = false;
                failed.health.error = Some(error);
                failed
            },
            cluster,
        );
    }

    fn publish(
        &self,
        now: Timestamp,
        changed: impl FnOnce(&ClusterSnapshot) -> ClusterSnapshot,
        cluster: &ClusterName,
    ) {
        let _turn = lock(&self.publishing);
        let mut snapshot = Snapshot::clone(&self.snapshot());
        let place = snapshot.clusters.iter_mut();
        let Some(place) = place.into_iter().find(|place| place.name == *cluster) else {
            return;
        };
        *place = Arc::new(changed(place));
        snapshot.taken_at = now;
        self.metrics.observe_snapshot(&snapshot);
        self.snapshot.send_replace(Arc::new(snapshot));
    }
}

/// A thread that panicked while it held the lock leaves at worst a point missing.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
