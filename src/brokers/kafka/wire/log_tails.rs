//! Whether anything is left to read at the end of a partition: a transaction ends with a control record, which
//! has an offset and is shown to no consumer.

use std::collections::HashMap;

use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::{ApiKey, BrokerId, FetchRequest, TopicName as WireTopicName};
use kafka_protocol::protocol::StrBytes;

use super::connection::Connection;
use super::error::WireError;
use super::reader::{DecodeError, Reader};
use super::versions;
use crate::domain::{Offset, Partition, TopicName};

/// A control record takes 78 bytes. A broker answers nothing for a partition whose first batch is longer than
/// this, except for the first partition of an answer.
const BYTES_PER_PARTITION: i32 = 1024;

/// The length of the fields of a batch that come before its records (`RecordBatch.java`).
const BATCH_HEADER: usize = 61;

/// Base offset and length, which the length does not count.
const BATCH_OVERHEAD: usize = 12;

/// The first batch format with control records.
const MAGIC: i8 = 2;

const IS_CONTROL: i16 = 0x20;

/// The records of a partition from an offset to its end.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LogTail {
    pub topic: TopicName,
    pub partition: Partition,
    pub from: Offset,
    /// The high watermark.
    pub end: Offset,
}

/// What a [`LogTail`] holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TailContent {
    /// Nothing that a consumer is ever shown.
    ControlRecords,
    /// A record at least.
    Records,
}

/// One request for all of these, which this broker leads. What it does not answer is left out: an
/// authorisation to describe topics, which is all that sampling needs otherwise, is none to read them.
pub(super) async fn read(
    connection: &mut Connection,
    tails: &[LogTail],
) -> Result<Vec<(LogTail, TailContent)>, WireError> {
    let api = "Fetch";
    let version = connection.required_version(ApiKey::Fetch, versions::FETCH, api)?;
    let body = connection
        .call(ApiKey::Fetch, version, api, &request_for(tails))
        .await?;
    let answers = fetched(&body).map_err(|source| connection.garbage(api, source))?;
    let key = |tail: &LogTail| (tail.topic.as_str().to_owned(), tail.partition.0);
    let mut asked: HashMap<_, _> = tails.iter().map(|tail| (key(tail), tail)).collect();
    let found = answers.into_iter().filter_map(|answer| {
        let tail = asked.remove(&(answer.topic.to_owned(), answer.partition))?;
        // A new leader may not know yet how far the log reaches.
        let is_answer = answer.error == 0 && answer.high_watermark >= tail.end.0;
        is_answer.then(|| (tail.clone(), content(answer.records, tail)))
    });
    Ok(found.collect())
}

fn request_for(tails: &[LogTail]) -> FetchRequest {
    let topic = |tail: &LogTail| {
        let partition = FetchPartition::default()
            .with_partition(tail.partition.0)
            .with_fetch_offset(tail.from.0)
            .with_partition_max_bytes(BYTES_PER_PARTITION);
        FetchTopic::default()
            .with_topic(WireTopicName(StrBytes::from_string(
                tail.topic.as_str().to_owned(),
            )))
            .with_partitions(vec![partition])
    };
    let max_bytes = i32::try_from(tails.len()).map_or(i32::MAX, |partitions| {
        partitions.saturating_mul(BYTES_PER_PARTITION)
    });
    FetchRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_max_wait_ms(0)
        .with_min_bytes(0)
        .with_max_bytes(max_bytes)
        .with_topics(tails.iter().map(topic).collect())
}

#[derive(Debug, PartialEq)]
pub(super) struct FetchedPartition<'a> {
    topic: &'a str,
    partition: i32,
    error: i16,
    high_watermark: i64,
    records: &'a [u8],
}

/// `Fetch` v4.
pub(super) fn fetched(bytes: &[u8]) -> Result<Vec<FetchedPartition<'_>>, DecodeError> {
    let mut reader = Reader::new(bytes);
    reader.i32()?;
    let topics = reader.plain_items(6, |reader| {
        let topic = reader.short_string()?;
        reader.plain_items(30, |reader| {
            let partition = reader.i32()?;
            let error = reader.i16()?;
            let high_watermark = reader.i64()?;
            reader.i64()?;
            reader.plain_items(16, |reader| reader.bytes(16).map(drop))?;
            Ok(FetchedPartition {
                topic,
                partition,
                error,
                high_watermark,
                records: reader.plain_bytes()?,
            })
        })
    })?;
    Ok(topics.into_iter().flatten().collect())
}

/// Control records only if whole batches of them reach the end. A batch that is not there whole is longer than
/// any of a control record.
fn content(records: &[u8], tail: &LogTail) -> TailContent {
    let mut reader = Reader::new(records);
    let mut next = tail.from.0;
    while next < tail.end.0 {
        match batch(&mut reader) {
            Ok(batch) if batch.last_offset < next => {}
            Ok(batch) if batch.is_control => next = batch.last_offset.saturating_add(1),
            Ok(_) | Err(_) => return TailContent::Records,
        }
    }
    TailContent::ControlRecords
}

struct Batch {
    last_offset: i64,
    is_control: bool,
}

fn batch(reader: &mut Reader<'_>) -> Result<Batch, DecodeError> {
    let base_offset = reader.i64()?;
    let length = usize::try_from(reader.i32()?).map_err(|_| DecodeError::Truncated)?;
    let mut fields = Reader::new(reader.bytes(length)?);
    if length < BATCH_HEADER - BATCH_OVERHEAD {
        return Err(DecodeError::Truncated);
    }
    // The epoch of the leader.
    fields.i32()?;
    let magic = fields.i8()?;
    // The checksum.
    fields.i32()?;
    let attributes = fields.i16()?;
    let last_offset_delta = fields.i32()?;
    Ok(Batch {
        last_offset: base_offset.saturating_add(last_offset_delta.into()),
        is_control: magic == MAGIC && attributes & IS_CONTROL != 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(base: i64, records: i32, magic: i8, attributes: i16) -> Vec<u8> {
        let mut bytes = base.to_be_bytes().to_vec();
        bytes.extend(49_i32.to_be_bytes());
        bytes.extend([0; 4]);
        bytes.extend(magic.to_be_bytes());
        bytes.extend([0; 4]);
        bytes.extend(attributes.to_be_bytes());
        bytes.extend((records - 1).to_be_bytes());
        bytes.resize(BATCH_HEADER, 0);
        bytes
    }

    #[test]
    fn only_whole_batches_of_control_records_up_to_the_end_are_no_records() {
        use TailContent::{ControlRecords, Records};
        let check = |batches: &[Vec<u8>], from: i64, expected| {
            let tail = LogTail {
                topic: "orders".into(),
                partition: Partition(0),
                from: Offset(from),
                end: Offset(10),
            };
            assert_eq!(content(&batches.concat(), &tail), expected, "{batches:?}");
        };
        let control = |base| batch(base, 1, 2, 0x30);
        check(&[control(9)], 9, ControlRecords);
        check(&[control(8), control(9)], 8, ControlRecords);
        // Compaction removes the markers between.
        check(&[control(9)], 7, ControlRecords);
        check(&[batch(5, 3, 2, 0), control(9)], 8, ControlRecords);
        check(&[batch(5, 4, 2, 0x10), control(9)], 8, Records);
        check(&[control(8)], 8, Records);
        check(&[batch(9, 1, 2, 0x10)], 9, Records);
        check(&[batch(9, 1, 1, 0x20)], 9, Records);
        check(&[], 9, Records);
        let mut cut = control(9);
        cut.pop();
        check(&[cut], 9, Records);
        let mut short = control(9);
        short[8..12].copy_from_slice(&40_i32.to_be_bytes());
        check(&[short], 9, Records);
        check(&[batch(i64::MAX, i32::MAX, 2, 0x20)], 9, ControlRecords);
    }

    #[test]
    fn an_answer_is_read_whole_and_its_counts_are_bounded() {
        let mut bytes = vec![0; 4];
        bytes.extend(1_i32.to_be_bytes());
        bytes.extend(*b"\x00\x01t");
        bytes.extend(1_i32.to_be_bytes());
        bytes.extend(3_i32.to_be_bytes());
        bytes.extend(7_i16.to_be_bytes());
        bytes.extend(10_i64.to_be_bytes());
        bytes.extend(10_i64.to_be_bytes());
        bytes.extend((-1_i32).to_be_bytes());
        bytes.extend(2_i32.to_be_bytes());
        bytes.extend(*b"ab");
        let expected = FetchedPartition {
            topic: "t",
            partition: 3,
            error: 7,
            high_watermark: 10,
            records: b"ab",
        };
        assert_eq!(fetched(&bytes), Ok(vec![expected]));
        for length in 0..bytes.len() {
            assert!(fetched(&bytes[..length]).is_err(), "{length}");
        }
        bytes[4..8].copy_from_slice(&i32::MAX.to_be_bytes());
        assert_eq!(fetched(&bytes), Err(DecodeError::TooLong));
    }
}
