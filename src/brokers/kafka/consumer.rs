use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _};
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{Consumer as _, MessageStream, StreamConsumer};
use rdkafka::error::KafkaError as KafkaClientError;
use rdkafka::types::RDKafkaErrorCode;
use tokio::time::Instant;

use super::client_context::Context;
use super::{KafkaError, KafkaRecord, client_config};
use crate::config::KafkaConfig;
use crate::domain::{Offset, Partition, TopicName};

/// A batch is held in memory whole; it ends with the record that reaches this size.
const BATCH_BYTES: usize = 8 * 1024 * 1024;

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
    pub(super) consumer: StreamConsumer<Context>,
    /// An error that came behind records.
    postponed: Mutex<Option<KafkaClientError>>,
}

impl DlqConsumer {
    pub fn new(config: &KafkaConfig) -> Result<Self, KafkaError> {
        Self::with(config, &[("isolation.level", "read_committed")])
    }

    /// One that also sees records of open and aborted transactions, to look for what was sent, and
    /// that says by an error when it has read everything there is.
    pub(super) fn to_the_end(config: &KafkaConfig) -> Result<Self, KafkaError> {
        let settings = [
            ("isolation.level", "read_uncommitted"),
            ("enable.partition.eof", "true"),
        ];
        Self::with(config, &settings)
    }

    pub(super) fn with(
        config: &KafkaConfig,
        settings: &[(&str, &str)],
    ) -> Result<Self, KafkaError> {
        let mut client = client_config(config);
        client
            // Needed by librdkafka although no group is joined.
            .set("group.id", "redrive-intake")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            // An offset that is gone must be seen as a gap, never skipped in silence.
            .set("auto.offset.reset", "error")
            .set("queued.max.messages.kbytes", "16384")
            // While that is full it would pause for a second, in which a fast reader has long emptied it.
            .set("fetch.queue.backoff.ms", "10")
            // One answer, which librdkafka holds whole; a record that is larger is still fetched.
            .set("fetch.max.bytes", "16777216")
            .set("fetch.message.max.bytes", "1048576")
            .set("fetch.wait.max.ms", "200");
        for (key, value) in settings {
            client.set(*key, *value);
        }
        Ok(Self {
            consumer: client
                .create_with_context(Context::new(config))
                .map_err(KafkaError::Client)?,
            postponed: Mutex::new(None),
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
        self.consumer.assign(&list).map_err(KafkaError::Assign)?;
        // What was wrong with the old assignment shows again if it still is.
        self.postponed().take();
        Ok(())
    }

    /// Records in the order of their partitions: waits up to `max_wait` for the first, then takes what
    /// is there, up to `max_records` or 8 MiB. An error behind records is returned by the next call, so
    /// that neither is lost: librdkafka tells only once that an offset is gone, and the partition then
    /// stands still until it is assigned again. Dropping the future loses nothing.
    pub async fn next_batch(
        &self,
        max_records: usize,
        max_wait: Duration,
    ) -> Result<Vec<KafkaRecord>, KafkaError> {
        if let Some(error) = self.postponed().take() {
            return Err(KafkaError::Consume(error));
        }
        // One for the whole batch: each takes its place among the consumer's wakers, and gives it back.
        let mut records = self.consumer.stream();
        let Some(first) = first_record(&mut records, Instant::now() + max_wait).await? else {
            return Ok(Vec::new());
        };
        let mut bytes = first.message.size();
        let mut batch = vec![first];
        while batch.len() < max_records && bytes < BATCH_BYTES {
            match records.next().now_or_never().flatten() {
                Some(Ok(record)) => {
                    let record = KafkaRecord::copied(&record, batch.last());
                    bytes += record.message.size();
                    batch.push(record);
                }
                Some(Err(error)) if is_passing(&error) => {}
                Some(Err(error)) => {
                    *self.postponed() = Some(error);
                    break;
                }
                None => break,
            }
        }
        Ok(batch)
    }

    fn postponed(&self) -> MutexGuard<'_, Option<KafkaClientError>> {
        self.postponed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

async fn first_record(
    records: &mut MessageStream<'_, Context>,
    deadline: Instant,
) -> Result<Option<KafkaRecord>, KafkaError> {
    loop {
        match tokio::time::timeout_at(deadline, records.next()).await {
            Ok(Some(Ok(record))) => return Ok(Some(KafkaRecord::copied(&record, None))),
            Ok(Some(Err(error))) if is_passing(&error) => {}
            Ok(Some(Err(error))) => return Err(KafkaError::Consume(error)),
            Ok(None) | Err(_) => return Ok(None),
        }
    }
}

/// One broker of several is out of reach: librdkafka reads on from the others and comes back to it by
/// itself. When none is left it says so with an error of its own.
fn is_passing(error: &KafkaClientError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::Resolve)
    )
}
