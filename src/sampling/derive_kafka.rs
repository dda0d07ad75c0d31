//! From two looks at a Kafka cluster to lag, time lag, rates and verdicts. Pure: the times are those
//! of the samples.

mod offset_memory;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use uuid::Uuid;

use super::derive_group::GroupState;
use super::log_ends::LogEnd;
use super::offset_times::OffsetTimes;
use super::partition_view::{KnownTopics, progress_since};
use crate::brokers::kafka::wire::{FirstOffsets, LogTail, TailContent};
use crate::domain::{
    CommittedOffset, ConsumerGroup, KafkaDetail, KafkaSample, Offset, Partition, PartitionSample,
    Timestamp, TopicName, TopicSample, TopicStatus,
};

/// What a sample did not mention for so many samples is gone. A coordinator that moves hides its
/// groups for a moment, and forgetting them at once would restart their counters.
pub(super) const FORGOTTEN_AFTER_SAMPLES: u64 = 10;

/// The answers take a KiB each.
const TAILS_AT_ONCE: usize = 4_000;

/// What is remembered from one sample to the next.
#[derive(Debug, Default)]
pub(super) struct KafkaState {
    samples: u64,
    topics: HashMap<TopicName, TopicState>,
    groups: HashMap<ConsumerGroup, GroupState>,
}

#[derive(Debug, Default)]
pub(super) struct TopicState {
    last_seen: u64,
    topic_id: Option<Uuid>,
    produced_total: u64,
    pub(super) partitions: HashMap<Partition, PartitionState>,
}

#[derive(Debug, Default)]
pub(super) struct PartitionState {
    /// The high watermark and when it was read.
    last_end: Option<(Offset, Timestamp)>,
    pub(super) log_end: LogEnd,
    pub(super) times: OffsetTimes,
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

    /// Takes up what a broker says about records from before the first look.
    pub(super) fn prove(&mut self, answers: &[FirstOffsets]) {
        for answer in answers {
            let topic = self.topics.get_mut(&answer.topic);
            let partition = topic.and_then(|topic| topic.partitions.get_mut(&answer.partition));
            if let Some(partition) = partition {
                partition.times.prove(&answer.since);
            }
        }
    }

    /// What to ask the leaders, because a group stands just before an end and may have nothing to read there.
    pub(super) fn tails_in_doubt(&mut self, detail: &KafkaDetail, now: Timestamp) -> Vec<LogTail> {
        let topics = detail.groups.iter().flat_map(|group| &group.topics);
        let late = topics.flat_map(|topic| {
            let late = topic
                .partitions
                .iter()
                .filter(|status| status.lag > Some(0));
            late.map(|status| (&topic.topic, status))
        });
        let mut tails = Vec::new();
        for (topic, status) in late {
            let known = self.topics.get_mut(topic);
            let partition = known.and_then(|known| known.partitions.get_mut(&status.partition));
            let start = status.log_start;
            let from = start.map_or(status.committed, |start| start.max(status.committed));
            let end = partition.and_then(|state| state.log_end.question(from, now));
            tails.extend(end.map(|end| LogTail {
                topic: topic.clone(),
                partition: status.partition,
                from,
                end,
            }));
        }
        tails.truncate(TAILS_AT_ONCE);
        tails
    }

    /// Takes up what leaders answer to [`Self::tails_in_doubt`].
    pub(super) fn learn_tails(&mut self, answers: Vec<(LogTail, TailContent)>) {
        for (tail, content) in answers {
            let topic = self.topics.get_mut(&tail.topic);
            let partition = topic.and_then(|topic| topic.partitions.get_mut(&tail.partition));
            if let Some(partition) = partition {
                partition.log_end.answer((tail.from, tail.end), content);
            }
        }
    }

    fn forget_what_is_gone(&mut self) {
        let samples = self.samples;
        let lives = |last_seen: u64| samples - last_seen < FORGOTTEN_AFTER_SAMPLES;
        self.topics.retain(|_, topic| lives(topic.last_seen));
        self.groups.retain(|_, group| group.forget_unless(lives));
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct SampleTimes {
    pub(super) number: u64,
    pub(super) committed_at: Timestamp,
    pub(super) ends_at: Timestamp,
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
        let place = |commit: &CommittedOffset| commit.partition;
        group
            .committed
            .sort_by(|a, b| a.topic.cmp(&b.topic).then(place(a).cmp(&place(b))));
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
        forget_unlisted(
            &mut self.partitions,
            topic.partitions.iter().map(|p| p.partition),
        );
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
pub(super) fn is_another(before: Option<Uuid>, now: Option<Uuid>) -> bool {
    matches!((before, now), (Some(before), Some(now)) if before != now)
}

impl PartitionState {
    /// Records since the look before, and per second.
    fn observe(&mut self, partition: &PartitionSample, at: Timestamp) -> Option<(u64, f64)> {
        let end = partition.high_watermark?;
        self.log_end.observe(end, partition.last_stable);
        self.times.observe(end, at);
        let before = self.last_end.replace((end, at));
        progress_since(before?, (end, at))
    }
}

/// Partitions never leave a topic; a broker that lists others every time must not fill the memory.
pub(super) fn forget_unlisted<T>(
    partitions: &mut HashMap<Partition, T>,
    listed: impl ExactSizeIterator<Item = Partition>,
) {
    if partitions.len() > 2 * listed.len() {
        let listed: HashSet<Partition> = listed.collect();
        partitions.retain(|partition, _| listed.contains(partition));
    }
}

#[cfg(test)]
mod tests;
