use std::collections::HashMap;

use crate::config::SeriesDetail;
use crate::domain::{
    ClusterName, GroupMember, GroupStatus, GroupTopicStatus, KafkaDetail, Partition, TopicName,
    TopicStatus,
};
use crate::metrics::detail::GroupDetail;
use crate::metrics::text::{Labels, SeriesBudget, families};

families! {
    /// What kafka-lag-exporter says.
    struct KafkaLagExporterFamilies {
        /// End of a partition: its high watermark.
        latest_offset: Gauge = "kafka_partition_latest_offset",
        /// First offset of a partition that retention has kept.
        earliest_offset: Gauge = "kafka_partition_earliest_offset",
        /// Lag of a consumer group in its worst partition.
        max_lag: Gauge = "kafka_consumergroup_group_max_lag",
        /// Time lag of a consumer group in its worst partition.
        max_lag_seconds: Gauge = "kafka_consumergroup_group_max_lag_seconds",
        /// Lag of a consumer group summed over all its partitions.
        sum_lag: Gauge = "kafka_consumergroup_group_sum_lag",
        /// Lag of a consumer group summed over the partitions of a topic.
        topic_sum_lag: Gauge = "kafka_consumergroup_group_topic_sum_lag",
        /// Committed offset of a consumer group in a partition.
        offset: Gauge = "kafka_consumergroup_group_offset",
        /// Messages that a consumer group has not committed in a partition.
        lag: Gauge = "kafka_consumergroup_group_lag",
        /// Age of the oldest message that a consumer group has not committed in a partition.
        lag_seconds: Gauge = "kafka_consumergroup_group_lag_seconds",
    }
}

/// Who reads a partition.
type Readers<'a> = HashMap<(&'a TopicName, Partition), &'a GroupMember>;

impl KafkaLagExporterFamilies {
    pub(super) fn observe(
        &mut self,
        cluster: &ClusterName,
        kafka: &KafkaDetail,
        detail: &GroupDetail,
        budget: &mut SeriesBudget,
    ) {
        let labels = Labels::new(&[("cluster_name", cluster.as_str())]);
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
        let labels = labels.with("group", group.group.as_str());
        let partitions = group.topics.iter().flat_map(|topic| &topic.partitions);
        if let Some(worst) = partitions.filter_map(|partition| partition.lag).max() {
            self.max_lag.set(budget, &labels, worst as f64);
            self.sum_lag.set(budget, &labels, group.lag as f64);
        }
        if let Some(worst) = group.time_lag {
            let seconds = worst.duration().as_secs_f64();
            self.max_lag_seconds.set(budget, &labels, seconds);
        }
        for topic in &group.topics {
            let labels = labels.with("topic", topic.topic.as_str());
            self.topic_sum_lag.set(budget, &labels, topic.lag as f64);
        }
        if detail == SeriesDetail::Partition {
            let readers = readers(&group.members);
            for topic in &group.topics {
                let labels = labels.with("topic", topic.topic.as_str());
                self.observe_group_partitions(&labels, topic, &readers, budget);
            }
        }
    }

    fn observe_group_partitions(
        &mut self,
        labels: &Labels,
        topic: &GroupTopicStatus,
        readers: &Readers<'_>,
        budget: &mut SeriesBudget,
    ) {
        for status in &topic.partitions {
            let reader = readers.get(&(&topic.topic, status.partition));
            let of_reader = |part: fn(&GroupMember) -> &str| reader.map_or("", |m| part(m));
            let labels = labels
                .with("partition", &status.partition.to_string())
                .with("member_host", of_reader(|member| &member.host))
                .with("consumer_id", of_reader(|member| &member.member_id))
                .with("client_id", of_reader(|member| &member.client_id));
            let committed = status.committed.0 as f64;
            self.offset.set(budget, &labels, committed);
            if let Some(lag) = status.lag {
                self.lag.set(budget, &labels, lag as f64);
            }
            if let Some(time_lag) = status.time_lag {
                let seconds = time_lag.duration().as_secs_f64();
                self.lag_seconds.set(budget, &labels, seconds);
            }
        }
    }

    fn observe_topic(&mut self, labels: &Labels, topic: &TopicStatus, budget: &mut SeriesBudget) {
        let labels = labels.with("topic", topic.topic.as_str());
        for partition in &topic.partitions {
            let labels = labels.with("partition", &partition.partition.to_string());
            let offsets = [
                (&mut self.latest_offset, partition.high_watermark),
                (&mut self.earliest_offset, partition.log_start),
            ];
            for (family, offset) in offsets {
                if let Some(offset) = offset {
                    family.set(budget, &labels, offset.0 as f64);
                }
            }
        }
    }
}

fn readers(members: &[GroupMember]) -> Readers<'_> {
    let mut readers = HashMap::new();
    for member in members {
        for (topic, partitions) in &member.assignment {
            for partition in partitions {
                readers.insert((topic, *partition), member);
            }
        }
    }
    readers
}
