use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use rdkafka::error::KafkaError as ClientError;

use super::consumer::{AssignedPartition, DlqConsumer};
use super::{KafkaAdmin, KafkaError, KafkaRecord};
use crate::config::KafkaConfig;
use crate::domain::{Offset, Partition, TopicName};

/// Records read at once; a wanted offset that lies further away is fetched by itself.
const BATCH_RECORDS: usize = 200;
/// What is found is held in memory.
const MOST_BYTES: usize = 64 * 1024 * 1024;
const IDLE_LIMIT: Duration = Duration::from_secs(5);

/// Reads single records wherever they lie, of every transaction state.
pub struct RecordReader {
    admin: KafkaAdmin,
    consumer: DlqConsumer,
}

impl RecordReader {
    pub fn new(config: &KafkaConfig) -> Result<Self, KafkaError> {
        Ok(Self {
            admin: KafkaAdmin::new(config)?,
            consumer: DlqConsumer::to_the_end(config)?,
        })
    }

    /// Adds to `found` the records at the wanted offsets. What is not there (expired, compacted away) stays out of
    /// it. What was found before an error or an abort is kept. A topic that a broker does not know is an error, since
    /// one that has just started knows few; and so are more than 64 MiB.
    pub async fn read(
        &self,
        (topic, partition): (&TopicName, Partition),
        mut wanted: BTreeSet<Offset>,
        found: &mut HashMap<Offset, KafkaRecord>,
    ) -> Result<(), KafkaError> {
        let described = self.admin.topic(topic).await?;
        let Some(described) = described.and_then(|topic| topic.partition(partition)) else {
            let topic = topic.clone();
            return Err(KafkaError::NoPartition { topic, partition });
        };
        let watermarks = self.admin.watermarks_of(topic, &described).await?;
        wanted.retain(|offset| (watermarks.low..watermarks.high).contains(offset));
        while let Some(first) = wanted.first().copied() {
            let read_to = self
                .read_from((topic, partition), first, &wanted, found)
                .await?;
            // What was passed without being met is not there any more.
            wanted.retain(|offset| *offset > read_to);
            let bytes = found.values().map(|record| record.message.size()).sum();
            if bytes > MOST_BYTES && !wanted.is_empty() {
                return Err(KafkaError::EnoughForOnce { bytes });
            }
        }
        Ok(())
    }

    /// One batch from `first` on; answers how far it reached.
    async fn read_from(
        &self,
        (topic, partition): (&TopicName, Partition),
        first: Offset,
        wanted: &BTreeSet<Offset>,
        found: &mut HashMap<Offset, KafkaRecord>,
    ) -> Result<Offset, KafkaError> {
        self.consumer.assign(&[AssignedPartition {
            topic: topic.clone(),
            partition,
            offset: first,
        }])?;
        let is_here = |record: &KafkaRecord| {
            record.topic == *topic && record.partition == partition && record.offset >= first
        };
        loop {
            let batch = match self.consumer.next_batch(BATCH_RECORDS, IDLE_LIMIT).await {
                // Silence does not say that nothing is there.
                Ok(batch) if batch.is_empty() => {
                    let topic = topic.clone();
                    return Err(KafkaError::Silent { topic, partition });
                }
                Ok(batch) => batch,
                // Nothing but markers of transactions from here to the end.
                Err(KafkaError::Consume(ClientError::PartitionEOF(_))) => return Ok(first),
                Err(error) => return Err(error),
            };
            let mut read_to = None;
            for record in batch.into_iter().filter(is_here) {
                read_to = read_to.max(Some(record.offset));
                if wanted.contains(&record.offset) {
                    found.insert(record.offset, record);
                }
            }
            // Otherwise they were fetched for the assignment before.
            if let Some(read_to) = read_to {
                return Ok(read_to);
            }
        }
    }
}
