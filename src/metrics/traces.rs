use super::Metrics;
use crate::domain::ClusterName;

impl Metrics {
    /// Counts events that the tap read: those that were stored, and those without a correlation ID.
    pub fn traced(&self, cluster: &ClusterName, stored: usize, left_out: usize) {
        let counter = &self.live.traces.events;
        for (outcome, number) in [("stored", stored), ("no_correlation_id", left_out)] {
            let counter = counter.with_label_values(&[cluster.as_str(), outcome]);
            counter.inc_by(number as u64);
        }
    }
}
