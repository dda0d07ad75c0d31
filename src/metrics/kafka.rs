use super::detail::GroupDetail;
use super::events::EventFamilies;
use super::text::{Labels, SeriesBudget, families};
use crate::config::SeriesDetail;
use crate::domain::{
    ClusterName, GroupPartitionStatus, GroupStatus, GroupTopicStatus, GroupVerdict, KafkaDetail,
    PartitionSample, TopicStatus,
};

families! {
    /// What the snapshots say about Kafka clusters.
    struct KafkaFamilies {
        /// Messages between the committed offset of a consumer group and the end of the partition, without
        /// those that retention removed. Absent where the group has not committed. Without a partition, the
        /// sum over the topic.
        lag: Gauge = "kafka_consumer_group_lag",
        /// Age of the oldest message that a consumer group has not committed; where it is older than what
        /// was observed, the age that is proven. Absent while unknown. Without a partition, the worst of the
        /// topic.
        lag_seconds: Gauge = "kafka_consumer_group_lag_seconds",
        /// Committed offset of a consumer group. Without a partition, the sum over the topic.
        offset: Gauge = "kafka_consumer_group_offset",
        /// Share of the log between its start and the committed offset: 0 means that retention is about to
        /// remove what was not read. Without a partition, the worst of the topic.
        retention_headroom: Gauge = "kafka_consumer_group_retention_headroom_ratio",
        /// Lag of a consumer group summed over the partitions of a topic.
        topic_lag: Gauge = "kafka_consumer_group_topic_lag",
        /// Members of a consumer group.
        members: Gauge = "kafka_consumer_group_members",
        /// 1 for the state that the broker gives a consumer group, else 0.
        state: Gauge = "kafka_consumer_group_state",
        /// 1 for Redrive's verdict over the last samples of a consumer group, else 0.
        status: Gauge = "kafka_consumer_group_status",
        /// Messages that retention removed before a consumer group read them, since Redrive started.
        lost: Counter = "kafka_consumer_group_lost_messages_total",
        /// First offset of a partition that retention has kept.
        oldest_offset: Gauge = "kafka_partition_oldest_offset",
        /// End of a partition: its high watermark.
        current_offset: Gauge = "kafka_partition_current_offset",
        /// End of a partition for readers of committed transactions; falls behind the current offset while
        /// a transaction is open.
        last_stable_offset: Gauge = "kafka_partition_last_stable_offset",
        /// Messages that were produced to a topic since Redrive started.
        produced: Counter = "kafka_topic_produced_messages_total",
    }
}

/// States of Kafka's group protocols. Whatever else a broker says is `Other`: a label value of its
/// own for every word would let a broker make series at will.
const GROUP_STATES: [&str; 9] = [
    "Stable",
    "Empty",
    "PreparingRebalance",
    "CompletingRebalance",
    "Assigning",
    "Reconciling",
    "NotReady",
    "Dead",
    "Other",
];

impl KafkaFamilies {
    /// Writes what groups and topics say as a whole before what their partitions say: where there are too
    /// many series, those of partitions are dropped.
    pub(super) fn observe(
        &mut self,
        cluster: &ClusterName,
        kafka: &KafkaDetail,
        detail: &GroupDetail,
        events: &mut EventFamilies,
        budget: &mut SeriesBudget,
    ) {
        let labels = Labels::new(&[("cluster", cluster.as_str())]);
        let groups = kafka.groups.iter();
        let groups = groups.map(|group| (group, detail.of(&group.group)));
        let shown: Vec<(&GroupStatus, SeriesDetail)> = groups
            .filter(|(_, detail)| *detail != SeriesDetail::None)
            .collect();
        let topics = || kafka.topics.iter().filter(|topic| !topic.internal);
        for (group, detail) in &shown {
            self.observe_group(&labels, group, *detail, budget);
            for topic in &group.topics {
                events.processed_by_group(cluster, &group.group, topic, budget);
            }
        }
        for topic in topics() {
            let labels = labels.with("topic", topic.topic.as_str());
            self.produced
                .set(budget, &labels, topic.produced_total as f64);
        }
        for (group, detail) in &shown {
            if *detail == SeriesDetail::Partition {
                self.observe_group_partitions(&labels, group, budget);
            }
        }
        for topic in topics() {
            self.observe_partitions(&labels, topic, budget);
        }
    }

    fn observe_group(
        &mut self,
        labels: &Labels,
        group: &GroupStatus,
        detail: SeriesDetail,
        budget: &mut SeriesBudget,
    ) {
        let labels = labels.with("group", group.group.as_str());
        if let Some(members) = group.member_count() {
            self.members.set(budget, &labels, members as f64);
        }
        let state = GROUP_STATES
            .into_iter()
            .find(|known| *known == group.state)
            .unwrap_or("Other");
        for known in GROUP_STATES {
            let labels = labels.with("state", known);
            self.state.set(budget, &labels, truth(known == state));
        }
        for verdict in GroupVerdict::ALL {
            let labels = labels.with("status", verdict.as_str());
            self.status
                .set(budget, &labels, truth(verdict == group.verdict));
        }
        for topic in &group.topics {
            let labels = labels.with("topic", topic.topic.as_str());
            self.topic_lag.set(budget, &labels, topic.lag as f64);
            self.lost.set(budget, &labels, topic.lost_total as f64);
            if detail == SeriesDetail::Topic {
                self.observe_place(&labels, &Place::sum_of(topic), budget);
            }
        }
    }

    fn observe_group_partitions(
        &mut self,
        labels: &Labels,
        group: &GroupStatus,
        budget: &mut SeriesBudget,
    ) {
        let labels = labels.with("group", group.group.as_str());
        for topic in &group.topics {
            let labels = labels.with("topic", topic.topic.as_str());
            for partition in &topic.partitions {
                let labels = labels.with("partition", &partition.partition.to_string());
                self.observe_place(&labels, &Place::of(partition), budget);
            }
        }
    }

    fn observe_place(&mut self, labels: &Labels, place: &Place, budget: &mut SeriesBudget) {
        let values = [
            (&mut self.offset, place.offset),
            (&mut self.lag, place.lag),
            (&mut self.lag_seconds, place.lag_seconds),
            (&mut self.retention_headroom, place.retention_headroom),
        ];
        for (family, value) in values {
            if let Some(value) = value {
                family.set(budget, labels, value);
            }
        }
    }

    fn observe_partitions(
        &mut self,
        labels: &Labels,
        topic: &TopicStatus,
        budget: &mut SeriesBudget,
    ) {
        let labels = labels.with("topic", topic.topic.as_str());
        for partition in &topic.partitions {
            let PartitionSample {
                partition,
                log_start,
                high_watermark,
                last_stable,
                ..
            } = partition;
            let labels = labels.with("partition", &partition.to_string());
            let offsets = [
                (&mut self.oldest_offset, log_start),
                (&mut self.current_offset, high_watermark),
                (&mut self.last_stable_offset, last_stable),
            ];
            for (family, offset) in offsets {
                if let Some(offset) = offset {
                    family.set(budget, &labels, offset.0 as f64);
                }
            }
        }
    }
}

/// Where a group stands in a partition, or in all partitions of a topic; absent is what is not known.
#[derive(Debug, Default)]
struct Place {
    offset: Option<f64>,
    lag: Option<f64>,
    lag_seconds: Option<f64>,
    retention_headroom: Option<f64>,
}

impl Place {
    fn of(partition: &GroupPartitionStatus) -> Self {
        let time_lag = partition.time_lag;
        Self {
            offset: Some(partition.committed.0 as f64),
            lag: partition.lag.map(|lag| lag as f64),
            lag_seconds: time_lag.map(|lag| lag.duration().as_secs_f64()),
            retention_headroom: partition.retention_headroom,
        }
    }

    fn sum_of(topic: &GroupTopicStatus) -> Self {
        let places = topic.partitions.iter().map(Self::of);
        places.fold(Self::default(), |sum, place| Self {
            offset: merge(sum.offset, place.offset, |a, b| a + b),
            lag: merge(sum.lag, place.lag, |a, b| a + b),
            lag_seconds: merge(sum.lag_seconds, place.lag_seconds, f64::max),
            retention_headroom: merge(sum.retention_headroom, place.retention_headroom, f64::min),
        })
    }
}

fn merge(a: Option<f64>, b: Option<f64>, both: fn(f64, f64) -> f64) -> Option<f64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(both(a, b)),
        (a, b) => a.or(b),
    }
}

fn truth(value: bool) -> f64 {
    f64::from(u8::from(value))
}
