use std::collections::{HashMap, HashSet};
use std::time::Duration;

use rdkafka::error::KafkaError as ClientError;

use super::consumer::{AssignedPartition, DlqConsumer};
use super::{KafkaAdmin, KafkaError, KafkaRecord};
use crate::config::KafkaConfig;
use crate::domain::{Offset, Partition, TopicName};

/// Records read at once.
const BATCH_RECORDS: usize = 1_000;

/// A scan that reads nothing for so long gives up, and says how far it came.
const IDLE_LIMIT: Duration = Duration::from_secs(10);

/// At the end of a log records that come are fetched within half a second (`fetch.wait.max.ms`).
const LAST_LOOK: Duration = Duration::from_secs(2);

/// What a scan found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanResult {
    /// Each wanted value that was found, with the offset of the first record that carries it.
    pub found: HashMap<String, Offset>,
    /// The log began after the first offset that was asked for: what was there cannot be known.
    pub gap: bool,
    /// Every record before `to` was read.
    pub complete: bool,
    /// Every offset from `from` to `to` was that of a record: compaction took nothing from between.
    pub contiguous: bool,
}

/// Reads a partition from `from` up to `to` (exclusive) and notes the records whose last header
/// `header` has one of the wanted values. Sees records of every transaction state.
#[expect(
    clippy::implicit_hasher,
    reason = "a set of replay IDs needs no other hasher"
)]
pub async fn scan_for_headers(
    config: &KafkaConfig,
    (topic, partition): (&TopicName, Partition),
    (from, to): (Offset, Offset),
    header: &str,
    wanted: &HashSet<String>,
) -> Result<ScanResult, KafkaError> {
    let admin = KafkaAdmin::new(config)?;
    let watermarks = admin.watermarks(topic, partition).await?;
    let start = from.max(watermarks.low);
    let mut result = ScanResult {
        found: HashMap::new(),
        gap: watermarks.low > from,
        complete: start >= to,
        contiguous: from >= to,
    };
    if result.complete {
        return Ok(result);
    }
    let mut records = 0;
    let consumer = DlqConsumer::to_the_end(config)?;
    consumer.assign(&[AssignedPartition {
        topic: topic.clone(),
        partition,
        offset: start,
    }])?;
    let mut is_at_the_end = false;
    while !result.complete {
        let limit = if is_at_the_end { LAST_LOOK } else { IDLE_LIMIT };
        let batch = match consumer.next_batch(BATCH_RECORDS, limit).await {
            Ok(batch) if batch.is_empty() => {
                result.complete = is_at_the_end;
                break;
            }
            Ok(batch) => batch,
            // The last offsets before `to` may be transaction markers, which no consumer sees. A new leader may
            // have let consumers less far for a moment: then there are records to come.
            Err(KafkaError::Consume(ClientError::PartitionEOF(_))) => {
                let end = admin.watermarks(topic, partition).await?.high;
                is_at_the_end = end >= to;
                if !is_at_the_end {
                    break;
                }
                continue;
            }
            Err(error) => return Err(error),
        };
        is_at_the_end = false;
        records += batch.iter().filter(|record| record.offset < to).count();
        for record in &batch {
            note(&mut result.found, record, header, wanted);
        }
        result.complete = batch.last().is_some_and(|last| last.offset.0 + 1 >= to.0);
    }
    result.contiguous = i64::try_from(records).is_ok_and(|records| records == to.0 - from.0);
    Ok(result)
}

fn note(
    found: &mut HashMap<String, Offset>,
    record: &KafkaRecord,
    header: &str,
    wanted: &HashSet<String>,
) {
    let value = record.message.header_text(header);
    if let Some(value) = value.filter(|value| wanted.contains(*value)) {
        found.entry(value.to_owned()).or_insert(record.offset);
    }
}
