//! Where to read each DLQ partition from, and when what was there at first is read: pure, from cursors and the
//! broker's offsets.

use std::collections::{HashMap, HashSet};

use crate::domain::{Offset, Partition, PartitionSample, TopicName, TopicStatus};
use crate::store::{Gap, GapKind, KafkaCursor};

pub(super) type PartitionKey = (TopicName, Partition);

/// Next offsets of partitions that are read, or were.
pub(super) type Cursors = HashMap<PartitionKey, KafkaCursor>;

pub(super) fn by_partition(cursors: impl IntoIterator<Item = KafkaCursor>) -> Cursors {
    let cursors = cursors.into_iter();
    cursors
        .map(|cursor| ((cursor.topic.clone(), cursor.partition), cursor))
        .collect()
}

/// The start of one partition.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct StartingPoint {
    pub(super) cursor: KafkaCursor,
    /// What is lost between the cursor and the start.
    pub(super) gap: Option<Gap>,
}

/// Whether the broker's offsets are surely newer than the cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Freshness {
    /// The sample began after the last record was read.
    AfterCursor,
    /// Records may have been read since: a cursor beyond the log end proves nothing.
    Unknown,
}

/// Whether these cursors are those of all partitions of the wanted topics, and of no others.
pub(super) fn reads_exactly(cursors: &Cursors, wanted: &[TopicStatus]) -> bool {
    let reads = |status: &TopicStatus| {
        status.partitions.iter().all(|partition| {
            let cursor = cursors.get(&(status.topic.clone(), partition.partition));
            cursor.is_some_and(|cursor| cursor.topic_id == status.topic_id)
        })
    };
    let count: usize = wanted.iter().map(|status| status.partitions.len()).sum();
    count == cursors.len() && wanted.iter().all(reads)
}

/// Where to read the wanted topics from: what is read goes on, the others begin where their stored cursors say.
pub(super) fn starting_points(
    wanted: &[TopicStatus],
    current: &Cursors,
    stored: &Cursors,
    freshness: Freshness,
) -> Vec<StartingPoint> {
    let mut points = Vec::new();
    for status in wanted {
        for partition in &status.partitions {
            let key = (status.topic.clone(), partition.partition);
            let current = current.get(&key);
            if let Some(cursor) = current.filter(|cursor| cursor.topic_id == status.topic_id) {
                points.push(StartingPoint {
                    cursor: cursor.clone(),
                    gap: None,
                });
            } else {
                let stored = stored.get(&key);
                points.extend(starting_point(status, partition, stored, freshness));
            }
        }
    }
    points
}

/// How far DLQs reached whose first backlog was never read to its end.
#[derive(Debug, Default)]
pub(super) struct Backlogs(HashMap<TopicName, HashMap<Partition, Offset>>);

impl Backlogs {
    /// Takes note of how far topics reach now, except of those that were read to such an end before.
    pub(super) fn note(&mut self, wanted: &[TopicStatus], read: &HashSet<(String, String)>) {
        for status in wanted {
            let read_before = read.contains(&(String::new(), status.topic.to_string()));
            let ends = status
                .partitions
                .iter()
                .filter(|_| !read_before)
                .filter_map(|partition| Some((partition.partition, partition.high_watermark?)));
            self.0.insert(status.topic.clone(), ends.collect());
        }
    }

    /// The topics that are read to that end.
    pub(super) fn read_by(&self, cursors: &Cursors) -> Vec<TopicName> {
        let is_read = |(topic, ends): &(&TopicName, &HashMap<Partition, Offset>)| {
            ends.iter().all(|(partition, end)| {
                let cursor = cursors.get(&((*topic).clone(), *partition));
                cursor.is_none_or(|cursor| cursor.next_offset >= *end)
            })
        };
        let read = self.0.iter().filter(is_read);
        read.map(|(topic, _)| topic.clone()).collect()
    }

    pub(super) fn forget(&mut self, topic: &TopicName) {
        self.0.remove(topic);
    }
}

/// `None` while the offsets are not known (a partition without a leader), or too old to judge by.
fn starting_point(
    topic: &TopicStatus,
    partition: &PartitionSample,
    stored: Option<&KafkaCursor>,
    freshness: Freshness,
) -> Option<StartingPoint> {
    let log_start = partition.log_start?;
    let log_end = partition.high_watermark?;
    let start_at = |next_offset: Offset| KafkaCursor {
        topic: topic.topic.clone(),
        topic_id: topic.topic_id,
        partition: partition.partition,
        next_offset,
    };
    let gap = |kind: GapKind, from: Offset, to: Offset| Gap {
        topic: topic.topic.clone(),
        partition: partition.partition,
        from,
        to,
        kind,
    };
    let Some(stored) = stored else {
        return Some(StartingPoint {
            cursor: start_at(log_start),
            gap: None,
        });
    };
    let next = stored.next_offset;
    Some(if stored.topic_id != topic.topic_id {
        let gap = gap(GapKind::Recreated, next, log_start);
        StartingPoint {
            cursor: start_at(log_start),
            gap: Some(gap),
        }
    } else if next < log_start {
        let gap = gap(GapKind::Retention, next, log_start);
        StartingPoint {
            cursor: start_at(log_start),
            gap: Some(gap),
        }
    } else if next > log_end {
        if freshness == Freshness::Unknown {
            return None;
        }
        let gap = gap(GapKind::Truncated, log_end, next);
        StartingPoint {
            cursor: start_at(log_end),
            gap: Some(gap),
        }
    } else {
        StartingPoint {
            cursor: start_at(next),
            gap: None,
        }
    })
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const ID: Uuid = Uuid::from_u128(1);

    fn check(
        stored: Option<(u128, i64)>,
        log: (i64, i64),
        start: i64,
        lost: Option<(GapKind, i64, i64)>,
    ) {
        let topic = TopicStatus {
            topic: "orders.dlq".into(),
            topic_id: Some(ID),
            internal: false,
            partitions: Vec::new(),
            produce_rate: None,
            produced_total: 0,
        };
        let partition = PartitionSample {
            partition: Partition(0),
            log_start: Some(Offset(log.0)),
            high_watermark: Some(Offset(log.1)),
            last_stable: None,
            replicas: 1,
            in_sync_replicas: 1,
        };
        let stored = stored.map(|(id, next)| KafkaCursor {
            topic: "orders.dlq".into(),
            topic_id: Some(Uuid::from_u128(id)),
            partition: Partition(0),
            next_offset: Offset(next),
        });
        let point =
            starting_point(&topic, &partition, stored.as_ref(), Freshness::AfterCursor).unwrap();
        assert_eq!(point.cursor.next_offset, Offset(start));
        let gap = point.gap.map(|gap| (gap.kind, gap.from.0, gap.to.0));
        assert_eq!(gap, lost);
    }

    #[test]
    fn a_new_topic_is_read_from_its_start() {
        check(None, (3, 9), 3, None);
    }

    #[test]
    fn a_known_partition_is_read_from_its_cursor() {
        check(Some((1, 5)), (3, 9), 5, None);
        check(Some((1, 9)), (3, 9), 9, None);
    }

    #[test]
    fn what_retention_removed_before_it_was_read_is_a_gap() {
        check(Some((1, 2)), (5, 9), 5, Some((GapKind::Retention, 2, 5)));
    }

    #[test]
    fn a_recreated_topic_starts_anew() {
        check(Some((2, 7)), (0, 9), 0, Some((GapKind::Recreated, 7, 0)));
    }

    #[test]
    fn a_log_that_is_shorter_than_the_cursor_was_truncated() {
        check(Some((1, 12)), (0, 9), 9, Some((GapKind::Truncated, 9, 12)));
    }
}
