use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{CommitMode, Consumer as _, StreamConsumer};

use super::client_context::Context;
use super::{KafkaError, KafkaRecord, client_config};
use crate::config::KafkaConfig;
use crate::domain::{ConsumerGroup, TopicName};

/// Where a group starts that has committed nothing yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartAt {
    Earliest,
    Latest,
}

/// An ordinary member of a consumer group that commits by hand: the sample workload's consumers.
pub struct GroupConsumer {
    consumer: StreamConsumer<Context>,
}

impl GroupConsumer {
    pub fn subscribe(
        config: &KafkaConfig,
        group: &ConsumerGroup,
        topics: &[TopicName],
        start_at: StartAt,
    ) -> Result<Self, KafkaError> {
        let start = match start_at {
            StartAt::Earliest => "earliest",
            StartAt::Latest => "latest",
        };
        let consumer: StreamConsumer<Context> = client_config(config)
            .set("group.id", group.as_str())
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", start)
            .set("session.timeout.ms", "10000")
            .set("queued.max.messages.kbytes", "4096")
            .set("fetch.wait.max.ms", "200")
            .create_with_context(Context::new(config))
            .map_err(KafkaError::Client)?;
        let topics: Vec<&str> = topics.iter().map(TopicName::as_str).collect();
        consumer.subscribe(&topics).map_err(KafkaError::Assign)?;
        Ok(Self { consumer })
    }

    /// The next record, or `None` if none came within `max_wait`.
    pub async fn next(&self, max_wait: Duration) -> Result<Option<KafkaRecord>, KafkaError> {
        match tokio::time::timeout(max_wait, self.consumer.recv()).await {
            Ok(Ok(record)) => Ok(Some(KafkaRecord::copied(&record, None))),
            Ok(Err(error)) => Err(KafkaError::Consume(error)),
            Err(_) => Ok(None),
        }
    }

    /// Commits that this record and all before it in its partition are done. Asynchronous: an error
    /// shows when the next commit fails as well.
    pub fn commit(&self, record: &KafkaRecord) -> Result<(), KafkaError> {
        let mut list = TopicPartitionList::with_capacity(1);
        let next = rdkafka::Offset::Offset(record.offset.0 + 1);
        list.add_partition_offset(record.topic.as_str(), record.partition.0, next)
            .and_then(|()| self.consumer.commit(&list, CommitMode::Async))
            .map_err(KafkaError::Commit)
    }
}
