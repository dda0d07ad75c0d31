use std::time::Duration;

use futures_util::FutureExt as _;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{Consumer as _, StreamConsumer};
use tokio::time::Instant;

use super::{KafkaError, KafkaRecord, client_config};
use crate::config::KafkaConfig;
use crate::domain::{Offset, Partition, TopicName};

/// Where to read a partition from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssignedPartition {
    pub topic: TopicName,
    pub partition: Partition,
    pub offset: Offset,
}

/// Reads assigned partitions from given offsets. It joins no group and commits nothing: the store
/// knows what was read.
pub struct DlqConsumer {
    consumer: StreamConsumer,
}

impl DlqConsumer {
    pub fn new(config: &KafkaConfig) -> Result<Self, KafkaError> {
        Self::with_isolation(config, "read_committed")
    }

    /// One that also sees records of open and aborted transactions, to look for what was sent.
    pub(super) fn reading_uncommitted(config: &KafkaConfig) -> Result<Self, KafkaError> {
        Self::with_isolation(config, "read_uncommitted")
    }

    fn with_isolation(config: &KafkaConfig, isolation: &str) -> Result<Self, KafkaError> {
        let mut client = client_config(config);
        client
            // Needed by librdkafka although no group is joined.
            .set("group.id", "redrive-intake")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            // An offset that is gone must be seen as a gap, never skipped in silence.
            .set("auto.offset.reset", "error")
            .set("isolation.level", isolation)
            .set("queued.max.messages.kbytes", "16384")
            .set("fetch.message.max.bytes", "1048576")
            .set("fetch.wait.max.ms", "200");
        Ok(Self {
            consumer: client.create().map_err(KafkaError::Client)?,
        })
    }

    /// Replaces what is read. Records that were fetched for the old assignment may still come.
    pub fn assign(&self, partitions: &[AssignedPartition]) -> Result<(), KafkaError> {
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for assigned in partitions {
            let offset = rdkafka::Offset::Offset(assigned.offset.0);
            list.add_partition_offset(assigned.topic.as_str(), assigned.partition.0, offset)
                .map_err(KafkaError::Assign)?;
        }
        self.consumer.assign(&list).map_err(KafkaError::Assign)
    }

    /// Records in the order of their partitions: waits up to `max_wait` for the first, then takes what
    /// is there, up to `max_records`. Dropping the future loses nothing that was not returned, except
    /// that it has to be assigned again to be read again.
    pub async fn next_batch(
        &self,
        max_records: usize,
        max_wait: Duration,
    ) -> Result<Vec<KafkaRecord>, KafkaError> {
        let mut batch = Vec::new();
        let deadline = Instant::now() + max_wait;
        let Ok(first) = tokio::time::timeout_at(deadline, self.consumer.recv()).await else {
            return Ok(batch);
        };
        batch.push(KafkaRecord::from(&first.map_err(KafkaError::Consume)?));
        while batch.len() < max_records {
            match self.consumer.recv().now_or_never() {
                Some(Ok(record)) => batch.push(KafkaRecord::from(&record)),
                // What was read so far is returned first; the error comes again with the next call
                // or with the assignment that follows it.
                Some(Err(error)) => {
                    tracing::debug!(%error, "reading stopped in the middle of a batch");
                    break;
                }
                None => break,
            }
        }
        Ok(batch)
    }
}

impl DlqConsumer {
    /// Whether everything before `end` was read, also where the last offsets are transaction markers,
    /// which no consumer sees.
    pub(super) fn position_reached(
        &self,
        topic: &TopicName,
        partition: Partition,
        end: Offset,
    ) -> Result<bool, KafkaError> {
        let positions = self.consumer.position().map_err(KafkaError::Consume)?;
        let position = positions.find_partition(topic.as_str(), partition.0);
        Ok(position.is_some_and(|found| match found.offset() {
            rdkafka::Offset::Offset(next) => next >= end.0,
            _ => false,
        }))
    }
}
