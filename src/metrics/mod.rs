//! The metrics and their exposition; the only place that names the prometheus crate.
//!
//! A metric is declared once, in a `families!` or `live_metrics!` block: the doc comment is its HELP
//! text. What is a function of the [`Snapshot`] is text that is written once per sample of a cluster
//! ([`Metrics::observe_snapshot`]); what happens in between is counted and encoded per scrape. To add
//! one of the first kind, declare it in the area's block and set it in its `observe`; for the second
//! kind, declare it in `live.rs` and give [`Metrics`] a method for it.

mod aliases;
mod dead_letters;
mod detail;
mod events;
mod exposition;
mod format;
mod handovers;
mod health;
mod histogram;
mod kafka;
mod live;
mod notifications;
mod rabbitmq;
mod text;
mod traces;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::config::{Alias, MetricsConfig};
use crate::domain::{
    ClusterDetail, ClusterName, ClusterSnapshot, ConsumerGroup, SampleCost, Snapshot, System,
    Timestamp, TopicName,
};
use dead_letters::DeadLetterCounts;
use detail::GroupDetail;
use events::EventFamilies;
use exposition::{ClusterText, EncodedCluster, Exposition};
pub use format::Format;
use handovers::HandoverDurations;
use health::HealthFamilies;
use histogram::ProcessingDurations;
use kafka::KafkaFamilies;
use live::LiveMetrics;
pub use notifications::NotificationOutcome;
use rabbitmq::RabbitMqFamilies;
use text::{Family, SeriesBudget};
pub use traces::ExportOutcome;

/// Why series are dropped: the label `reason`.
const DROPPED_AT_LIMIT: &str = "limit";
const MERGED_SOURCES: &str = "dead_letter_sources";

/// How long after a compressed scrape each sample is compressed before anybody asks: longer than between two
/// scrapes.
const COMPRESSED_AHEAD: Duration = Duration::from_mins(2);

/// Which part of a sample took the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SamplePhase {
    /// Waiting for the broker.
    Read,
    /// Our own work on what it answered.
    Derive,
    /// Writing the series, and compressing them if scrapes ask for that.
    Encode,
}

impl SamplePhase {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Derive => "derive",
            Self::Encode => "encode",
        }
    }
}

/// What the series of a cluster cost when they were written last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncodingCost {
    pub series: usize,
    pub took: Duration,
}

/// Everything that `/metrics` exposes. Shared by all parts behind an `Arc`; every method may be called
/// from any thread and none waits for I/O. No lock is held while anything is encoded, but for the first
/// compressed scrape, which another one waits for instead of compressing the same.
#[derive(Debug)]
pub struct Metrics {
    /// Numbers that are older are not published.
    stale_after: Duration,
    series_limit: usize,
    groups: GroupDetail,
    aliases: Vec<Alias>,
    live: LiveMetrics,
    dead_letters: Mutex<DeadLetterCounts>,
    processing: Mutex<ProcessingDurations>,
    handovers: Mutex<HandoverDurations>,
    sampled: Mutex<Arc<Exposition>>,
    compressed_scrape: Mutex<Option<Instant>>,
}

impl Metrics {
    /// The metrics as they are without configuration.
    pub fn new(sampling_interval: Duration) -> Self {
        Self::configured(&MetricsConfig::default(), sampling_interval)
    }

    /// `sampling_interval` decides when numbers are too old to be published (three intervals) and how
    /// fine a processing time can be.
    pub fn configured(config: &MetricsConfig, sampling_interval: Duration) -> Self {
        let live = LiveMetrics::new();
        let version = env!("CARGO_PKG_VERSION");
        live.service
            .build_info
            .with_label_values(&[version])
            .set(1.0);
        for reason in [DROPPED_AT_LIMIT, MERGED_SOURCES] {
            let dropped = &live.sampling.series_dropped;
            dropped.with_label_values(&[reason]).inc_by(0);
        }
        let mut aliases = config.aliases.clone();
        let mut seen = HashSet::new();
        aliases.retain(|alias| seen.insert(*alias));
        Self {
            stale_after: sampling_interval * 3,
            series_limit: config.series_limit,
            groups: GroupDetail::new(&config.groups),
            aliases,
            live,
            dead_letters: Mutex::default(),
            processing: Mutex::new(ProcessingDurations::new(sampling_interval)),
            handovers: Mutex::default(),
            sampled: Mutex::default(),
            compressed_scrape: Mutex::default(),
        }
    }

    /// Replaces all series that are functions of the snapshot. What is no longer in it, or older than
    /// three sampling intervals, is no longer exposed. Only the clusters that were sampled anew are
    /// encoded; with many series that works for some hundred milliseconds: call it where blocking is allowed.
    pub fn observe_snapshot(&self, snapshot: &Snapshot) {
        forget_vanished(&mut lock(&self.processing), snapshot);
        let before = self.exposition();
        let mut clusters: Vec<EncodedCluster> = Vec::with_capacity(snapshot.clusters.len());
        for cluster in &snapshot.clusters {
            let fresh = self.is_fresh(snapshot.taken_at, cluster);
            let encoded = before.find(cluster, fresh).unwrap_or_else(|| {
                let others = snapshot.clusters.iter().filter(|o| o.name != cluster.name);
                let newest = |other: &Arc<ClusterSnapshot>| {
                    let mut known = clusters.iter().chain(&before.clusters);
                    known.find(|known| known.of.name == other.name)
                };
                let others = others.filter_map(newest);
                let others: usize = others.map(|other| other.text.series).sum();
                self.encode(cluster, fresh, self.series_limit.saturating_sub(others))
            });
            clusters.push(encoded);
        }
        *lock(&self.sampled) = Arc::new(Exposition { clusters });
    }

    fn encode(&self, cluster: &Arc<ClusterSnapshot>, fresh: bool, limit: usize) -> EncodedCluster {
        let started = Instant::now();
        let mut budget = SeriesBudget::new(limit);
        let families = self.families(cluster, fresh, &mut budget);
        let mut text = ClusterText::new(families, budget.written());
        let asked = *lock(&self.compressed_scrape);
        if asked.is_some_and(|asked| started.duration_since(asked) < COMPRESSED_AHEAD) {
            text.deflate();
        }
        text.took = started.elapsed();
        self.count_dropped(DROPPED_AT_LIMIT, budget.dropped());
        if cluster.health.last_success.is_some() {
            let phase = SamplePhase::Encode;
            self.sample_phase(&cluster.name, cluster.system, phase, text.took);
        }
        EncodedCluster {
            of: Arc::clone(cluster),
            fresh,
            text: Arc::new(text),
        }
    }

    /// In the same order for every cluster.
    fn families(
        &self,
        cluster: &ClusterSnapshot,
        fresh: bool,
        budget: &mut SeriesBudget,
    ) -> Vec<Family> {
        let mut health = HealthFamilies::new();
        let mut events = EventFamilies::new();
        let mut kafka = KafkaFamilies::new();
        let mut rabbitmq = RabbitMqFamilies::new();
        health.observe(cluster, budget);
        let name = &cluster.name;
        let detail = cluster.detail.as_ref().filter(|_| fresh);
        match detail {
            Some(ClusterDetail::Kafka(detail)) => {
                kafka.observe(name, detail, &self.groups, &mut events, budget);
                let durations = lock(&self.processing).of(name, |group| self.groups.shows(group));
                events.durations(name, &durations, budget);
            }
            Some(ClusterDetail::RabbitMq(detail)) => {
                rabbitmq.observe(name, detail, &mut events, budget);
            }
            None => {}
        }
        events.handovers(name, &lock(&self.handovers), budget);
        let aliases = aliases::families(&self.aliases, cluster, detail, &self.groups, budget);
        let families = [
            health.into_families(),
            events.into_families(),
            kafka.into_families(),
            rabbitmq.into_families(),
            aliases,
        ];
        families.into_iter().flatten().collect()
    }

    fn is_fresh(&self, now: Timestamp, cluster: &ClusterSnapshot) -> bool {
        let last_success = cluster.health.last_success;
        last_success.is_some_and(|at| now.since(at) <= self.stale_after)
    }

    fn exposition(&self) -> Arc<Exposition> {
        Arc::clone(&lock(&self.sampled))
    }

    /// What the series of this cluster cost when they were written last.
    pub fn encoding_cost(&self, cluster: &ClusterName) -> Option<EncodingCost> {
        let exposition = self.exposition();
        let mut clusters = exposition.clusters.iter();
        let found = clusters.find(|encoded| encoded.of.name == *cluster)?;
        Some(EncodingCost {
            series: found.text.series,
            took: found.text.took,
        })
    }

    /// The exposition in one of its formats.
    pub fn render(&self, format: Format) -> Bytes {
        Bytes::from(self.render_parts(format).concat())
    }

    /// The same in parts that follow one another. Those of the last sample are shared, not copied.
    pub fn render_parts(&self, format: Format) -> Vec<Bytes> {
        let live = self.live_families(Instant::now());
        self.exposition().plain(format, &live)
    }

    /// The same, compressed with gzip. The first call works for some hundred milliseconds if there are many
    /// series: call it where blocking is allowed. From then on samples are compressed when they are taken.
    pub fn render_gzip(&self, format: Format) -> Bytes {
        let now = Instant::now();
        *lock(&self.compressed_scrape) = Some(now);
        let live = self.live_families(now);
        self.exposition().gzip(format, &live)
    }

    fn live_families(&self, now: Instant) -> Vec<Family> {
        let mut budget = SeriesBudget::new(self.series_limit);
        let dead_letters = lock(&self.dead_letters).shown(now);
        let mut families = self.live.families(&mut budget);
        families.extend(dead_letters::families_of(&dead_letters, &mut budget));
        self.count_dropped(DROPPED_AT_LIMIT, budget.dropped());
        families
    }

    fn count_dropped(&self, reason: &str, series: usize) {
        let dropped = self
            .live
            .sampling
            .series_dropped
            .with_label_values(&[reason]);
        dropped.inc_by(u64::try_from(series).unwrap_or(u64::MAX));
    }
}

/// Sampling.
impl Metrics {
    pub fn sample_phase(
        &self,
        cluster: &ClusterName,
        system: System,
        phase: SamplePhase,
        duration: Duration,
    ) {
        let labels = [cluster.as_str(), system.as_str(), phase.as_str()];
        let histogram = &self.live.sampling.duration;
        histogram
            .with_label_values(&labels)
            .observe(duration.as_secs_f64());
    }

    /// The requests of one sample.
    pub fn sample_cost(&self, cluster: &ClusterName, system: System, cost: &SampleCost) {
        for (api, requests) in &cost.requests_by_api {
            let labels = [cluster.as_str(), system.as_str(), api.as_str()];
            let counter = &self.live.sampling.requests;
            counter.with_label_values(&labels).inc_by(*requests);
        }
    }

    /// How long records of a topic took until a group committed them, each with the number of records.
    pub fn publish_to_commit(
        &self,
        cluster: &ClusterName,
        group: &ConsumerGroup,
        topic: &TopicName,
        durations: &[(Duration, u64)],
    ) {
        if !durations.is_empty() {
            let key = (cluster.clone(), group.clone(), topic.clone());
            lock(&self.processing).observe(key, durations);
        }
    }
}

/// The service itself.
impl Metrics {
    /// Counts an answered request. `route` is the pattern that matched, never the path: paths are
    /// chosen by clients.
    pub fn http_request(&self, method: &str, route: &str, status: u16, duration: Duration) {
        let service = &self.live.service;
        let requests = &service.http_requests;
        requests
            .with_label_values(&[method, route, &status.to_string()])
            .inc();
        let durations = &service.http_duration;
        durations
            .with_label_values(&[method, route])
            .observe(duration.as_secs_f64());
    }

    pub fn set_store_size(&self, bytes: u64) {
        let size = &self.live.service.store_size;
        size.with_label_values(&[] as &[&str]).set(bytes as f64);
    }

    /// Counts what retention removed.
    pub fn retention_removed(&self, reason: &str, count: u64) {
        let removed = &self.live.service.retention_removed;
        removed.with_label_values(&[reason]).inc_by(count);
    }

    pub fn retention_ran(&self, at: Timestamp) {
        let last = &self.live.service.retention_last_success;
        last.with_label_values(&[] as &[&str]).set(at.as_seconds());
    }

    /// Counts a batch that the store has committed and synced.
    pub fn store_batch_written(&self, writes: usize, duration: Duration) {
        let service = &self.live.service;
        let none: &[&str] = &[];
        let writes = u64::try_from(writes).unwrap_or(u64::MAX);
        service.store_writes.with_label_values(none).inc_by(writes);
        let durations = service.store_batch_duration.with_label_values(none);
        durations.observe(duration.as_secs_f64());
    }
}

/// Histograms of groups and topics that the cluster no longer has. A cluster that is not in the
/// snapshot yet, or has no detail, loses nothing.
fn forget_vanished(processing: &mut ProcessingDurations, snapshot: &Snapshot) {
    let sampled: HashSet<&ClusterName> = snapshot
        .clusters
        .iter()
        .filter(|cluster| cluster.kafka().is_some())
        .map(|cluster| &cluster.name)
        .collect();
    let present: HashSet<(&ClusterName, &ConsumerGroup, &TopicName)> = snapshot
        .groups()
        .flat_map(|(cluster, group)| {
            let topics = group.topics.iter();
            topics.map(|topic| (&cluster.name, &group.group, &topic.topic))
        })
        .collect();
    processing.retain(|cluster, group, topic| {
        !sampled.contains(cluster) || present.contains(&(cluster, group, topic))
    });
}

/// A thread that panicked while it held the lock leaves numbers that are at worst incomplete.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
