//! Which groups passed a record. Pure: from one look at the committed offsets to the next.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::domain::{
    ClusterName, ClusterSnapshot, ConsumerGroup, GroupStatus, KafkaDetail, Offset, PassedBy,
    Snapshot, Timestamp, TopicName,
};
use crate::store::LogPlace;

/// Movements kept of one partition; older ones were judged long ago.
const MOST_ADVANCES: usize = 500;

/// How the committed offsets of groups moved in the watched partitions.
///
/// The movements are kept while a partition is watched, because a group may pass a record between the
/// broker's answer and our own commit of it, or while a recovery still looks for the record.
#[derive(Debug, Default)]
pub(super) struct Passes {
    previous: HashMap<ClusterName, Arc<ClusterSnapshot>>,
    advances: HashMap<LogPlace, Vec<Advance>>,
}

#[derive(Clone, Debug)]
struct Advance {
    group: ConsumerGroup,
    from: Offset,
    to: Offset,
    at: Timestamp,
}

impl Passes {
    /// Compares a snapshot with the one before.
    pub(super) fn observe(&mut self, snapshot: &Snapshot, watched: &HashSet<LogPlace>) {
        self.advances.retain(|place, _| watched.contains(place));
        for cluster in &snapshot.clusters {
            let before = self
                .previous
                .insert(cluster.name.clone(), Arc::clone(cluster));
            if let Some(before) = before.filter(|before| is_newer(before, cluster)) {
                self.compare(&before, cluster, watched);
            }
        }
    }

    fn compare(
        &mut self,
        before: &ClusterSnapshot,
        after: &ClusterSnapshot,
        watched: &HashSet<LogPlace>,
    ) {
        let (Some(kafka_before), Some(kafka)) = (before.kafka(), after.kafka()) else {
            return;
        };
        let at = after.health.last_success.unwrap_or_default();
        let known: HashMap<&ConsumerGroup, &GroupStatus> = kafka_before
            .groups
            .iter()
            .map(|group| (&group.group, group))
            .collect();
        for place in watched.iter().filter(|place| place.cluster == after.name) {
            if is_another_topic(kafka_before, kafka, &place.topic) {
                self.advances.remove(place);
                continue;
            }
            for group in &kafka.groups {
                let earlier = known.get(&group.group);
                let Some(earlier) = earlier.filter(|before| had_members(before, group)) else {
                    continue;
                };
                let (Some(from), Some(to)) = (committed(earlier, place), committed(group, place))
                else {
                    continue;
                };
                // What retention removed was perhaps never read: a group goes on after it by itself.
                let from = from.max(log_start(kafka, place).unwrap_or(from));
                if from < to {
                    let advance = Advance {
                        group: group.group.clone(),
                        from,
                        to,
                        at,
                    };
                    self.keep(place, advance);
                }
            }
        }
    }

    fn keep(&mut self, place: &LogPlace, advance: Advance) {
        let advances = self.advances.entry(place.clone()).or_default();
        if advances.len() >= MOST_ADVANCES {
            advances.remove(0);
        }
        advances.push(advance);
    }

    /// Partitions in which committed offsets were seen to move.
    pub(super) fn places(&self) -> Vec<LogPlace> {
        self.advances.keys().cloned().collect()
    }

    /// From where to where, exclusive, any committed offset moved in a partition.
    pub(super) fn moved(&self, place: &LogPlace) -> Option<(Offset, Offset)> {
        let advances = self.advances.get(place)?;
        let from = advances.iter().map(|advance| advance.from).min()?;
        let to = advances.iter().map(|advance| advance.to).max()?;
        Some((from, to))
    }

    /// The groups that were seen to move from at or before an offset to beyond it.
    pub(super) fn of(&self, place: &LogPlace, offset: Offset) -> Vec<PassedBy> {
        let advances = self.advances.get(place).into_iter().flatten();
        advances
            .filter(|advance| advance.from <= offset && offset < advance.to)
            .map(|advance| PassedBy {
                group: advance.group.clone(),
                at: advance.at,
            })
            .collect()
    }
}

/// A failed sample repeats the old numbers.
fn is_newer(before: &Arc<ClusterSnapshot>, after: &Arc<ClusterSnapshot>) -> bool {
    !Arc::ptr_eq(before, after) && before.health.last_success < after.health.last_success
}

/// Whether a topic of that name was deleted and made anew: its offsets begin at the front again.
fn is_another_topic(before: &KafkaDetail, after: &KafkaDetail, topic: &TopicName) -> bool {
    let id = |detail: &KafkaDetail| {
        let mut topics = detail.topics.iter();
        topics.find(|known| known.topic == *topic)?.topic_id
    };
    matches!((id(before), id(after)), (Some(before), Some(after)) if before != after)
}

fn log_start(kafka: &KafkaDetail, place: &LogPlace) -> Option<Offset> {
    let mut topics = kafka.topics.iter();
    let topic = topics.find(|known| known.topic == place.topic)?;
    let mut partitions = topic.partitions.iter();
    let partition = partitions.find(|known| known.partition == place.partition)?;
    partition.log_start
}

/// Whether the group surely had members all along: then it consumed, since Kafka lets nobody reset the offsets of
/// a group that has some. It had if one of them is there at both looks; of a group whose members the broker does
/// not describe to Redrive, all that is known is that there are some.
fn had_members(before: &GroupStatus, after: &GroupStatus) -> bool {
    match (before.member_count(), after.member_count()) {
        (None, None) => true,
        (Some(_), Some(_)) => after.members.iter().any(|member| {
            let mut earlier = before.members.iter();
            earlier.any(|earlier| earlier.member_id == member.member_id)
        }),
        _ => false,
    }
}

fn committed(group: &GroupStatus, place: &LogPlace) -> Option<Offset> {
    let topic = group
        .topics
        .iter()
        .find(|topic| topic.topic == place.topic)?;
    let mut partitions = topic.partitions.iter();
    let partition = partitions.find(|partition| partition.partition == place.partition)?;
    Some(partition.committed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        BrokerHealth, ClusterDetail, GroupKind, GroupMember, GroupPartitionStatus,
        GroupTopicStatus, GroupVerdict, Partition, PartitionSample, System, TopicStatus,
    };
    use uuid::Uuid;

    fn member(id: usize) -> GroupMember {
        GroupMember {
            member_id: id.to_string(),
            client_id: "c".to_owned(),
            host: "h".to_owned(),
            assignment: Vec::new(),
        }
    }

    fn snapshot(at: i64, group: &str, committed: i64, members: &[usize]) -> Snapshot {
        let partition = GroupPartitionStatus {
            partition: Partition(0),
            committed: Offset(committed),
            log_start: None,
            log_end: None,
            lag: None,
            time_lag: None,
            retention_headroom: None,
        };
        let topic = GroupTopicStatus {
            topic: "orders".into(),
            lag: 0,
            processed_total: 0,
            lost_total: 0,
            partitions: vec![partition],
        };
        let group = GroupStatus {
            group: group.into(),
            kind: GroupKind::Classic,
            state: if members.is_empty() {
                "Empty"
            } else {
                "Stable"
            }
            .to_owned(),
            members: members.iter().copied().map(member).collect(),
            verdict: GroupVerdict::Ok,
            topics: vec![topic],
            lag: 0,
            time_lag: None,
            consume_rate: None,
            produce_rate: None,
            lost_total: 0,
        };
        let detail = KafkaDetail {
            topics: Vec::new(),
            groups: vec![group],
        };
        let cluster = ClusterSnapshot {
            name: "k".into(),
            system: System::Kafka,
            health: BrokerHealth {
                last_success: Some(Timestamp(at)),
                ..BrokerHealth::default()
            },
            detail: Some(ClusterDetail::Kafka(detail)),
        };
        Snapshot {
            taken_at: Timestamp(at),
            clusters: vec![Arc::new(cluster)],
        }
    }

    fn of_topic(id: Uuid, log_start: i64) -> TopicStatus {
        let partition = PartitionSample {
            partition: Partition(0),
            log_start: Some(Offset(log_start)),
            high_watermark: None,
            last_stable: None,
            replicas: 1,
            in_sync_replicas: 1,
        };
        TopicStatus {
            topic: "orders".into(),
            topic_id: Some(id),
            internal: false,
            partitions: vec![partition],
            produce_rate: None,
            produced_total: 0,
        }
    }

    fn place() -> LogPlace {
        LogPlace {
            cluster: "k".into(),
            topic: "orders".into(),
            partition: Partition(0),
        }
    }

    /// The groups that passed offset 7, after looks at (committed offset, IDs of members).
    fn passed(looks: &[(i64, &[usize])]) -> Vec<PassedBy> {
        let topics = vec![of_topic(Uuid::nil(), 0); looks.len()];
        passed_in(&topics, looks)
    }

    /// The same where the topic was found so.
    fn passed_in(topics: &[TopicStatus], looks: &[(i64, &[usize])]) -> Vec<PassedBy> {
        let mut passes = Passes::default();
        for (index, (committed, members)) in looks.iter().enumerate() {
            let at = i64::try_from(index).unwrap() * 10;
            let mut look = snapshot(at, "payments", *committed, members);
            let cluster = Arc::get_mut(&mut look.clusters[0]).unwrap();
            let Some(ClusterDetail::Kafka(kafka)) = &mut cluster.detail else {
                panic!("it is a Kafka cluster");
            };
            kafka.topics = vec![topics[index].clone()];
            passes.observe(&look, &HashSet::from([place()]));
        }
        passes.of(&place(), Offset(7))
    }

    #[test]
    fn what_retention_removed_and_a_topic_that_was_made_anew_are_no_pass() {
        let (old, new) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let looks: [(i64, &[usize]); 2] = [(3, &[1]), (100, &[1])];
        let removed = [of_topic(old, 0), of_topic(old, 8)];
        assert_eq!(passed_in(&removed, &looks), []);
        let kept = [of_topic(old, 0), of_topic(old, 7)];
        assert_eq!(passed_in(&kept, &looks).len(), 1);
        let anew = [of_topic(old, 0), of_topic(old, 0), of_topic(new, 0)];
        let looks: [(i64, &[usize]); 3] = [(3, &[1]), (100, &[1]), (2, &[1])];
        assert_eq!(passed_in(&anew, &looks), []);
    }

    #[test]
    fn a_group_passes_when_its_committed_offset_goes_beyond_the_record() {
        let expected = PassedBy {
            group: "payments".into(),
            at: Timestamp(20),
        };
        assert_eq!(
            passed(&[(6, &[1]), (7, &[1]), (8, &[1]), (9, &[1])]),
            [expected]
        );
        assert_eq!(
            passed(&[(5, &[1]), (7, &[1])]),
            [],
            "7 is the next to be read"
        );
    }

    #[test]
    fn a_group_that_was_beyond_the_record_all_along_did_not_pass_it() {
        assert_eq!(passed(&[(8, &[1]), (9, &[1])]), []);
        assert_eq!(passed(&[(100, &[1])]), [], "nothing is known of before");
    }

    #[test]
    fn an_offset_reset_is_no_pass() {
        assert_eq!(passed(&[(3, &[]), (100, &[])]), []);
        assert_eq!(passed(&[(3, &[]), (100, &[]), (101, &[1])]), []);
        // Stopped, moved and started between two looks.
        assert_eq!(passed(&[(3, &[]), (100, &[1])]), []);
        assert_eq!(passed(&[(3, &[1]), (100, &[])]), []);
        assert_eq!(passed(&[(3, &[1]), (100, &[2])]), []);
        assert_eq!(
            passed(&[(3, &[1, 2]), (100, &[2, 3])]).len(),
            1,
            "one stayed all along"
        );
    }

    #[test]
    fn a_group_that_was_rewound_passes_when_it_comes_by_again() {
        assert_eq!(passed(&[(20, &[1]), (3, &[1]), (9, &[1])]).len(), 1);
    }
}
