use std::collections::HashMap;
use std::time::Duration;

use super::derive_kafka::{PartitionState, TopicState};
use super::offset_times::WrittenAt;
use crate::domain::{
    CommittedOffset, GroupPartitionStatus, Offset, Partition, PartitionSample, TimeLag, Timestamp,
    TopicName, TopicStatus,
};

/// The records between two commits are looked at in so many parts, each with the time of its middle.
const PARTS_OF_A_COMMIT: i64 = 8;

/// The topics of a sample and what is remembered of them.
pub(super) struct KnownTopics<'a> {
    pub(super) statuses: HashMap<&'a TopicName, &'a TopicStatus>,
    pub(super) states: &'a HashMap<TopicName, TopicState>,
}

/// A topic as the groups that read it need it; all absent if the broker does not show it.
pub(super) struct TopicView<'a> {
    pub(super) status: Option<&'a TopicStatus>,
    state: Option<&'a TopicState>,
}

impl<'a> TopicView<'a> {
    pub(super) fn of(topic: &TopicName, known: &KnownTopics<'a>) -> Self {
        Self {
            status: known.statuses.get(topic).copied(),
            state: known.states.get(topic),
        }
    }

    pub(super) fn partition(&self, partition: Partition) -> PartitionView<'a> {
        let sample = self.status.and_then(|status| {
            let partitions = &status.partitions;
            let found = partitions.binary_search_by_key(&partition, |sample| sample.partition);
            found.ok().map(|index| &partitions[index])
        });
        PartitionView {
            sample,
            state: self
                .state
                .and_then(|state| state.partitions.get(&partition)),
        }
    }
}

/// One partition as the groups that read it need it.
pub(super) struct PartitionView<'a> {
    sample: Option<&'a PartitionSample>,
    state: Option<&'a PartitionState>,
}

impl PartitionView<'_> {
    pub(super) fn status(&self, commit: &CommittedOffset, now: Timestamp) -> GroupPartitionStatus {
        let log_start = self.sample.and_then(|sample| sample.log_start);
        let log_end = self
            .sample
            .and_then(|sample| sample.last_stable.or(sample.high_watermark));
        let lag = log_end.map(|end| self.lag(commit.offset, log_start, end));
        GroupPartitionStatus {
            partition: commit.partition,
            committed: commit.offset,
            log_start,
            log_end,
            lag,
            time_lag: lag.and_then(|lag| self.time_lag(lag, commit.offset, log_start, now)),
            retention_headroom: log_start
                .zip(log_end)
                .and_then(|(start, end)| headroom(commit.offset, start, end)),
        }
    }

    /// Without the log start, retention would make a phantom lag. What no consumer is shown is no lag.
    fn lag(&self, committed: Offset, log_start: Option<Offset>, end: Offset) -> u64 {
        let unread_from = log_start.map_or(committed, |start| start.max(committed));
        let nothing_open = self.sample.and_then(|sample| sample.high_watermark) == Some(end);
        let log_end = self.state.map(|state| &state.log_end);
        if nothing_open && log_end.is_some_and(|log_end| log_end.is_read_up_to(unread_from)) {
            return 0;
        }
        distance(unread_from, end).unwrap_or(0)
    }

    fn time_lag(
        &self,
        lag: u64,
        committed: Offset,
        log_start: Option<Offset>,
        now: Timestamp,
    ) -> Option<TimeLag> {
        if lag == 0 {
            return Some(TimeLag::Exactly(Duration::ZERO));
        }
        let oldest = log_start.map_or(committed, |start| start.max(committed));
        match self.state?.times.written_at(oldest) {
            // What the group had to read next is gone and was older than what is left.
            WrittenAt::About(at) if oldest > committed => Some(TimeLag::AtLeast(now.since(at))),
            WrittenAt::About(at) => Some(TimeLag::Exactly(now.since(at))),
            WrittenAt::Before(at) if at < now => Some(TimeLag::AtLeast(now.since(at))),
            WrittenAt::Before(_) | WrittenAt::Unknown => None,
        }
    }

    /// How long the records of a commit had waited for it. The commit is dated to the look at which
    /// it was seen, so the times are too long by up to one interval, never too short.
    pub(super) fn durations(
        &self,
        from: Offset,
        committed: Offset,
        committed_at: Timestamp,
    ) -> Vec<(Duration, u64)> {
        let Some(state) = self.state else {
            return Vec::new();
        };
        let records = committed.0 - from.0;
        let parts = records.min(PARTS_OF_A_COMMIT);
        let bound = |part: i64| {
            let share = i128::from(records) * i128::from(part) / i128::from(parts);
            from.0 + i64::try_from(share).unwrap_or(records)
        };
        let part = |part: i64| {
            let (first, next) = (bound(part), bound(part + 1));
            let middle = Offset(first + (next - first) / 2);
            match state.times.written_at(middle) {
                WrittenAt::About(at) => {
                    Some((committed_at.since(at), u64::try_from(next - first).ok()?))
                }
                WrittenAt::Before(_) | WrittenAt::Unknown => None,
            }
        };
        (0..parts).filter_map(part).collect()
    }
}

/// The share of the log between its start and the committed offset.
fn headroom(committed: Offset, start: Offset, end: Offset) -> Option<f64> {
    let length = distance(start, end).filter(|length| *length > 0)?;
    let read = distance(start, committed).unwrap_or(0);
    Some((read as f64 / length as f64).min(1.0))
}
/// The distance between two offsets and its rate; nothing if the offset went back or no time passed.
pub(super) fn progress_since(
    (before, before_at): (Offset, Timestamp),
    (now, now_at): (Offset, Timestamp),
) -> Option<(u64, f64)> {
    let records = distance(before, now)?;
    let seconds = now_at.since(before_at).as_secs_f64();
    (seconds > 0.0).then(|| (records, records as f64 / seconds))
}

/// Records from one offset to a later one. Offsets come from a broker: no arithmetic may overflow.
pub(super) fn distance(from: Offset, to: Offset) -> Option<u64> {
    to.0.checked_sub(from.0)
        .and_then(|records| u64::try_from(records).ok())
}
