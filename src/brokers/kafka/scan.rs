use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::time::Instant;

use super::consumer::{AssignedPartition, DlqConsumer};
use super::{KafkaAdmin, KafkaError};
use crate::config::KafkaConfig;
use crate::domain::{Message, Offset, Partition, TopicName};

/// Records read at once.
const BATCH_RECORDS: usize = 1_000;

/// A scan that reads nothing for so long gives up, and says how far it came.
const IDLE_LIMIT: Duration = Duration::from_secs(10);

/// What a scan found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanResult {
    /// Each wanted value that was found, with the offset of the first record that carries it.
    pub found: HashMap<String, Offset>,
    /// The log began after the first offset that was asked for: what was there cannot be known.
    pub gap: bool,
    /// Every record before `to` was read.
    pub complete: bool,
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
    let gap = watermarks.low > from;
    let mut result = ScanResult {
        found: HashMap::new(),
        gap,
        complete: false,
    };
    let start = from.max(watermarks.low);
    if start >= to {
        result.complete = true;
        return Ok(result);
    }
    let consumer = DlqConsumer::reading_uncommitted(config)?;
    consumer.assign(&[AssignedPartition {
        topic: topic.clone(),
        partition,
        offset: start,
    }])?;
    let mut last_read = Instant::now();
    // The last offset before `to` may be a transaction marker, which no consumer sees: the position
    // that an empty read leaves behind is proof only when the partition's end was reached.
    while last_read.elapsed() < IDLE_LIMIT {
        let batch = consumer
            .next_batch(BATCH_RECORDS, Duration::from_millis(200))
            .await?;
        if batch.is_empty() && consumer.position_reached(topic, partition, to)? {
            result.complete = true;
            return Ok(result);
        }
        for record in batch {
            last_read = Instant::now();
            note(
                &mut result.found,
                &record.message,
                record.offset,
                header,
                wanted,
            );
            if record.offset.0 + 1 >= to.0 {
                result.complete = true;
                return Ok(result);
            }
        }
    }
    Ok(result)
}

fn note(
    found: &mut HashMap<String, Offset>,
    message: &Message,
    offset: Offset,
    header: &str,
    wanted: &HashSet<String>,
) {
    if let Some(value) = message
        .header_text(header)
        .filter(|value| wanted.contains(*value))
    {
        found.entry(value.to_owned()).or_insert(offset);
    }
}
