use std::collections::HashMap;
use std::time::Duration;

use uuid::Uuid;

use super::derive_kafka::{CommittedDurations, SampleTimes, forget_unlisted, is_another};
use super::partition_view::{KnownTopics, TopicView, distance, progress_since};
use super::progress::{Membership, Progress, ProgressWindow, Retention};
use crate::domain::{
    CommittedOffset, GroupPartitionStatus, GroupSample, GroupStatus, GroupTopicStatus,
    GroupVerdict, Offset, Partition, TimeLag, Timestamp, TopicName, member_count,
};

#[derive(Debug, Default)]
pub(super) struct GroupState {
    last_seen: u64,
    topics: HashMap<TopicName, GroupTopicState>,
}

#[derive(Debug, Default)]
struct GroupTopicState {
    last_seen: u64,
    topic_id: Option<Uuid>,
    processed_total: u64,
    lost_total: u64,
    partitions: HashMap<Partition, GroupPartitionState>,
}

#[derive(Debug, Default)]
struct GroupPartitionState {
    last_commit: Option<(Offset, Timestamp)>,
    /// Up to here the lost messages are counted.
    lost_up_to: Option<Offset>,
    window: ProgressWindow,
}

impl GroupState {
    /// Forgets topics that are gone; answers whether the group itself lives.
    pub(super) fn forget_unless(&mut self, lives: impl Fn(u64) -> bool) -> bool {
        self.topics.retain(|_, topic| lives(topic.last_seen));
        lives(self.last_seen)
    }

    pub(super) fn observe(
        &mut self,
        group: GroupSample,
        times: SampleTimes,
        known: &KnownTopics<'_>,
        publish_to_commit: &mut Vec<CommittedDurations>,
    ) -> GroupStatus {
        self.last_seen = times.number;
        let membership = match member_count(&group.state, &group.members) {
            Some(0) => Membership::Empty,
            _ => Membership::Members,
        };
        let mut sum = GroupSum::default();
        let mut topics = Vec::new();
        for commits in group.committed.chunk_by(|a, b| a.topic == b.topic) {
            let topic = &commits[0].topic;
            let state = self.topics.entry(topic.clone()).or_default();
            let view = TopicView::of(topic, known);
            let (status, durations) = state.observe(commits, times, &view, membership, &mut sum);
            if !durations.is_empty() {
                publish_to_commit.push(CommittedDurations {
                    group: group.group.clone(),
                    topic: topic.clone(),
                    durations,
                });
            }
            topics.push(status);
        }
        GroupStatus {
            verdict: sum.verdict,
            lag: total(topics.iter().map(|topic| topic.lag)),
            lost_total: total(topics.iter().map(|topic| topic.lost_total)),
            time_lag: sum.time_lag,
            consume_rate: sum.consume_rate,
            produce_rate: sum.produce_rate,
            group: group.group,
            kind: group.kind,
            state: group.state,
            members: group.members,
            topics,
        }
    }
}

/// What is summed up over the partitions of a group.
#[derive(Debug)]
struct GroupSum {
    verdict: GroupVerdict,
    time_lag: Option<TimeLag>,
    consume_rate: Option<f64>,
    produce_rate: Option<f64>,
}

impl Default for GroupSum {
    fn default() -> Self {
        Self {
            verdict: GroupVerdict::Ok,
            time_lag: None,
            consume_rate: None,
            produce_rate: None,
        }
    }
}

impl GroupSum {
    fn add_partition(&mut self, status: &GroupPartitionStatus, verdict: GroupVerdict) {
        self.verdict = self.verdict.max(verdict);
        let duration = |lag: &TimeLag| lag.duration();
        self.time_lag = [self.time_lag, status.time_lag]
            .into_iter()
            .flatten()
            .max_by_key(duration);
    }
}

fn add_rate(sum: &mut Option<f64>, rate: Option<f64>) {
    if let Some(rate) = rate {
        *sum = Some(sum.unwrap_or(0.0) + rate);
    }
}

impl GroupTopicState {
    fn observe(
        &mut self,
        commits: &[CommittedOffset],
        times: SampleTimes,
        topic: &TopicView<'_>,
        membership: Membership,
        sum: &mut GroupSum,
    ) -> (GroupTopicStatus, Vec<(Duration, u64)>) {
        self.last_seen = times.number;
        let topic_id = topic.status.and_then(|status| status.topic_id);
        if is_another(self.topic_id, topic_id) {
            self.partitions.clear();
        }
        self.topic_id = topic_id.or(self.topic_id);
        let mut partitions = Vec::with_capacity(commits.len());
        let mut durations = Vec::new();
        for commit in commits {
            let state = self.partitions.entry(commit.partition).or_default();
            let view = topic.partition(commit.partition);
            if let Some(progress) = state.advance(commit.offset, times.committed_at) {
                self.processed_total = self.processed_total.saturating_add(progress.records);
                add_rate(&mut sum.consume_rate, Some(progress.per_second));
                durations.extend(view.durations(progress.from, commit.offset, times.committed_at));
            }
            let status = view.status(commit, times.ends_at);
            self.lost_total = self.lost_total.saturating_add(state.lost(&status));
            sum.add_partition(&status, state.verdict(&status, membership));
            partitions.push(status);
        }
        forget_unlisted(&mut self.partitions, commits.iter().map(|c| c.partition));
        add_rate(
            &mut sum.produce_rate,
            topic.status.and_then(|status| status.produce_rate),
        );
        let status = GroupTopicStatus {
            topic: commits[0].topic.clone(),
            lag: total(partitions.iter().filter_map(|partition| partition.lag)),
            processed_total: self.processed_total,
            lost_total: self.lost_total,
            partitions,
        };
        (status, durations)
    }
}

/// What a group committed since the look before.
struct CommitProgress {
    from: Offset,
    records: u64,
    per_second: f64,
}

impl GroupPartitionState {
    fn advance(&mut self, committed: Offset, at: Timestamp) -> Option<CommitProgress> {
        let before = self.last_commit.replace((committed, at))?;
        let (records, per_second) = progress_since(before, (committed, at))?;
        Some(CommitProgress {
            from: before.0,
            records,
            per_second,
        })
    }

    /// Messages that retention removed unread since the look before. What was gone when Redrive first
    /// looked is not counted: nobody can tell when it went.
    fn lost(&mut self, status: &GroupPartitionStatus) -> u64 {
        let Some(start) = status.log_start else {
            return 0;
        };
        let counted = self.lost_up_to.replace(start);
        let from = counted.map(|counted| counted.max(status.committed));
        from.and_then(|from| distance(from, start)).unwrap_or(0)
    }

    fn verdict(&mut self, status: &GroupPartitionStatus, membership: Membership) -> GroupVerdict {
        if let Some(lag) = status.lag {
            let removed = status
                .log_start
                .is_some_and(|start| status.committed < start);
            self.window.push(Progress {
                committed: status.committed,
                lag,
                retention: if removed {
                    Retention::RemovedTheUnread
                } else {
                    Retention::KeptTheUnread
                },
            });
        }
        self.window.verdict(membership)
    }
}

/// A sum of numbers that a broker chose.
fn total(numbers: impl Iterator<Item = u64>) -> u64 {
    numbers.fold(0, u64::saturating_add)
}
