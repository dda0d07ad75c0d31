use std::collections::{HashMap, VecDeque};

use crate::domain::{
    ClusterDetail, ClusterName, ConsumerGroup, KafkaDetail, QueueName, QueueRole, RabbitMqDetail,
    Timestamp, VhostName,
};

/// Points of all series together. At four bytes each this bounds the history to 32 MB.
const POINTS_LIMIT: usize = 8_000_000;

/// Which line a chart shows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SeriesKey {
    pub cluster: ClusterName,
    pub series: Series,
}

impl SeriesKey {
    pub fn new(cluster: &ClusterName, series: Series) -> Self {
        Self {
            cluster: cluster.clone(),
            series,
        }
    }
}

/// What a line shows about its cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Series {
    /// Messages, all groups of a Kafka cluster.
    TotalLag,
    /// Seconds, the worst group of a Kafka cluster.
    WorstTimeLag,
    /// Events per second that consumers have done with: commits of all groups, or what work queues
    /// settled.
    ProcessingRate,
    /// Messages per second into all topics, or published into all queues.
    ProduceRate,
    /// Messages.
    GroupLag(ConsumerGroup),
    /// Seconds.
    GroupTimeLag(ConsumerGroup),
    /// Messages per second.
    GroupConsumeRate(ConsumerGroup),
    /// Messages.
    QueueDepth(VhostName, QueueName),
    /// Messages per second.
    QueuePublishRate(VhostName, QueueName),
    /// Messages per second.
    QueueSettleRate(VhostName, QueueName),
    /// Open dead letters of a DLQ, as intake counts them.
    DlqDepth(String),
}

/// One point of a chart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HistoryPoint {
    pub at: Timestamp,
    /// Absent where nothing is known: the chart shows a gap.
    pub value: Option<f64>,
}

/// The last samples of every series, in memory. Prometheus keeps the past; this feeds sparklines.
#[derive(Debug)]
pub(super) struct History {
    capacity: usize,
    clusters: HashMap<ClusterName, ClusterHistory>,
    dlq_depths: HashMap<(ClusterName, String), VecDeque<(Timestamp, f32)>>,
    series: usize,
}

/// The series of a cluster share its sampling times, so a point costs four bytes. A series may be
/// shorter than the times: it began later.
#[derive(Debug, Default)]
struct ClusterHistory {
    times: VecDeque<Timestamp>,
    values: HashMap<Series, VecDeque<f32>>,
}

impl History {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity: capacity.max(1),
            clusters: HashMap::new(),
            dlq_depths: HashMap::new(),
            series: 0,
        }
    }

    /// Adds one point to each series of a cluster. `None` says that its sample failed: a gap.
    pub(super) fn record(
        &mut self,
        cluster: &ClusterName,
        detail: Option<&ClusterDetail>,
        at: Timestamp,
    ) {
        let points = match detail {
            None => Vec::new(),
            Some(ClusterDetail::Kafka(detail)) => kafka_points(detail),
            Some(ClusterDetail::RabbitMq(detail)) => rabbitmq_points(detail),
        };
        let room = (POINTS_LIMIT / self.capacity).saturating_sub(self.series);
        let history = self.clusters.entry(cluster.clone()).or_default();
        let before = history.values.len();
        history.add(points, at, self.capacity, room);
        self.series = self.series + history.values.len() - before;
    }

    /// Adds one point to the depth of a DLQ, which is not sampled but counted by intake.
    pub(super) fn record_dlq_depth(
        &mut self,
        cluster: &ClusterName,
        dlq: &str,
        value: u64,
        at: Timestamp,
    ) {
        let room = POINTS_LIMIT / self.capacity > self.dlq_depths.len();
        let key = (cluster.clone(), dlq.to_owned());
        if !room && !self.dlq_depths.contains_key(&key) {
            return;
        }
        let points = self.dlq_depths.entry(key).or_default();
        points.push_back((at, narrow(value as f64)));
        if points.len() > self.capacity {
            points.pop_front();
        }
    }

    /// Oldest first; empty for a series that is not known.
    pub(super) fn points(&self, key: &SeriesKey) -> Vec<HistoryPoint> {
        if let Series::DlqDepth(dlq) = &key.series {
            let points = self.dlq_depths.get(&(key.cluster.clone(), dlq.clone()));
            let points = points.into_iter().flatten();
            return points.map(|(at, value)| point(*at, *value)).collect();
        }
        let Some(cluster) = self.clusters.get(&key.cluster) else {
            return Vec::new();
        };
        let Some(values) = cluster.values.get(&key.series) else {
            return Vec::new();
        };
        let began = cluster.times.len().saturating_sub(values.len());
        let times = cluster.times.iter().skip(began);
        times
            .zip(values)
            .map(|(at, value)| point(*at, *value))
            .collect()
    }
}

impl ClusterHistory {
    fn add(&mut self, points: Vec<(Series, f64)>, at: Timestamp, capacity: usize, room: usize) {
        let limit = self.values.len() + room;
        for values in self.values.values_mut() {
            values.push_back(f32::NAN);
        }
        for (series, value) in points {
            if let Some(last) = self.values.get_mut(&series).and_then(VecDeque::back_mut) {
                *last = narrow(value);
            } else if self.values.len() < limit {
                self.values.insert(series, VecDeque::from([narrow(value)]));
            }
        }
        self.times.push_back(at);
        if self.times.len() > capacity {
            self.times.pop_front();
        }
        self.values.retain(|_, values| {
            if values.len() > capacity {
                values.pop_front();
            }
            // A group that left is forgotten when its last value has left the window.
            values.iter().any(|value| !value.is_nan())
        });
    }
}

fn point(at: Timestamp, value: f32) -> HistoryPoint {
    HistoryPoint {
        at,
        value: (!value.is_nan()).then_some(f64::from(value)),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a sparkline shows seven digits well enough"
)]
fn narrow(value: f64) -> f32 {
    value as f32
}

fn kafka_points(detail: &KafkaDetail) -> Vec<(Series, f64)> {
    let groups = &detail.groups;
    let total: u64 = groups.iter().map(|group| group.lag).sum();
    let mut points = vec![(Series::TotalLag, total as f64)];
    let seconds = |group: &crate::domain::GroupStatus| {
        let time_lag = group.time_lag?;
        Some(time_lag.duration().as_secs_f64())
    };
    let worst = groups.iter().filter_map(seconds).max_by(f64::total_cmp);
    points.extend(worst.map(|worst| (Series::WorstTimeLag, worst)));
    let consumed = sum(groups.iter().map(|group| group.consume_rate));
    points.extend(consumed.map(|rate| (Series::ProcessingRate, rate)));
    let topics = detail.topics.iter().filter(|topic| !topic.internal);
    let produced = sum(topics.map(|topic| topic.produce_rate));
    points.extend(produced.map(|rate| (Series::ProduceRate, rate)));
    for group in groups {
        let name = &group.group;
        points.push((Series::GroupLag(name.clone()), group.lag as f64));
        let time_lag = seconds(group);
        points.extend(time_lag.map(|lag| (Series::GroupTimeLag(name.clone()), lag)));
        let rate = group.consume_rate;
        points.extend(rate.map(|rate| (Series::GroupConsumeRate(name.clone()), rate)));
    }
    points
}

fn rabbitmq_points(detail: &RabbitMqDetail) -> Vec<(Series, f64)> {
    let mut points = Vec::new();
    let work = detail
        .queues
        .iter()
        .filter(|queue| queue.role == QueueRole::Work);
    let settled = sum(work.map(|queue| queue.rates.settle));
    points.extend(settled.map(|rate| (Series::ProcessingRate, rate)));
    let published = sum(detail.queues.iter().map(|queue| queue.rates.publish));
    points.extend(published.map(|rate| (Series::ProduceRate, rate)));
    for queue in &detail.queues {
        let name = || (queue.sample.vhost.clone(), queue.sample.queue.clone());
        let values = [
            (
                Series::QueueDepth as fn(VhostName, QueueName) -> Series,
                queue.sample.messages.map(|messages| messages as f64),
            ),
            (Series::QueuePublishRate, queue.rates.publish),
            (Series::QueueSettleRate, queue.rates.settle),
        ];
        for (series, value) in values {
            let (vhost, queue) = name();
            points.extend(value.map(|value| (series(vhost, queue), value)));
        }
    }
    points
}

/// Absent if nothing is known at all.
fn sum(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    values.flatten().reduce(|left, right| left + right)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{GroupKind, GroupStatus, GroupVerdict};

    fn detail(groups: &[(&str, u64)]) -> ClusterDetail {
        let group = |(name, lag): &(&str, u64)| GroupStatus {
            group: (*name).into(),
            kind: GroupKind::Classic,
            state: "Stable".to_owned(),
            members: Vec::new(),
            verdict: GroupVerdict::Ok,
            topics: Vec::new(),
            lag: *lag,
            time_lag: None,
            consume_rate: None,
            produce_rate: None,
            lost_total: 0,
        };
        ClusterDetail::Kafka(KafkaDetail {
            topics: Vec::new(),
            groups: groups.iter().map(group).collect(),
        })
    }

    fn lag_of(history: &History, group: &str) -> Vec<(i64, Option<f64>)> {
        let key = SeriesKey::new(&"k".into(), Series::GroupLag(group.into()));
        let points = history.points(&key).into_iter();
        points.map(|point| (point.at.0, point.value)).collect()
    }

    #[test]
    fn a_failed_sample_and_a_late_group_leave_gaps_in_the_right_places() {
        let mut history = History::new(3);
        let cluster = "k".into();
        history.record(&cluster, Some(&detail(&[("a", 1)])), Timestamp(1));
        history.record(&cluster, None, Timestamp(2));
        history.record(&cluster, Some(&detail(&[("a", 3), ("b", 9)])), Timestamp(3));
        assert_eq!(
            lag_of(&history, "a"),
            [(1, Some(1.0)), (2, None), (3, Some(3.0))]
        );
        assert_eq!(lag_of(&history, "b"), [(3, Some(9.0))]);
        history.record(&cluster, Some(&detail(&[("b", 8)])), Timestamp(4));
        assert_eq!(
            lag_of(&history, "a"),
            [(2, None), (3, Some(3.0)), (4, None)]
        );
        assert_eq!(lag_of(&history, "b"), [(3, Some(9.0)), (4, Some(8.0))]);
    }

    #[test]
    fn a_group_that_left_is_forgotten() {
        let mut history = History::new(2);
        let cluster = "k".into();
        history.record(&cluster, Some(&detail(&[("a", 1)])), Timestamp(1));
        history.record(&cluster, Some(&detail(&[])), Timestamp(2));
        history.record(&cluster, Some(&detail(&[])), Timestamp(3));
        assert_eq!(lag_of(&history, "a"), []);
        assert_eq!(history.series, 1, "the total lag alone");
    }

    #[test]
    fn there_are_never_more_points_than_the_limit() {
        let mut history = History::new(POINTS_LIMIT / 3);
        let groups = [("a", 1), ("b", 1), ("c", 1), ("d", 1)];
        history.record(&"k".into(), Some(&detail(&groups)), Timestamp(1));
        history.record(&"l".into(), Some(&detail(&groups)), Timestamp(1));
        assert_eq!(history.series, 3);
    }

    #[test]
    fn the_depth_of_a_dlq_has_times_of_its_own() {
        let mut history = History::new(2);
        for n in 1..=3 {
            history.record_dlq_depth(&"k".into(), "orders.dlq", 10 * n, Timestamp(5));
        }
        let key = SeriesKey::new(&"k".into(), Series::DlqDepth("orders.dlq".to_owned()));
        let values: Vec<_> = history.points(&key).iter().map(|p| p.value).collect();
        assert_eq!(values, [Some(20.0), Some(30.0)]);
    }
}
