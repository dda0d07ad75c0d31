//! Metrics that change between samples, kept by the prometheus crate and encoded per scrape. There are
//! few of them.

use prometheus::core::Collector;
use prometheus::proto::{self, MetricFamily, MetricType};
use prometheus::{GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};

use super::text::{Family, Kind, Labels, SeriesBudget};

/// Upper bounds in seconds, from a page that is served from memory to a sample that times out.
const DURATION_BUCKETS: [f64; 13] = [
    0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];

/// A metric of the prometheus crate that can be made from its declaration.
pub(super) trait Declared: Collector + Clone + Sized + 'static {
    fn declare(name: &str, help: &str, labels: &[&str]) -> prometheus::Result<Self>;
}

impl Declared for IntCounterVec {
    fn declare(name: &str, help: &str, labels: &[&str]) -> prometheus::Result<Self> {
        Self::new(Opts::new(name, help), labels)
    }
}

impl Declared for GaugeVec {
    fn declare(name: &str, help: &str, labels: &[&str]) -> prometheus::Result<Self> {
        Self::new(Opts::new(name, help), labels)
    }
}

impl Declared for HistogramVec {
    fn declare(name: &str, help: &str, labels: &[&str]) -> prometheus::Result<Self> {
        let options = HistogramOpts::new(name, help).buckets(DURATION_BUCKETS.to_vec());
        Self::new(options, labels)
    }
}

/// Declares a struct of metrics whose doc comments are the HELP texts.
macro_rules! live_metrics {
    (
        $(#[$attribute:meta])*
        pub(super) struct $struct:ident {
            $( $(#[doc = $help:literal])+ $field:ident: $type:ty = $metric:literal [$($label:literal),*], )+
        }
    ) => {
        $(#[$attribute])*
        #[derive(Debug)]
        pub(super) struct $struct {
            $( $(#[doc = $help])+ pub(super) $field: $type, )+
        }

        impl $struct {
            fn register(registry: &Registry) -> prometheus::Result<Self> {
                $(
                    let $field = <$type>::declare($metric, concat!($($help),+).trim(), &[$($label),*])?;
                    registry.register(Box::new($field.clone()))?;
                )+
                Ok(Self { $( $field ),+ })
            }
        }
    };
}

live_metrics! {
    /// What intake and the store know about DLQs.
    pub(super) struct DlqMetrics {
        /// Dead letters that are still open.
        depth: GaugeVec = "dlq_depth" ["cluster", "system", "dlq"],
        /// Age of the oldest dead letter that is still open; absent while none is.
        oldest_age: GaugeVec = "dlq_oldest_message_age_seconds" ["cluster", "system", "dlq"],
        /// Dead letters that wait, whose body only the broker has, and which it may remove within a day.
        expiring_bodies: GaugeVec = "dlq_expiring_bodies" ["cluster", "system", "dlq"],
        /// Replays of dead letters by what became of them; a replay that was first consumed and then died
        /// again is in both.
        replayed: IntCounterVec = "dlq_replayed_total" ["cluster", "system", "dlq", "outcome"],
    }
}

live_metrics! {
    /// What the tap of the traces saw.
    pub(super) struct TraceMetrics {
        /// Events that the tap of the traces read: stored, without a correlation ID and left out, or thinned because it
        /// fell behind.
        events: IntCounterVec = "redrive_trace_events_total" ["cluster", "outcome"],
        /// Events that have an earlier time than the event that caused them, by the cluster of the cause: clocks
        /// disagree.
        clock_skew: IntCounterVec = "redrive_trace_clock_skew_total" ["cluster"],
        /// Spans of stitched traces: sent to the backend, refused by it, or given up because what they tell left the
        /// store before.
        exported_spans: IntCounterVec = "redrive_trace_export_spans_total" ["outcome"],
        /// Traces of which something is not exported yet.
        export_waiting: GaugeVec = "redrive_trace_export_waiting_traces" [],
        /// When the backend of traces took something last.
        export_last_success: GaugeVec = "redrive_trace_export_last_success_timestamp_seconds" [],
    }
}

live_metrics! {
    /// What it costs to look at the brokers.
    pub(super) struct SamplingMetrics {
        /// Duration of one sample of a broker, by phase: read waits for the broker, derive and encode are our own
        /// work.
        duration: HistogramVec = "redrive_sample_duration_seconds" ["cluster", "system", "phase"],
        /// Requests that samples sent to a broker, by API.
        requests: IntCounterVec = "redrive_sample_requests_total" ["cluster", "system", "api"],
        /// Series that were not exported, or merged into another, because there were too many; counted with every
        /// sample or scrape that lacked them.
        series_dropped: IntCounterVec = "redrive_series_dropped_total" ["reason"],
    }
}

live_metrics! {
    /// The service itself.
    pub(super) struct ServiceMetrics {
        /// Always 1; says the version.
        build_info: GaugeVec = "redrive_build_info" ["version"],
        /// HTTP requests that were answered, by route.
        http_requests: IntCounterVec = "redrive_http_requests_total" ["method", "route", "status"],
        /// Time to answer an HTTP request.
        http_duration: HistogramVec = "redrive_http_request_duration_seconds" ["method", "route"],
        /// Dead letters that retention removed from the store, by why: their discard expired, their age, the size
        /// of the store.
        retention_removed: IntCounterVec = "redrive_retention_removed_total" ["reason"],
        /// When retention ran last without a failure.
        retention_last_success: GaugeVec = "redrive_retention_last_success_timestamp_seconds" [],
        /// Size of the store on disk.
        store_size: GaugeVec = "redrive_store_size_bytes" [],
        /// Time from the start of a batch of writes to the end of its sync.
        store_batch_duration: HistogramVec = "redrive_store_write_batch_duration_seconds" [],
        /// Writes that the store committed.
        store_writes: IntCounterVec = "redrive_store_writes_total" [],
    }
}

live_metrics! {
    /// Webhooks.
    pub(super) struct NotificationMetrics {
        /// Attempts to deliver a message to a webhook, by what became of them; one that failed is repeated until
        /// it is given up.
        attempts: IntCounterVec = "redrive_notification_attempts_total" ["target", "outcome"],
    }
}

/// All live metrics in one registry.
#[derive(Debug)]
pub(super) struct LiveMetrics {
    pub(super) registry: Registry,
    pub(super) dlq: DlqMetrics,
    pub(super) traces: TraceMetrics,
    pub(super) sampling: SamplingMetrics,
    pub(super) service: ServiceMetrics,
    pub(super) notifications: NotificationMetrics,
}

impl LiveMetrics {
    pub(super) fn new() -> Self {
        #[expect(
            clippy::expect_used,
            reason = "only a wrong declaration above can fail, which every test of this module finds"
        )]
        Self::declare().expect("the metrics are declared rightly")
    }

    fn declare() -> prometheus::Result<Self> {
        let registry = Registry::new();
        register_process(&registry)?;
        Ok(Self {
            dlq: DlqMetrics::register(&registry)?,
            traces: TraceMetrics::register(&registry)?,
            sampling: SamplingMetrics::register(&registry)?,
            service: ServiceMetrics::register(&registry)?,
            notifications: NotificationMetrics::register(&registry)?,
            registry,
        })
    }
}

impl LiveMetrics {
    /// The families as they are now.
    pub(super) fn families(&self, budget: &mut SeriesBudget) -> Vec<Family> {
        let families = self.registry.gather();
        families.iter().map(|of| family(of, budget)).collect()
    }
}

fn family(of: &MetricFamily, budget: &mut SeriesBudget) -> Family {
    let kind = match of.get_field_type() {
        MetricType::COUNTER => Kind::Counter,
        MetricType::HISTOGRAM => Kind::Histogram,
        // Nothing else is declared above.
        _ => Kind::Gauge,
    };
    let mut family = Family::new(kind, of.name().to_owned(), of.help().to_owned());
    for metric in of.get_metric() {
        let pairs = metric.get_label().iter();
        let pairs: Vec<(&str, &str)> = pairs.map(|pair| (pair.name(), pair.value())).collect();
        let labels = Labels::new(&pairs);
        match kind {
            Kind::Counter => family.set(budget, &labels, metric.get_counter().get_value()),
            Kind::Gauge => family.set(budget, &labels, metric.get_gauge().get_value()),
            Kind::Histogram => set_histogram(&mut family, budget, &labels, metric.get_histogram()),
        }
    }
    family
}

fn set_histogram(
    family: &mut Family,
    budget: &mut SeriesBudget,
    labels: &Labels,
    histogram: &proto::Histogram,
) {
    let buckets: Vec<(f64, u64)> = histogram
        .get_bucket()
        .iter()
        .map(|bucket| (bucket.upper_bound(), bucket.cumulative_count()))
        .filter(|(upper_bound, _)| upper_bound.is_finite())
        .collect();
    let total = (histogram.get_sample_sum(), histogram.get_sample_count());
    family.set_histogram(budget, labels, &buckets, total);
}

/// Memory, processor time, threads and open files of this process, where the system tells them.
fn register_process(registry: &Registry) -> prometheus::Result<()> {
    #[cfg(target_os = "linux")]
    registry.register(Box::new(
        prometheus::process_collector::ProcessCollector::for_self(),
    ))?;
    #[cfg(not(target_os = "linux"))]
    let _ = registry;
    Ok(())
}
