use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{CommitMode, Consumer as _};

use super::{AssignedPartition, DlqConsumer, KafkaError, KafkaRecord};
use crate::config::KafkaConfig;
use crate::domain::{ConsumerGroup, Offset, Partition, TopicName};

/// A member of a consumer group that follows topics in batches, so that several Redrives divide their
/// partitions. A partition that the group never read, or whose offset is gone, is read from its end.
pub struct TapConsumer {
    inner: DlqConsumer,
}

impl TapConsumer {
    pub fn new(config: &KafkaConfig, group: &ConsumerGroup) -> Result<Self, KafkaError> {
        let settings = [
            ("group.id", group.as_str()),
            ("isolation.level", "read_committed"),
            ("auto.offset.reset", "latest"),
            ("partition.assignment.strategy", "cooperative-sticky"),
        ];
        let inner = DlqConsumer::with(config, &settings)?;
        Ok(Self { inner })
    }

    /// Replaces what is followed.
    pub fn subscribe(&self, topics: &BTreeSet<TopicName>) -> Result<(), KafkaError> {
        let topics: Vec<&str> = topics.iter().map(TopicName::as_str).collect();
        let subscribed = self.inner.consumer.subscribe(&topics);
        subscribed.map_err(KafkaError::Assign)
    }

    /// As [`DlqConsumer::next_batch`].
    pub async fn next_batch(
        &self,
        max_records: usize,
        max_wait: Duration,
    ) -> Result<Vec<KafkaRecord>, KafkaError> {
        self.inner.next_batch(max_records, max_wait).await
    }

    /// Leaves out what lies before these offsets, in the partitions that are assigned.
    pub fn skip_to(&self, ends: &[AssignedPartition]) -> Result<(), KafkaError> {
        let consumer = &self.inner.consumer;
        let assigned = consumer.assignment().map_err(KafkaError::Assign)?;
        let mut skipped = TopicPartitionList::new();
        for end in ends {
            let (topic, partition) = (end.topic.as_str(), end.partition.0);
            if assigned.find_partition(topic, partition).is_none() {
                continue;
            }
            let offset = rdkafka::Offset::Offset(end.offset.0);
            // Without a timeout it does not wait for the broker.
            let sought = consumer.seek(topic, partition, offset, Duration::ZERO);
            sought.map_err(KafkaError::Assign)?;
            skipped
                .add_partition_offset(topic, partition, offset)
                .map_err(KafkaError::Commit)?;
        }
        // Else a partition in which nothing comes any more would be late for ever.
        let committed = consumer.commit(&skipped, CommitMode::Async);
        committed.map_err(KafkaError::Commit)
    }

    /// Commits that these records are done. Asynchronous: after a commit that failed they may come again.
    pub fn commit(&self, batch: &[KafkaRecord]) -> Result<(), KafkaError> {
        let mut done: HashMap<(&TopicName, Partition), Offset> = HashMap::new();
        for record in batch {
            done.insert((&record.topic, record.partition), record.offset);
        }
        let mut list = TopicPartitionList::with_capacity(done.len());
        for ((topic, partition), offset) in done {
            let next = rdkafka::Offset::Offset(offset.0 + 1);
            list.add_partition_offset(topic.as_str(), partition.0, next)
                .map_err(KafkaError::Commit)?;
        }
        let committed = self.inner.consumer.commit(&list, CommitMode::Async);
        committed.map_err(KafkaError::Commit)
    }
}
