use std::time::Duration;

use super::{DROPPED_AT_LIMIT, Metrics, lock};
use crate::domain::{ClusterName, System};

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
}
