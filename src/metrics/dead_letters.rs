//! Counters of dead letters which page nobody for what was there before Redrive.
//!
//! Prometheus sees an increase only between two values. So the first value of a series must hold what
//! was found when the DLQ was discovered, which would otherwise look like a burst; and a series that
//! begins later must be seen at 0 first, or else its first dead letter would be no increase.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::text::{Family, Labels, SeriesBudget, bounded, families};
use super::{MERGED_SOURCES, Metrics, lock};
use crate::domain::{ClusterName, DeathReason, ReplayStateName, System};

/// Sources and reasons of one DLQ; further sources are counted as [`OTHER_SOURCES`]. The source comes
/// from the headers of dead letters, so anybody who may produce could make series at will.
const SERIES_PER_DLQ: usize = 500;
const OTHER_SOURCES: &str = "(other)";

/// How long a series that began after the discovery is shown as 0: long enough for two Prometheus
/// servers to scrape it, short enough that no alert comes late.
const SHOWN_AS_ZERO: Duration = Duration::from_secs(20);

/// Dead letters and replays. `dlq` and `source` are topics, or queues without their virtual host.
impl Metrics {
    /// Counts dead letters that the store already knew when Redrive started.
    pub fn dead_letters_stored(
        &self,
        (cluster, system, dlq): (&ClusterName, System, &str),
        source: &str,
        reason: DeathReason,
        count: u64,
    ) {
        let key = dlq_key(cluster, system, dlq);
        let merged = lock(&self.dead_letters).add(key, source, reason, count);
        self.count_dropped(MERGED_SOURCES, merged);
    }

    /// Counts one dead letter that intake saw for the first time. It is exposed once
    /// [`Metrics::dlq_backlog_read`] was called for its DLQ.
    pub fn dead_letter_seen(
        &self,
        cluster: &ClusterName,
        system: System,
        source: &str,
        dlq: &str,
        reason: DeathReason,
    ) {
        self.dead_letters_stored((cluster, system, dlq), source, reason, 1);
    }

    /// Intake has read what lay in this DLQ when it was discovered. Until then none of its counters is
    /// exposed: a backlog that is seen to grow while it is read would alert somebody.
    pub fn dlq_backlog_read(&self, cluster: &ClusterName, system: System, dlq: &str) {
        lock(&self.dead_letters).backlog_read(dlq_key(cluster, system, dlq));
        for outcome in ReplayStateName::ALL {
            self.replay_counter(cluster, system, dlq, outcome).inc_by(0);
        }
    }

    /// Counts a failure group that is new in this DLQ, or came back.
    pub fn failure_group_new(&self, cluster: &ClusterName, system: System, dlq: &str) {
        lock(&self.dead_letters).add_new_group(dlq_key(cluster, system, dlq));
    }

    /// How many dead letters of this DLQ are open, and the age of the oldest.
    pub fn set_dlq_depth(
        &self,
        cluster: &ClusterName,
        system: System,
        dlq: &str,
        open: u64,
        oldest_age: Option<Duration>,
    ) {
        let dlq = bounded(dlq);
        let labels = [cluster.as_str(), system.as_str(), &dlq];
        let metrics = &self.live.dlq;
        metrics.depth.with_label_values(&labels).set(open as f64);
        match oldest_age {
            Some(age) => {
                let gauge = metrics.oldest_age.with_label_values(&labels);
                gauge.set(age.as_secs_f64());
            }
            // It fails if there was none, which is what is wanted.
            None => drop(metrics.oldest_age.remove_label_values(&labels)),
        }
    }

    /// How many dead letters of this DLQ wait whose body only the broker has, and which it removes within a day.
    pub fn set_expiring_bodies(
        &self,
        cluster: &ClusterName,
        system: System,
        dlq: &str,
        number: u64,
    ) {
        let dlq = bounded(dlq);
        let labels = [cluster.as_str(), system.as_str(), &dlq];
        let gauge = &self.live.dlq.expiring_bodies;
        gauge.with_label_values(&labels).set(number as f64);
    }

    /// Removes the series of a DLQ that no longer exists.
    pub fn forget_dlq(&self, cluster: &ClusterName, system: System, dlq: &str) {
        lock(&self.dead_letters).forget(&dlq_key(cluster, system, dlq));
        let dlq = bounded(dlq);
        let labels = [cluster.as_str(), system.as_str(), &dlq];
        drop(self.live.dlq.depth.remove_label_values(&labels));
        drop(self.live.dlq.oldest_age.remove_label_values(&labels));
        let expiring = &self.live.dlq.expiring_bodies;
        drop(expiring.remove_label_values(&labels));
        for outcome in ReplayStateName::ALL {
            let labels = [labels[0], labels[1], labels[2], outcome.as_str()];
            drop(self.live.dlq.replayed.remove_label_values(&labels));
        }
    }

    /// Counts a replay of a dead letter of this DLQ that reached a state.
    pub fn replay_outcome(
        &self,
        cluster: &ClusterName,
        system: System,
        dlq: &str,
        outcome: ReplayStateName,
    ) {
        self.replay_counter(cluster, system, dlq, outcome).inc();
    }

    fn replay_counter(
        &self,
        cluster: &ClusterName,
        system: System,
        dlq: &str,
        outcome: ReplayStateName,
    ) -> prometheus::IntCounter {
        let dlq = bounded(dlq);
        let labels = [cluster.as_str(), system.as_str(), &dlq, outcome.as_str()];
        self.live.dlq.replayed.with_label_values(&labels)
    }
}

families! {
    /// Dead letters as intake saw them.
    struct DeadLetterFamilies {
        /// Dead letters ever seen, each once; those that were there when the DLQ was discovered are in the
        /// first value.
        messages: Counter = "dlq_messages_total",
        /// Failure groups that were new, or came back, in a DLQ.
        new_groups: Counter = "dlq_failure_groups_new_total",
    }
}

/// Which DLQ: cluster, system and the name of the topic or queue.
pub(super) type DlqKey = (ClusterName, System, String);

/// All counts of dead letters.
#[derive(Debug, Default)]
pub(super) struct DeadLetterCounts {
    dlqs: HashMap<DlqKey, DlqCounts>,
}

#[derive(Debug)]
struct DlqCounts {
    labels: Arc<Labels>,
    /// What was there at the discovery has been read: the counts may be shown.
    backlog_read: bool,
    by_source: BTreeMap<(String, DeathReason), Count>,
    new_groups: u64,
}

#[derive(Debug)]
struct Count {
    labels: Arc<Labels>,
    total: u64,
    shown: Shown,
}

#[derive(Debug)]
enum Shown {
    AsCounted,
    /// `since` is the first time somebody looked.
    AsZero {
        since: Option<Instant>,
    },
}

impl DeadLetterCounts {
    /// Counts dead letters; answers how many series were merged into another for it.
    pub(super) fn add(
        &mut self,
        dlq: DlqKey,
        source: &str,
        reason: DeathReason,
        count: u64,
    ) -> usize {
        let dlq = self.dlq(dlq);
        let shown = if dlq.backlog_read {
            Shown::AsZero { since: None }
        } else {
            Shown::AsCounted
        };
        let known = dlq.by_source.contains_key(&(source.to_owned(), reason));
        let fits = known || dlq.by_source.len() < SERIES_PER_DLQ;
        let source = if fits { source } else { OTHER_SOURCES };
        let labels = &dlq.labels;
        dlq.by_source
            .entry((source.to_owned(), reason))
            .or_insert_with(|| Count::new(labels, source, reason, shown))
            .total += count;
        usize::from(!fits)
    }

    fn dlq(&mut self, key: DlqKey) -> &mut DlqCounts {
        let entry = self.dlqs.entry(key);
        entry.or_insert_with_key(|(cluster, system, dlq)| DlqCounts::new(cluster, *system, dlq))
    }

    pub(super) fn add_new_group(&mut self, dlq: DlqKey) {
        self.dlq(dlq).new_groups += 1;
    }

    /// From now on the counts of this DLQ are shown.
    pub(super) fn backlog_read(&mut self, dlq: DlqKey) {
        self.dlq(dlq).backlog_read = true;
    }

    pub(super) fn forget(&mut self, dlq: &DlqKey) {
        self.dlqs.remove(dlq);
    }

    /// What is shown at `now`. It is only copied here, so that nobody waits for the lock while it is
    /// encoded.
    pub(super) fn shown(&mut self, now: Instant) -> Vec<ShownDlq> {
        let dlqs = self.dlqs.values_mut().filter(|dlq| dlq.backlog_read);
        dlqs.map(|dlq| dlq.shown(now)).collect()
    }
}

/// The counts of one DLQ at one time.
#[derive(Debug)]
pub(super) struct ShownDlq {
    labels: Arc<Labels>,
    new_groups: u64,
    messages: Vec<(Arc<Labels>, u64)>,
}

/// The families of these counts.
pub(super) fn families_of(dlqs: &[ShownDlq], budget: &mut SeriesBudget) -> Vec<Family> {
    let mut families = DeadLetterFamilies::new();
    for dlq in dlqs {
        let new_groups = dlq.new_groups as f64;
        families.new_groups.set(budget, &dlq.labels, new_groups);
        for (labels, count) in &dlq.messages {
            families.messages.set(budget, labels, *count as f64);
        }
    }
    families.into_families()
}

impl DlqCounts {
    fn new(cluster: &ClusterName, system: System, dlq: &str) -> Self {
        let labels = Labels::new(&[
            ("cluster", cluster.as_str()),
            ("system", system.as_str()),
            ("dlq", dlq),
        ]);
        Self {
            labels: Arc::new(labels),
            backlog_read: false,
            by_source: BTreeMap::new(),
            new_groups: 0,
        }
    }

    fn shown(&mut self, now: Instant) -> ShownDlq {
        let counts = self.by_source.values_mut();
        ShownDlq {
            labels: Arc::clone(&self.labels),
            new_groups: self.new_groups,
            messages: counts
                .map(|count| (Arc::clone(&count.labels), count.shown_value(now)))
                .collect(),
        }
    }
}

impl Count {
    fn new(dlq: &Labels, source: &str, reason: DeathReason, shown: Shown) -> Self {
        let labels = dlq.with("source", source).with("reason", reason.as_str());
        Self {
            labels: Arc::new(labels),
            total: 0,
            shown,
        }
    }

    fn shown_value(&mut self, now: Instant) -> u64 {
        match self.shown {
            Shown::AsCounted => self.total,
            Shown::AsZero { since } => {
                let since = since.unwrap_or(now);
                if now.duration_since(since) < SHOWN_AS_ZERO {
                    self.shown = Shown::AsZero { since: Some(since) };
                    return 0;
                }
                self.shown = Shown::AsCounted;
                self.total
            }
        }
    }
}

fn dlq_key(cluster: &ClusterName, system: System, dlq: &str) -> DlqKey {
    (cluster.clone(), system, dlq.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dlq() -> DlqKey {
        ("k".into(), System::Kafka, "orders.dlq".to_owned())
    }

    fn text(counts: &mut DeadLetterCounts, now: Instant) -> String {
        let families = families_of(&counts.shown(now), &mut SeriesBudget::new(10_000));
        families.iter().map(Family::lines).collect()
    }

    fn line(source: &str, value: u64) -> String {
        format!(
            "dlq_messages_total{{cluster=\"k\",system=\"kafka\",dlq=\"orders.dlq\",\
             source=\"{source}\",reason=\"exception\"}} {value}\n"
        )
    }

    #[test]
    fn what_was_there_at_discovery_is_in_the_first_value() {
        let now = Instant::now();
        let mut counts = DeadLetterCounts::default();
        counts.add(dlq(), "orders", DeathReason::Exception, 400);
        assert_eq!(
            text(&mut counts, now),
            "",
            "half of the backlog would look like a burst"
        );
        counts.add(dlq(), "orders", DeathReason::Exception, 100);
        counts.add_new_group(dlq());
        counts.backlog_read(dlq());
        let shown = text(&mut counts, now);
        assert!(shown.contains(&line("orders", 500)), "{shown}");
        assert!(shown.contains(
            "dlq_failure_groups_new_total{cluster=\"k\",system=\"kafka\",dlq=\"orders.dlq\"} 1\n"
        ));
        counts.add(dlq(), "orders", DeathReason::Exception, 1);
        assert!(text(&mut counts, now).contains(&line("orders", 501)));
    }

    #[test]
    fn a_source_that_begins_to_fail_later_is_seen_at_zero_first() {
        let start = Instant::now();
        let mut counts = DeadLetterCounts::default();
        counts.backlog_read(dlq());
        text(&mut counts, start);
        counts.add(dlq(), "payments", DeathReason::Exception, 3);
        let seconds = Duration::from_secs(1);
        let first_scrape = start + 100 * seconds;
        assert!(text(&mut counts, first_scrape).contains(&line("payments", 0)));
        assert!(text(&mut counts, first_scrape + 5 * seconds).contains(&line("payments", 0)));
        assert!(text(&mut counts, first_scrape + 20 * seconds).contains(&line("payments", 3)));
    }

    #[test]
    fn a_flood_of_sources_ends_in_one_series() {
        let mut counts = DeadLetterCounts::default();
        let merged: usize = (0..SERIES_PER_DLQ + 7)
            .map(|n| counts.add(dlq(), &format!("s{n}"), DeathReason::Exception, 1))
            .sum();
        counts.backlog_read(dlq());
        assert_eq!(merged, 7);
        assert!(text(&mut counts, Instant::now()).contains(&line("(other)", 7)));
    }

    #[test]
    fn a_dlq_that_is_gone_has_no_series() {
        let mut counts = DeadLetterCounts::default();
        counts.backlog_read(dlq());
        counts.forget(&dlq());
        assert_eq!(text(&mut counts, Instant::now()), "");
    }
}
