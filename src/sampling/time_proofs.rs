//! Lower bounds of time lag for records that are older than what Redrive has seen, after a restart above
//! all: the broker knows from which offset on records are younger than an hour, so that a group which stands
//! before that is proven to be an hour late. One round serves all groups at once.

use std::collections::HashSet;
use std::time::Duration;

use crate::domain::{KafkaDetail, Partition, TimeLag, Timestamp, TopicName};

/// What is proven: "more than …".
const AGES: [Duration; 5] = [
    Duration::from_mins(1),
    Duration::from_mins(5),
    Duration::from_mins(15),
    Duration::from_hours(1),
    Duration::from_hours(6),
];

/// A broker reads the time index of every partition that is asked for.
const CADENCE: Duration = Duration::from_mins(5);

/// When the broker was asked last.
#[derive(Debug, Default)]
pub(super) struct TimeProofs {
    asked_at: Option<Timestamp>,
}

/// What to ask for: in each partition the first offset since each time.
pub(super) struct Question {
    pub(super) partitions: HashSet<(TopicName, Partition)>,
    pub(super) times: Vec<Timestamp>,
}

impl TimeProofs {
    /// What to ask now. Nothing while no group needs it.
    pub(super) fn due(&mut self, detail: &KafkaDetail, now: Timestamp) -> Option<Question> {
        if self
            .asked_at
            .is_some_and(|asked| now.since(asked) < CADENCE)
        {
            return None;
        }
        let partitions = unproven(detail);
        if partitions.is_empty() {
            return None;
        }
        self.asked_at = Some(now);
        let times = AGES.map(|age| now.minus(age)).to_vec();
        Some(Question { partitions, times })
    }
}

/// Where some group is late by an unknown time.
fn unproven(detail: &KafkaDetail) -> HashSet<(TopicName, Partition)> {
    let topics = detail.groups.iter().flat_map(|group| &group.topics);
    topics
        .flat_map(|topic| {
            let late = topic.partitions.iter().filter(|partition| {
                partition.lag.is_some_and(|lag| lag > 0)
                    && !matches!(partition.time_lag, Some(TimeLag::Exactly(_)))
            });
            late.map(|partition| (topic.topic.clone(), partition.partition))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        GroupKind, GroupPartitionStatus, GroupStatus, GroupTopicStatus, GroupVerdict, Offset,
    };

    fn detail(lag: u64, time_lag: Option<TimeLag>) -> KafkaDetail {
        let partition = GroupPartitionStatus {
            partition: Partition(3),
            committed: Offset(5),
            log_start: Some(Offset(0)),
            log_end: Some(Offset(5)),
            lag: Some(lag),
            time_lag,
            retention_headroom: None,
        };
        let topic = GroupTopicStatus {
            topic: TopicName::new("orders"),
            lag,
            processed_total: 0,
            lost_total: 0,
            partitions: vec![partition],
        };
        let group = GroupStatus {
            group: "billing".into(),
            kind: GroupKind::Classic,
            state: "Stable".to_owned(),
            verdict: GroupVerdict::Ok,
            members: Vec::new(),
            lag,
            lost_total: 0,
            time_lag,
            consume_rate: None,
            produce_rate: None,
            topics: vec![topic],
        };
        KafkaDetail {
            topics: Vec::new(),
            groups: vec![group],
        }
    }

    #[test]
    fn only_where_a_group_is_late_by_an_unknown_time_is_asked() {
        let check = |lag, time_lag, expected: bool| {
            let mut proofs = TimeProofs::default();
            let due = proofs.due(&detail(lag, time_lag), Timestamp::from_seconds(0));
            assert_eq!(due.is_some(), expected, "{lag} {time_lag:?}");
        };
        check(1, None, true);
        check(1, Some(TimeLag::AtLeast(Duration::from_secs(1))), true);
        check(1, Some(TimeLag::Exactly(Duration::from_secs(1))), false);
        check(0, None, false);
    }

    #[test]
    fn a_broker_is_asked_every_five_minutes_at_most() {
        let mut proofs = TimeProofs::default();
        let late = detail(1, None);
        let at = Timestamp::from_seconds;
        let Question { partitions, times } = proofs.due(&late, at(10_000)).unwrap();
        let partition = (TopicName::new("orders"), Partition(3));
        assert_eq!(partitions, HashSet::from([partition]));
        assert_eq!(times[0], at(10_000 - 60));
        assert_eq!(times[3], at(10_000 - 3_600));
        assert!(proofs.due(&late, at(10_299)).is_none());
        assert!(proofs.due(&late, at(10_300)).is_some());
    }
}
