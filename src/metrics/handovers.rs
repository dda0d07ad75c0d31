use std::collections::BTreeMap;
use std::time::Duration;

use super::histogram::Histogram;
use super::text::{Family, Labels, SeriesBudget};
use crate::domain::{ClusterName, System};

/// Upper bounds in seconds: published times are exact, so that milliseconds can be told.
const BOUNDS: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0, 3600.0,
];

/// Names come from producers; of more pairs none is added.
const MOST: usize = 1_000;

/// How long it took from an event to the one that it caused, by the destination of the first and the service
/// that published the second.
#[derive(Debug, Default)]
pub(super) struct HandoverDurations(BTreeMap<(ClusterName, System, String, String), Histogram>);

impl HandoverDurations {
    /// Whether there was room for it.
    pub(super) fn observe(
        &mut self,
        (cluster, system): (&ClusterName, System),
        (source, consumer): (&str, &str),
        duration: Duration,
    ) -> bool {
        let key = (
            cluster.clone(),
            system,
            source.to_owned(),
            consumer.to_owned(),
        );
        let has_room = self.0.len() < MOST || self.0.contains_key(&key);
        if has_room {
            let histogram = self.0.entry(key).or_default();
            histogram.observe(&BOUNDS, duration, 1);
        }
        has_room
    }

    /// Those that began on this cluster.
    pub(super) fn write(
        &self,
        cluster: &ClusterName,
        family: &mut Family,
        budget: &mut SeriesBudget,
    ) {
        let of_cluster = self.0.iter().filter(|((of, ..), _)| of == cluster);
        for ((_, system, source, consumer), histogram) in of_cluster {
            let labels = Labels::new(&[
                ("cluster", cluster.as_str()),
                ("system", system.as_str()),
                ("source", source),
                ("consumer", consumer),
                ("basis", "publish_to_publish"),
            ]);
            histogram.write(&BOUNDS, &labels, family, budget);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::text::Kind;

    #[test]
    fn only_so_many_pairs_are_told_apart() {
        let mut durations = HandoverDurations::default();
        let cluster = ClusterName::new("k");
        let mut observe = |source: &str, millis| {
            let duration = Duration::from_millis(millis);
            durations.observe((&cluster, System::Kafka), (source, "payments"), duration)
        };
        assert!(observe("orders", 7));
        assert!((1..MOST).all(|number| observe(&number.to_string(), 1)));
        assert!(!observe("one more", 1));
        assert!(observe("orders", 30));
        let mut family = Family::new(Kind::Histogram, "d", "D.");
        durations.write(&cluster, &mut family, &mut SeriesBudget::new(100_000));
        let text = family.lines();
        let labels = "{cluster=\"k\",system=\"kafka\",source=\"orders\",consumer=\"payments\",\
                      basis=\"publish_to_publish\"";
        for (bound, count) in [("0.005", 0), ("0.01", 1), ("0.025", 1), ("0.05", 2)] {
            let line = format!("d_bucket{labels},le=\"{bound}\"}} {count}\n");
            assert!(text.contains(&line), "{line}");
        }
        assert!(!text.contains("one more"));
    }
}
