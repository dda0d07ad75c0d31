use std::collections::HashMap;
use std::time::Duration;

use super::text::{Family, Labels, SeriesBudget};
use crate::domain::{ClusterName, ConsumerGroup, TopicName};

/// Upper bounds in seconds of `event_processing_duration_seconds`.
const BOUNDS: [f64; 13] = [
    2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 21_600.0, 86_400.0,
];

/// How long records took from being published to being committed, per cluster, group and topic.
///
/// The histograms of the prometheus crate take one observation at a time; here one observation
/// stands for all records between two commits.
#[derive(Debug)]
pub(super) struct ProcessingDurations {
    /// The bounds that sampling can resolve.
    bounds: Vec<f64>,
    histograms: HashMap<(ClusterName, ConsumerGroup, TopicName), Histogram>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Histogram {
    /// Not cumulative; the last one counts what exceeds all bounds.
    counts: Vec<u64>,
    sum: f64,
}

impl Histogram {
    /// The bounds are the same every time.
    pub(super) fn observe(&mut self, bounds: &[f64], duration: Duration, events: u64) {
        self.counts.resize(bounds.len() + 1, 0);
        let seconds = duration.as_secs_f64();
        let bucket = bounds.partition_point(|bound| *bound < seconds);
        self.counts[bucket] += events;
        self.sum += seconds * events as f64;
    }

    pub(super) fn write(
        &self,
        bounds: &[f64],
        labels: &Labels,
        family: &mut Family,
        budget: &mut SeriesBudget,
    ) {
        let cumulative = self.counts.iter().scan(0, |total, count| {
            *total += count;
            Some(*total)
        });
        let count = self.counts.iter().sum();
        let buckets: Vec<(f64, u64)> = bounds.iter().copied().zip(cumulative).collect();
        family.set_histogram(budget, labels, &buckets, (self.sum, count));
    }
}

impl ProcessingDurations {
    /// A time between two samples is known to one interval at either end, so finer buckets than two
    /// intervals would only look exact.
    pub(super) fn new(sampling_interval: Duration) -> Self {
        let finest = 2.0 * sampling_interval.as_secs_f64();
        Self {
            bounds: BOUNDS
                .into_iter()
                .filter(|bound| *bound >= finest)
                .collect(),
            histograms: HashMap::new(),
        }
    }

    pub(super) fn observe(
        &mut self,
        key: (ClusterName, ConsumerGroup, TopicName),
        durations: &[(Duration, u64)],
    ) {
        let histogram = self.histograms.entry(key).or_default();
        for (duration, records) in durations {
            histogram.observe(&self.bounds, *duration, *records);
        }
    }

    /// Forgets groups and topics that are gone.
    pub(super) fn retain(
        &mut self,
        keep: impl Fn(&ClusterName, &ConsumerGroup, &TopicName) -> bool,
    ) {
        self.histograms
            .retain(|(cluster, group, topic), _| keep(cluster, group, topic));
    }

    /// The histograms of one cluster, of the groups that are shown. They are copied, so that nobody waits
    /// while they are written.
    pub(super) fn of(
        &self,
        cluster: &ClusterName,
        shown: impl Fn(&ConsumerGroup) -> bool,
    ) -> ClusterDurations {
        let of_cluster = self
            .histograms
            .iter()
            .filter(|((of, group, _), _)| of == cluster && shown(group))
            .map(|((_, group, topic), histogram)| {
                (group.clone(), topic.clone(), histogram.clone())
            });
        ClusterDurations {
            bounds: self.bounds.clone(),
            histograms: of_cluster.collect(),
        }
    }
}

/// The histograms of one cluster at one time.
#[derive(Debug)]
pub(super) struct ClusterDurations {
    bounds: Vec<f64>,
    histograms: Vec<(ConsumerGroup, TopicName, Histogram)>,
}

impl ClusterDurations {
    pub(super) fn write(
        &self,
        cluster: &ClusterName,
        family: &mut Family,
        budget: &mut SeriesBudget,
    ) {
        for (group, topic, histogram) in &self.histograms {
            let labels = Labels::new(&[
                ("cluster", cluster.as_str()),
                ("system", "kafka"),
                ("source", topic.as_str()),
                ("consumer", group.as_str()),
                ("basis", "publish_to_commit"),
            ]);
            histogram.write(&self.bounds, &labels, family, budget);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::text::Kind;

    #[test]
    fn records_are_weighted_and_buckets_start_at_two_intervals() {
        let mut durations = ProcessingDurations::new(Duration::from_secs(10));
        let cluster = ClusterName::new("k");
        let key = (cluster.clone(), "payments".into(), "orders".into());
        let second = Duration::from_secs(1);
        durations.observe(key.clone(), &[(second * 20, 5), (second * 45, 2)]);
        durations.observe(key, &[(second * 100_000, 1)]);
        let mut family = Family::new(Kind::Histogram, "d", "D.");
        let durations = durations.of(&cluster, |_| true);
        durations.write(&cluster, &mut family, &mut SeriesBudget::new(100));
        let text = family.lines();
        let check = |line: &str| assert!(text.contains(line), "{line} is not in\n{text}");
        assert!(!text.contains("le=\"10.0\""), "{text}");
        check("le=\"20.0\"} 5\n");
        check("le=\"30.0\"} 5\n");
        check("le=\"60.0\"} 7\n");
        check("le=\"86400.0\"} 7\n");
        check("le=\"+Inf\"} 8\n");
        check("publish_to_commit\"} 8\n");
        check("publish_to_commit\"} 100190\n");
    }

    #[test]
    fn what_vanished_is_forgotten() {
        let mut durations = ProcessingDurations::new(Duration::from_secs(1));
        let cluster = ClusterName::new("k");
        let second = Duration::from_secs(1);
        durations.observe((cluster.clone(), "g".into(), "t".into()), &[(second, 5)]);
        durations.retain(|_, _, topic| topic.as_str() != "t");
        let mut family = Family::new(Kind::Histogram, "d", "D.");
        let durations = durations.of(&cluster, |_| true);
        durations.write(&cluster, &mut family, &mut SeriesBudget::new(100));
        assert_eq!(family.lines(), "");
    }
}
