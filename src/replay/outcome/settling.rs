//! Whether what passed would be back in a DLQ by now if the consumer had given up on it. Pure.

use crate::domain::{
    ClusterSnapshot, ConsumerGroup, NameFilter, Offset, Partition, PassedBy, Timestamp, TopicName,
};
use crate::store::{KafkaCursor, TrackedReplay};

/// The ends of all DLQ topics of a cluster, as the last sample saw them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DlqEnds {
    pub(super) read_at: Timestamp,
    ends: Vec<(TopicName, Partition, Offset)>,
}

impl DlqEnds {
    /// `None` while any end is unknown: nothing can be said then.
    pub(super) fn of(
        cluster: &ClusterSnapshot,
        dlqs: &NameFilter,
        ignored: &NameFilter,
    ) -> Option<Self> {
        let read_at = cluster.health.last_success?;
        let mut ends = Vec::new();
        let topics = cluster.kafka()?.topics.iter();
        let is_dlq = |name: &str| dlqs.matches(name) && !ignored.matches(name);
        for topic in topics.filter(|topic| is_dlq(topic.topic.as_str())) {
            for partition in &topic.partitions {
                // Intake reads what is committed, as consumers do.
                let end = partition.last_stable.or(partition.high_watermark)?;
                let is_empty = partition.log_start? >= end;
                if !is_empty {
                    ends.push((topic.topic.clone(), partition.partition, end));
                }
            }
        }
        Some(Self { read_at, ends })
    }

    /// Whether intake has read everything before these ends.
    fn are_read(&self, cursors: &[KafkaCursor]) -> bool {
        self.ends.iter().all(|(topic, partition, end)| {
            let mut cursors = cursors.iter();
            cursors.any(|cursor| {
                cursor.topic == *topic
                    && cursor.partition == *partition
                    && cursor.next_offset >= *end
            })
        })
    }
}

/// When the pass that counts happened: that of the group that failed, where it is known and reads the
/// topic; else the last.
pub(super) fn decisive_pass(
    tracked: &TrackedReplay,
    topic: &TopicName,
    by: &[PassedBy],
    cluster: &ClusterSnapshot,
) -> Option<Timestamp> {
    let goes_back = tracked.source.as_deref() == Some(topic.as_str());
    let failed = tracked.consumer.as_deref().map(ConsumerGroup::from);
    match failed.filter(|group| goes_back && reads(cluster, group, topic)) {
        Some(group) => by
            .iter()
            .find(|passed| passed.group == group)
            .map(|passed| passed.at),
        None => by.iter().map(|passed| passed.at).max(),
    }
}

fn reads(cluster: &ClusterSnapshot, group: &ConsumerGroup, topic: &TopicName) -> bool {
    let mut groups = cluster.kafka().into_iter().flat_map(|kafka| &kafka.groups);
    groups.any(|status| {
        status.group == *group && status.topics.iter().any(|read| read.topic == *topic)
    })
}

/// Whether a pass counts as consumption: the settle time is over, and intake has read every DLQ of the
/// cluster beyond the end that was seen after the pass.
pub(super) fn is_settled(
    passed_at: Timestamp,
    settled_from: Timestamp,
    now: Timestamp,
    ends: &DlqEnds,
    cursors: &[KafkaCursor],
) -> bool {
    now >= settled_from && ends.read_at >= passed_at && ends.are_read(cursors)
}

#[cfg(test)]
mod tests;
