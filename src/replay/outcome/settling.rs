//! Whether what passed would be back in a DLQ by now if the consumer had given up on it. Pure.

use crate::domain::{
    ClusterSnapshot, ConsumerGroup, GroupMember, GroupStatus, NameFilter, Offset, Partition,
    PassedBy, Timestamp, TopicName,
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
/// topic. Else nobody knows whose pass counts: the last, once every group that reads the topic now has passed.
pub(super) fn decisive_pass(
    tracked: &TrackedReplay,
    topic: &TopicName,
    by: &[PassedBy],
    cluster: &ClusterSnapshot,
) -> Option<Timestamp> {
    let passed = |group: &ConsumerGroup| by.iter().find(|passed| passed.group == *group);
    if let Some(failed) = failed_group(tracked, topic, cluster) {
        return passed(failed).map(|passed| passed.at);
    }
    let mut readers = groups(cluster).filter(|group| reads_now(group, topic));
    let have_all_passed = readers.all(|group| passed(&group.group).is_some());
    let last = by.iter().map(|passed| passed.at).max();
    last.filter(|_| have_all_passed)
}

/// The group of the consumer that failed, if the event goes back to it. The group of a sink of Kafka Connect is
/// `connect-` and the connector's name.
fn failed_group<'a>(
    tracked: &TrackedReplay,
    topic: &TopicName,
    cluster: &'a ClusterSnapshot,
) -> Option<&'a ConsumerGroup> {
    let consumer = tracked.consumer.as_deref()?;
    if tracked.source.as_deref() != Some(topic.as_str()) {
        return None;
    }
    let is_named = |name: &str| name == consumer || name.strip_prefix("connect-") == Some(consumer);
    let mut known = groups(cluster).filter(|group| reads(group, topic));
    let found = known.find(|group| is_named(group.group.as_str()));
    found.map(|group| &group.group)
}

fn groups(cluster: &ClusterSnapshot) -> impl Iterator<Item = &GroupStatus> {
    let known = cluster.kafka().into_iter();
    known.flat_map(|kafka| &kafka.groups)
}

fn reads(group: &GroupStatus, topic: &TopicName) -> bool {
    group.topics.iter().any(|read| read.topic == *topic)
}

/// What a group committed once stays for days after it stopped to read.
fn reads_now(group: &GroupStatus, topic: &TopicName) -> bool {
    let is_assigned = |member: &GroupMember| {
        let mut assigned = member.assignment.iter();
        assigned.any(|(assigned, _)| assigned == topic)
    };
    match group.member_count() {
        Some(0) => false,
        // There are some, which the broker does not describe.
        None => reads(group, topic),
        Some(_) => group.members.iter().any(is_assigned),
    }
}

/// Whether nothing waits in the retry topics of a topic: a consumer that moves an event there and commits has
/// passed it, and may give up on it later. Spring Kafka calls them `TOPIC-retry`, `TOPIC-retry-0` or
/// `TOPIC-retry-1000`, those of `SmallRye` `TOPIC_retry_1000` (broker-facts A.1, K2 and K8).
pub(super) fn retries_are_over(cluster: &ClusterSnapshot, topic: &TopicName) -> bool {
    let topics = cluster.kafka().into_iter().flat_map(|kafka| &kafka.topics);
    let mut retries = topics.filter(|known| is_retry_of(known.topic.as_str(), topic.as_str()));
    retries.all(|retry| {
        let mut partitions = retry.partitions.iter();
        partitions.all(|partition| {
            let end = partition.last_stable.or(partition.high_watermark);
            if end.is_some() && partition.log_start >= end {
                return true;
            }
            let place = (&retry.topic, partition.partition);
            let committed: Vec<Offset> = groups(cluster)
                .filter_map(|group| committed(group, place))
                .collect();
            !committed.is_empty() && committed.iter().all(|offset| Some(*offset) >= end)
        })
    })
}

fn is_retry_of(name: &str, topic: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let Some(rest) = name.strip_prefix(topic) else {
        return false;
    };
    match rest.strip_prefix("-retry") {
        Some(rest) => rest.is_empty() || rest.strip_prefix('-').is_some_and(is_number),
        None => rest.strip_prefix("_retry_").is_some_and(is_number),
    }
}

fn committed(group: &GroupStatus, (topic, partition): (&TopicName, Partition)) -> Option<Offset> {
    let read = group.topics.iter().find(|read| read.topic == *topic)?;
    let mut partitions = read.partitions.iter();
    let found = partitions.find(|known| known.partition == partition);
    found.map(|known| known.committed)
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
