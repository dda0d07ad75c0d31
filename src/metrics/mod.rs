//! The metrics and their exposition; the only place that names the prometheus crate.
//!
//! A metric is declared once, in a `families!` or `live_metrics!` block: the doc comment is its HELP
//! text. What is a function of the [`Snapshot`] is text that is written once per sample
//! ([`Metrics::observe_snapshot`]); what happens in between is counted and encoded per scrape. To add
//! one of the first kind, declare it in the area's block and set it in its `observe`; for the second
//! kind, declare it in `live.rs` and give [`Metrics`] a method for it.

mod dead_letters;
mod events;
mod exposition;
mod health;
mod histogram;
mod kafka;
mod live;
mod notifications;
mod rabbitmq;
mod text;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use prometheus::TextEncoder;

use crate::domain::{
    ClusterDetail, ClusterName, ClusterSnapshot, ConsumerGroup, SampleCost, Snapshot, System,
    Timestamp, TopicName,
};
use dead_letters::DeadLetterCounts;
use events::EventFamilies;
use exposition::SampledText;
use health::HealthFamilies;
use histogram::ProcessingDurations;
use kafka::KafkaFamilies;
use live::LiveMetrics;
pub use notifications::NotificationOutcome;
use rabbitmq::RabbitMqFamilies;
use text::{Family, SeriesBudget};

/// `Content-Type` of what [`Metrics::render`] returns.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Series of all snapshots together; a Kafka cluster of 1,000 groups and 10,000 partitions has about
/// 150,000.
const SERIES_LIMIT: usize = 500_000;

/// Why series are dropped: the label `reason`.
const DROPPED_AT_LIMIT: &str = "limit";
const MERGED_SOURCES: &str = "dead_letter_sources";

/// Which part of a sample took the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SamplePhase {
    /// Waiting for the broker.
    Read,
    /// Our own work on what it answered.
    Derive,
}

impl SamplePhase {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Derive => "derive",
        }
    }
}

/// Everything that `/metrics` exposes. Shared by all parts behind an `Arc`; every method may be called
/// from any thread and none waits for I/O.
#[derive(Debug)]
pub struct Metrics {
    /// Numbers that are older are not published.
    stale_after: Duration,
    live: LiveMetrics,
    dead_letters: Mutex<DeadLetterCounts>,
    processing: Mutex<ProcessingDurations>,
    sampled: Mutex<Arc<SampledText>>,
}

impl Metrics {
    /// `sampling_interval` decides when numbers are too old to be published (three intervals) and how
    /// fine a processing time can be.
    pub fn new(sampling_interval: Duration) -> Self {
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
        Self {
            stale_after: sampling_interval * 3,
            live,
            dead_letters: Mutex::default(),
            processing: Mutex::new(ProcessingDurations::new(sampling_interval)),
            sampled: Mutex::default(),
        }
    }

    /// Replaces all series that are functions of the snapshot. What is no longer in it, or older than
    /// three sampling intervals, is no longer exposed.
    pub fn observe_snapshot(&self, snapshot: &Snapshot) {
        let mut budget = SeriesBudget::new(SERIES_LIMIT);
        let mut health = HealthFamilies::new();
        let mut events = EventFamilies::new();
        let mut kafka = KafkaFamilies::new();
        let mut rabbitmq = RabbitMqFamilies::new();
        let mut processing = lock(&self.processing);
        forget_vanished(&mut processing, snapshot);
        for cluster in &snapshot.clusters {
            health.observe(cluster, &mut budget);
        }
        for cluster in &snapshot.clusters {
            match &cluster.detail {
                Some(ClusterDetail::Kafka(detail)) if self.is_fresh(snapshot.taken_at, cluster) => {
                    kafka.observe(&cluster.name, detail, &mut events, &mut budget);
                    events.durations(&cluster.name, &processing, &mut budget);
                }
                Some(ClusterDetail::RabbitMq(detail))
                    if self.is_fresh(snapshot.taken_at, cluster) =>
                {
                    rabbitmq.observe(&cluster.name, detail, &mut events, &mut budget);
                }
                _ => {}
            }
        }
        drop(processing);
        self.count_dropped(DROPPED_AT_LIMIT, budget.dropped());
        let families = [
            health.into_families(),
            events.into_families(),
            kafka.into_families(),
            rabbitmq.into_families(),
        ];
        let texts = families.into_iter().flatten().map(Family::into_text);
        *lock(&self.sampled) = Arc::new(SampledText::new(texts));
    }

    fn is_fresh(&self, now: Timestamp, cluster: &ClusterSnapshot) -> bool {
        let last_success = cluster.health.last_success;
        last_success.is_some_and(|at| now.since(at) <= self.stale_after)
    }

    /// The exposition in the text format 0.0.4.
    pub fn render(&self) -> Bytes {
        let sampled = Arc::clone(&lock(&self.sampled));
        sampled.plain(&self.live_text(Instant::now()))
    }

    /// The same, compressed with gzip. With many series the first call after a sample works for some
    /// hundred milliseconds: call it where blocking is allowed.
    pub fn render_gzip(&self) -> Bytes {
        let sampled = Arc::clone(&lock(&self.sampled));
        sampled.gzip(&self.live_text(Instant::now()))
    }

    fn live_text(&self, now: Instant) -> String {
        let mut text = lock(&self.dead_letters).text(now);
        let families = self.live.registry.gather();
        if let Err(error) = TextEncoder::new().encode_utf8(&families, &mut text) {
            tracing::error!(%error, "cannot encode the metrics");
        }
        text
    }

    fn count_dropped(&self, reason: &str, series: u64) {
        if series > 0 {
            let dropped = &self.live.sampling.series_dropped;
            dropped.with_label_values(&[reason]).inc_by(series);
        }
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
