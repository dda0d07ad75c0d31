//! From two looks at a Kafka cluster to lag, time lag, rates and verdicts. Pure: the times are those
//! of the samples.

use std::collections::HashMap;
use std::time::Duration;

use uuid::Uuid;

use super::offset_times::{OffsetTimes, WrittenAt};
use super::progress::{Membership, Progress, ProgressWindow, Retention};
use crate::domain::{
    CommittedOffset, ConsumerGroup, GroupPartitionStatus, GroupSample, GroupStatus,
    GroupTopicStatus, GroupVerdict, KafkaDetail, KafkaSample, Offset, Partition, PartitionSample,
    TimeLag, Timestamp, TopicName, TopicSample, TopicStatus,
};

/// What a sample did not mention for so many samples is gone. A coordinator that moves hides its
/// groups for a moment, and forgetting them at once would restart their counters.
const FORGOTTEN_AFTER_SAMPLES: u64 = 10;

/// The records between two commits are looked at in so many parts, each with the time of its middle.
const PARTS_OF_A_COMMIT: i64 = 8;

/// What is remembered from one sample to the next.
#[derive(Debug, Default)]
pub(super) struct KafkaState {
    samples: u64,
    topics: HashMap<TopicName, TopicState>,
    groups: HashMap<ConsumerGroup, GroupState>,
}

#[derive(Debug, Default)]
struct TopicState {
    last_seen: u64,
    topic_id: Option<Uuid>,
    produced_total: u64,
    produce_rate: Option<f64>,
    partitions: HashMap<Partition, PartitionState>,
}

#[derive(Debug, Default)]
struct PartitionState {
    /// The high watermark and when it was read.
    last_end: Option<(Offset, Timestamp)>,
    /// A transaction was seen open: the last record before the end is then a control record.
    transactional: bool,
    times: OffsetTimes,
}

#[derive(Debug, Default)]
struct GroupState {
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

/// What a sample says together with those before it.
#[derive(Debug, Default)]
pub(super) struct KafkaDerivation {
    pub(super) detail: KafkaDetail,
    pub(super) publish_to_commit: Vec<CommittedDurations>,
}

/// Times from publishing to committing, each with its number of records.
#[derive(Debug)]
pub(super) struct CommittedDurations {
    pub(super) group: ConsumerGroup,
    pub(super) topic: TopicName,
    pub(super) durations: Vec<(Duration, u64)>,
}

impl KafkaState {
    pub(super) fn derive(&mut self, mut sample: KafkaSample) -> KafkaDerivation {
        self.samples += 1;
        sort_and_deduplicate(&mut sample);
        let times = SampleTimes {
            number: self.samples,
            committed_at: sample.committed_at,
            ends_at: sample.ends_at,
        };
        let topics = std::mem::take(&mut sample.topics);
        let topics: Vec<TopicStatus> = topics
            .into_iter()
            .map(|topic| {
                let state = self.topics.entry(topic.topic.clone()).or_default();
                state.observe(topic, times)
            })
            .collect();
        let mut derivation = KafkaDerivation::default();
        let known = KnownTopics {
            statuses: topics.iter().map(|topic| (&topic.topic, topic)).collect(),
            states: &self.topics,
        };
        for group in sample.groups {
            let state = self.groups.entry(group.group.clone()).or_default();
            let status = state.observe(group, times, &known, &mut derivation.publish_to_commit);
            derivation.detail.groups.push(status);
        }
        derivation.detail.topics = topics;
        self.forget_what_is_gone();
        derivation
    }

    fn forget_what_is_gone(&mut self) {
        let samples = self.samples;
        let lives = |last_seen: u64| samples - last_seen < FORGOTTEN_AFTER_SAMPLES;
        self.topics.retain(|_, topic| lives(topic.last_seen));
        self.groups.retain(|_, group| lives(group.last_seen));
        for group in self.groups.values_mut() {
            group.topics.retain(|_, topic| lives(topic.last_seen));
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct SampleTimes {
    number: u64,
    committed_at: Timestamp,
    ends_at: Timestamp,
}

struct KnownTopics<'a> {
    statuses: HashMap<&'a TopicName, &'a TopicStatus>,
    states: &'a HashMap<TopicName, TopicState>,
}

/// A broker may name a topic, a group or a partition twice; the pages and the series must not. An
/// offset below 0 is the protocol's word for none.
fn sort_and_deduplicate(sample: &mut KafkaSample) {
    sample.topics.sort_by(|a, b| a.topic.cmp(&b.topic));
    sample.topics.dedup_by(|a, b| a.topic == b.topic);
    for topic in &mut sample.topics {
        topic
            .partitions
            .sort_by_key(|partition| partition.partition);
        topic
            .partitions
            .dedup_by_key(|partition| partition.partition);
        for partition in &mut topic.partitions {
            for offset in [
                &mut partition.log_start,
                &mut partition.high_watermark,
                &mut partition.last_stable,
            ] {
                *offset = offset.filter(|offset| offset.0 >= 0);
            }
        }
    }
    sample.groups.sort_by(|a, b| a.group.cmp(&b.group));
    sample.groups.dedup_by(|a, b| a.group == b.group);
    for group in &mut sample.groups {
        let key = |commit: &CommittedOffset| (commit.topic.clone(), commit.partition);
        group.committed.sort_by_cached_key(key);
        group
            .committed
            .dedup_by(|a, b| a.partition == b.partition && a.topic == b.topic);
        group.committed.retain(|commit| commit.offset.0 >= 0);
    }
}

impl TopicState {
    fn observe(&mut self, topic: TopicSample, times: SampleTimes) -> TopicStatus {
        self.last_seen = times.number;
        if is_another(self.topic_id, topic.topic_id) {
            self.partitions.clear();
        }
        self.topic_id = topic.topic_id.or(self.topic_id);
        let mut rate = None;
        for partition in &topic.partitions {
            let state = self.partitions.entry(partition.partition).or_default();
            if let Some((records, per_second)) = state.observe(partition, times.ends_at) {
                self.produced_total = self.produced_total.saturating_add(records);
                rate = Some(rate.unwrap_or(0.0) + per_second);
            }
        }
        self.produce_rate = rate;
        TopicStatus {
            topic: topic.topic,
            topic_id: topic.topic_id,
            internal: topic.internal,
            partitions: topic.partitions,
            produce_rate: rate,
            produced_total: self.produced_total,
        }
    }
}

/// Two identities that are both known and differ: the topic was deleted and made anew.
fn is_another(before: Option<Uuid>, now: Option<Uuid>) -> bool {
    matches!((before, now), (Some(before), Some(now)) if before != now)
}

impl PartitionState {
    /// Records since the look before, and per second.
    fn observe(&mut self, partition: &PartitionSample, at: Timestamp) -> Option<(u64, f64)> {
        let end = partition.high_watermark?;
        let open_transaction = partition.last_stable.is_some_and(|stable| stable < end);
        self.transactional |= open_transaction;
        self.times.observe(end, at);
        let before = self.last_end.replace((end, at));
        let (records, per_second) = progress_since(before?, (end, at))?;
        Some((records, per_second))
    }
}

/// The distance between two offsets and its rate; nothing if the offset went back or no time passed.
fn progress_since(
    (before, before_at): (Offset, Timestamp),
    (now, now_at): (Offset, Timestamp),
) -> Option<(u64, f64)> {
    let records = distance(before, now)?;
    let seconds = now_at.since(before_at).as_secs_f64();
    (seconds > 0.0).then(|| (records, records as f64 / seconds))
}

/// Records from one offset to a later one. Offsets come from a broker: no arithmetic may overflow.
fn distance(from: Offset, to: Offset) -> Option<u64> {
    to.0.checked_sub(from.0)
        .and_then(|records| u64::try_from(records).ok())
}

impl GroupState {
    fn observe(
        &mut self,
        group: GroupSample,
        times: SampleTimes,
        known: &KnownTopics<'_>,
        publish_to_commit: &mut Vec<CommittedDurations>,
    ) -> GroupStatus {
        self.last_seen = times.number;
        let membership = if group.members.is_empty() {
            Membership::Empty
        } else {
            Membership::Members
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

/// A topic as the groups that read it need it; all absent if the broker does not show it.
struct TopicView<'a> {
    status: Option<&'a TopicStatus>,
    state: Option<&'a TopicState>,
}

impl<'a> TopicView<'a> {
    fn of(topic: &TopicName, known: &KnownTopics<'a>) -> Self {
        Self {
            status: known.statuses.get(topic).copied(),
            state: known.states.get(topic),
        }
    }

    fn partition(&self, partition: Partition) -> PartitionView<'a> {
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
                durations.extend(view.durations(&progress, commit.offset, times.committed_at));
            }
            let status = view.status(commit, times.ends_at);
            self.lost_total = self.lost_total.saturating_add(state.lost(&status));
            sum.add_partition(&status, state.verdict(&status, membership));
            partitions.push(status);
        }
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

/// One partition as the groups that read it need it.
struct PartitionView<'a> {
    sample: Option<&'a PartitionSample>,
    state: Option<&'a PartitionState>,
}

impl PartitionView<'_> {
    fn status(&self, commit: &CommittedOffset, now: Timestamp) -> GroupPartitionStatus {
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

    /// Without the log start, retention would make a phantom lag. A transaction ends with a control
    /// record that no consumer ever sees, so one such record at the end is no lag.
    fn lag(&self, committed: Offset, log_start: Option<Offset>, end: Offset) -> u64 {
        let unread_from = log_start.map_or(committed, |start| start.max(committed));
        let unread = distance(unread_from, end).unwrap_or(0);
        let nothing_open = self.sample.and_then(|sample| sample.high_watermark) == Some(end);
        let ends_with_control_record = self.state.is_some_and(|state| state.transactional);
        if unread == 1 && nothing_open && ends_with_control_record {
            return 0;
        }
        unread
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
    fn durations(
        &self,
        progress: &CommitProgress,
        committed: Offset,
        committed_at: Timestamp,
    ) -> Vec<(Duration, u64)> {
        let Some(state) = self.state else {
            return Vec::new();
        };
        let records = committed.0 - progress.from.0;
        let parts = records.min(PARTS_OF_A_COMMIT);
        let bound = |part: i64| {
            let share = i128::from(records) * i128::from(part) / i128::from(parts);
            progress.from.0 + i64::try_from(share).unwrap_or(records)
        };
        let part = |part: i64| {
            let (from, to) = (bound(part), bound(part + 1));
            let middle = Offset(from + (to - from) / 2);
            match state.times.written_at(middle) {
                WrittenAt::About(at) => {
                    Some((committed_at.since(at), u64::try_from(to - from).ok()?))
                }
                WrittenAt::Before(_) | WrittenAt::Unknown => None,
            }
        };
        (0..parts).filter_map(part).collect()
    }
}

/// A sum of numbers that a broker chose.
fn total(numbers: impl Iterator<Item = u64>) -> u64 {
    numbers.fold(0, u64::saturating_add)
}

/// The share of the log between its start and the committed offset.
fn headroom(committed: Offset, start: Offset, end: Offset) -> Option<f64> {
    let length = distance(start, end).filter(|length| *length > 0)?;
    let read = distance(start, committed).unwrap_or(0);
    Some((read as f64 / length as f64).min(1.0))
}
