use super::events::EventFamilies;
use super::text::{Labels, SeriesBudget, families};
use crate::domain::{
    ClusterName, GroupPartitionStatus, GroupStatus, GroupTopicStatus, GroupVerdict, KafkaDetail,
    TopicStatus,
};

families! {
    /// What the snapshots say about Kafka clusters.
    struct KafkaFamilies {
        /// Messages between the committed offset of a consumer group and the end of the partition, without
        /// those that retention removed. Absent where the group has not committed.
        lag: Gauge = "kafka_consumer_group_lag",
        /// Age of the oldest message that a consumer group has not committed; where it is older than what
        /// was observed, the age that is proven. Absent while unknown.
        lag_seconds: Gauge = "kafka_consumer_group_lag_seconds",
        /// Committed offset of a consumer group.
        offset: Gauge = "kafka_consumer_group_offset",
        /// Share of the log between its start and the committed offset: 0 means that retention is about to
        /// remove what was not read.
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
    pub(super) fn observe(
        &mut self,
        cluster: &ClusterName,
        detail: &KafkaDetail,
        events: &mut EventFamilies,
        budget: &mut SeriesBudget,
    ) {
        let labels = Labels::new(&[("cluster", cluster.as_str())]);
        for group in &detail.groups {
            let labels = labels.with("group", group.group.as_str());
            self.observe_group(&labels, group, budget);
            for topic in &group.topics {
                events.processed_by_group(cluster, &group.group, topic, budget);
            }
        }
        for topic in detail.topics.iter().filter(|topic| !topic.internal) {
            self.observe_topic(&labels, topic, budget);
        }
    }

    fn observe_group(&mut self, labels: &Labels, group: &GroupStatus, budget: &mut SeriesBudget) {
        self.members.set(budget, labels, group.members.len() as f64);
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
            self.observe_group_topic(&labels.with("topic", topic.topic.as_str()), topic, budget);
        }
    }

    fn observe_group_topic(
        &mut self,
        labels: &Labels,
        topic: &GroupTopicStatus,
        budget: &mut SeriesBudget,
    ) {
        self.topic_lag.set(budget, labels, topic.lag as f64);
        self.lost.set(budget, labels, topic.lost_total as f64);
        for partition in &topic.partitions {
            let labels = labels.with("partition", &partition.partition.to_string());
            self.observe_group_partition(&labels, partition, budget);
        }
    }

    fn observe_group_partition(
        &mut self,
        labels: &Labels,
        partition: &GroupPartitionStatus,
        budget: &mut SeriesBudget,
    ) {
        self.offset
            .set(budget, labels, partition.committed.0 as f64);
        if let Some(lag) = partition.lag {
            self.lag.set(budget, labels, lag as f64);
        }
        if let Some(time_lag) = partition.time_lag {
            let seconds = time_lag.duration().as_secs_f64();
            self.lag_seconds.set(budget, labels, seconds);
        }
        if let Some(headroom) = partition.retention_headroom {
            self.retention_headroom.set(budget, labels, headroom);
        }
    }

    fn observe_topic(&mut self, labels: &Labels, topic: &TopicStatus, budget: &mut SeriesBudget) {
        let labels = labels.with("topic", topic.topic.as_str());
        self.produced
            .set(budget, &labels, topic.produced_total as f64);
        for partition in &topic.partitions {
            let labels = labels.with("partition", &partition.partition.to_string());
            let offsets = [
                (&mut self.oldest_offset, partition.log_start),
                (&mut self.current_offset, partition.high_watermark),
                (&mut self.last_stable_offset, partition.last_stable),
            ];
            for (family, offset) in offsets {
                if let Some(offset) = offset {
                    family.set(budget, &labels, offset.0 as f64);
                }
            }
        }
    }
}

fn truth(value: bool) -> f64 {
    f64::from(u8::from(value))
}
