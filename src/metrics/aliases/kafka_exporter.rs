use crate::config::SeriesDetail;
use crate::domain::{ClusterName, GroupStatus, GroupTopicStatus, KafkaDetail, TopicStatus};
use crate::metrics::detail::GroupDetail;
use crate::metrics::text::{Labels, SeriesBudget, families};

families! {
    /// What `kafka_exporter` says.
    struct KafkaExporterFamilies {
        /// Partitions of a topic.
        partitions: Gauge = "kafka_topic_partitions",
        /// End of a partition: its high watermark.
        current_offset: Gauge = "kafka_topic_partition_current_offset",
        /// First offset of a partition that retention has kept.
        oldest_offset: Gauge = "kafka_topic_partition_oldest_offset",
        /// Replicas of a partition.
        replicas: Gauge = "kafka_topic_partition_replicas",
        /// Replicas of a partition that are in sync.
        in_sync_replicas: Gauge = "kafka_topic_partition_in_sync_replica",
        /// 1 for a partition of which a replica is not in sync, else 0.
        under_replicated: Gauge = "kafka_topic_partition_under_replicated_partition",
        /// Members of a consumer group.
        members: Gauge = "kafka_consumergroup_members",
        /// Committed offset of a consumer group in a partition.
        group_offset: Gauge = "kafka_consumergroup_current_offset",
        /// Committed offsets of a consumer group summed over the partitions of a topic.
        group_offset_sum: Gauge = "kafka_consumergroup_current_offset_sum",
        /// Messages that a consumer group has not committed in a partition.
        group_lag: Gauge = "kafka_consumergroup_lag",
        /// Messages that a consumer group has not committed in a topic.
        group_lag_sum: Gauge = "kafka_consumergroup_lag_sum",
    }
}

impl KafkaExporterFamilies {
    pub(super) fn observe(
        &mut self,
        cluster: &ClusterName,
        kafka: &KafkaDetail,
        detail: &GroupDetail,
        budget: &mut SeriesBudget,
    ) {
        let labels = Labels::new(&[("cluster", cluster.as_str())]);
        for group in &kafka.groups {
            let detail = detail.of(&group.group);
            if detail != SeriesDetail::None {
                self.observe_group(&labels, group, detail, budget);
            }
        }
        for topic in kafka.topics.iter().filter(|topic| !topic.internal) {
            self.observe_topic(&labels, topic, budget);
        }
    }

    fn observe_group(
        &mut self,
        labels: &Labels,
        group: &GroupStatus,
        detail: SeriesDetail,
        budget: &mut SeriesBudget,
    ) {
        let labels = labels.with("consumergroup", group.group.as_str());
        if let Some(members) = group.member_count() {
            self.members.set(budget, &labels, members as f64);
        }
        for topic in &group.topics {
            let labels = labels.with("topic", topic.topic.as_str());
            let committed = topic.partitions.iter();
            let committed: f64 = committed.map(|at| at.committed.0 as f64).sum();
            self.group_offset_sum.set(budget, &labels, committed);
            self.group_lag_sum.set(budget, &labels, topic.lag as f64);
            if detail == SeriesDetail::Partition {
                self.observe_group_partitions(&labels, topic, budget);
            }
        }
    }

    fn observe_group_partitions(
        &mut self,
        labels: &Labels,
        topic: &GroupTopicStatus,
        budget: &mut SeriesBudget,
    ) {
        for partition in &topic.partitions {
            let labels = labels.with("partition", &partition.partition.to_string());
            let committed = partition.committed.0 as f64;
            self.group_offset.set(budget, &labels, committed);
            if let Some(lag) = partition.lag {
                self.group_lag.set(budget, &labels, lag as f64);
            }
        }
    }

    fn observe_topic(&mut self, labels: &Labels, topic: &TopicStatus, budget: &mut SeriesBudget) {
        let labels = labels.with("topic", topic.topic.as_str());
        let count = topic.partitions.len() as f64;
        self.partitions.set(budget, &labels, count);
        for partition in &topic.partitions {
            let labels = labels.with("partition", &partition.partition.to_string());
            let (replicas, in_sync) = (partition.replicas, partition.in_sync_replicas);
            let under_replicated = f64::from(u8::from(in_sync < replicas));
            let values = [
                (
                    &mut self.current_offset,
                    partition.high_watermark.map(|at| at.0 as f64),
                ),
                (
                    &mut self.oldest_offset,
                    partition.log_start.map(|at| at.0 as f64),
                ),
                (&mut self.replicas, Some(f64::from(replicas))),
                (&mut self.in_sync_replicas, Some(f64::from(in_sync))),
                (&mut self.under_replicated, Some(under_replicated)),
            ];
            for (family, value) in values {
                if let Some(value) = value {
                    family.set(budget, &labels, value);
                }
            }
        }
    }
}
