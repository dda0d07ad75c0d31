//! When which offset was written, for the next start: the ring of each partition with the identity of its topic,
//! without which a namesake would be taken for it. A partition takes some 500 bytes, half of that after zlib.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::{KafkaState, PartitionState, TopicState};
use crate::domain::{Partition, Timestamp, TopicName, digest_of_fields};
use crate::sampling::log_ends::LogEnd;
use crate::sampling::offset_times::OffsetTimes;
use crate::sampling::packing::{LARGEST_PAGE, Reader, Unreadable, pack, put, unpack};

/// Over so many pages the topics of a cluster are spread.
const PAGES: u16 = 64;

/// Kafka allows 249 bytes; a broker that gives more is not followed.
const LONGEST_NAME: usize = 1_000;

const TRANSACTIONAL: u8 = 1;

impl KafkaState {
    /// What is known of all topics that have an identity, by page; an empty page has none.
    pub(in crate::sampling) fn remembered(&self) -> Vec<(u16, Vec<u8>)> {
        let mut pages: BTreeMap<u16, Vec<u8>> = (0..PAGES).map(|page| (page, Vec::new())).collect();
        for (topic, state) in &self.topics {
            let Some(topic_id) = state.topic_id else {
                continue;
            };
            let name = topic.as_str().as_bytes();
            let raw = pages.entry(page_of(name)).or_default();
            let before = raw.len();
            if name.len() <= LONGEST_NAME {
                state.write_to(raw, (name, topic_id));
            }
            if raw.len() > LARGEST_PAGE {
                raw.truncate(before);
            }
        }
        let packed = |(page, raw): (u16, Vec<u8>)| match raw.as_slice() {
            [] => (page, Vec::new()),
            raw => (page, pack(raw)),
        };
        pages.into_iter().map(packed).collect()
    }

    /// Takes up a page, before the first look. What that look shows to be another topic, or a log that became
    /// shorter, is forgotten then.
    pub(in crate::sampling) fn remember(
        &mut self,
        page: &[u8],
        now: Timestamp,
    ) -> Result<(), Unreadable> {
        let raw = unpack(page)?;
        let mut reader = Reader(&raw);
        while !reader.is_empty() {
            let (topic, state) = read_topic(&mut reader, now).ok_or(Unreadable::Damaged)?;
            self.topics.insert(topic, state);
        }
        Ok(())
    }
}

impl TopicState {
    fn write_to(&self, raw: &mut Vec<u8>, (name, topic_id): (&[u8], Uuid)) {
        put(raw, name.len() as u64);
        raw.extend(name);
        raw.extend(topic_id.as_bytes());
        put(raw, self.partitions.len() as u64);
        for (partition, state) in &self.partitions {
            raw.extend(partition.0.to_le_bytes());
            raw.push(if state.log_end.is_transactional() {
                TRANSACTIONAL
            } else {
                0
            });
            state.times.write_to(raw);
        }
    }
}

fn read_topic(reader: &mut Reader<'_>, now: Timestamp) -> Option<(TopicName, TopicState)> {
    let length = reader.number_up_to(LONGEST_NAME)?;
    let name = std::str::from_utf8(reader.bytes(length)?).ok()?;
    let topic_id = Uuid::from_bytes(reader.array()?);
    let mut state = TopicState {
        topic_id: Some(topic_id),
        ..TopicState::default()
    };
    let partitions = reader.number()?;
    for _ in 0..partitions {
        let partition = Partition(i32::from_le_bytes(reader.array()?));
        let [flags] = reader.array()?;
        let times = OffsetTimes::read_from(reader, now)?;
        let known = PartitionState {
            last_end: None,
            log_end: LogEnd::remembered(flags & TRANSACTIONAL != 0),
            times,
        };
        state.partitions.insert(partition, known);
    }
    Some((TopicName::new(name), state))
}

fn page_of(name: &[u8]) -> u16 {
    let digest = digest_of_fields([name]);
    let number = u16::from_str_radix(digest.get(..4).unwrap_or_default(), 16);
    number.unwrap_or(0) % PAGES
}

#[cfg(test)]
mod tests;
