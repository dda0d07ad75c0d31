use std::time::Duration;

use super::{DROPPED_AT_LIMIT, Metrics, lock};
use crate::domain::{ClusterName, System, Timestamp};

/// What became of a span on its way to the backend of traces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportOutcome {
    Sent,
    /// By the backend, for good.
    Refused,
    /// What it tells left the store before it could be sent.
    GivenUp,
}

impl ExportOutcome {
    const ALL: [Self; 3] = [Self::Sent, Self::Refused, Self::GivenUp];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Refused => "refused",
            Self::GivenUp => "given_up",
        }
    }
}

impl Metrics {
    /// Counts events that the tap read: those that were stored, and those without a correlation ID.
    pub fn traced(&self, cluster: &ClusterName, stored: usize, left_out: usize) {
        let counter = &self.live.traces.events;
        for (outcome, number) in [("stored", stored), ("no_correlation_id", left_out)] {
            let counter = counter.with_label_values(&[cluster.as_str(), outcome]);
            counter.inc_by(number as u64);
        }
    }

    /// Counts events that the tap read and left out because it fell behind.
    pub fn thinned(&self, cluster: &ClusterName, events: usize) {
        let counter = &self.live.traces.events;
        let counter = counter.with_label_values(&[cluster.as_str(), "thinned"]);
        counter.inc_by(events as u64);
    }

    /// How long it took from an event, by the destination that it was published to, until a service published the
    /// event that it caused.
    pub fn publish_to_publish(
        &self,
        published_on: (&ClusterName, System),
        (source, consumer): (&str, &str),
        duration: Duration,
    ) {
        let names = (source, consumer);
        if !lock(&self.handovers).observe(published_on, names, duration) {
            self.count_dropped(DROPPED_AT_LIMIT, 1);
        }
    }

    /// Counts an event that has an earlier time than its cause.
    pub fn clock_skew(&self, cluster: &ClusterName) {
        let skewed = &self.live.traces.clock_skew;
        skewed.with_label_values(&[cluster.as_str()]).inc();
    }

    /// Exposes the counters of the export at 0, so that its first failure is an increase.
    pub fn declare_trace_export(&self) {
        for outcome in ExportOutcome::ALL {
            self.trace_spans(outcome, 0);
        }
        self.traces_waiting(0);
    }

    /// Counts spans of exported traces.
    pub fn trace_spans(&self, outcome: ExportOutcome, spans: u64) {
        let counter = &self.live.traces.exported_spans;
        counter.with_label_values(&[outcome.as_str()]).inc_by(spans);
    }

    pub fn traces_waiting(&self, traces: u64) {
        let gauge = &self.live.traces.export_waiting;
        gauge.with_label_values::<&str>(&[]).set(traces as f64);
    }

    /// The backend took something.
    pub fn trace_export_succeeded(&self, at: Timestamp) {
        let gauge = &self.live.traces.export_last_success;
        gauge.with_label_values::<&str>(&[]).set(at.as_seconds());
    }
}
