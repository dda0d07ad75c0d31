use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Names;
use super::backoff::{Backoff, Stopped, pause};
use super::failure::{GivenUp, ProcessingError, kafka_dead_letter};
use crate::brokers::kafka::{
    GroupConsumer, KafkaAdmin, KafkaError, KafkaRecord, ReplayProducer, partition_for_key,
};
use crate::config::KafkaConfig;
use crate::domain::{ConsumerGroup, Message, Partition, Timestamp, TopicName};
use crate::error_chain;

const DELIVERY_TIMEOUT: Duration = Duration::from_secs(10);
const ORDERS_PARTITIONS: i32 = 3;
const PAYMENTS_PARTITIONS: i32 = 2;
/// A producer that fails so often in a row is replaced: a fatal error of librdkafka never heals.
const FAILURES_BEFORE_REPLACEMENT: u32 = 3;

/// A topic that is there, with the number of its partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Topic {
    pub(super) name: TopicName,
    partitions: u32,
}

impl Topic {
    fn partition_for(&self, message: &Message) -> Partition {
        partition_for_key(message.key.as_deref(), self.partitions)
    }

    /// The partition of the same number, if there are as many.
    fn partition_like(&self, source: Partition) -> Partition {
        let partitions = i32::try_from(self.partitions).unwrap_or(i32::MAX).max(1);
        Partition(source.0.rem_euclid(partitions))
    }
}

/// The topics of the workload.
#[derive(Clone, Debug)]
pub(super) struct Topics {
    pub(super) orders: Topic,
    pub(super) orders_dead: Topic,
    pub(super) payments: Topic,
    pub(super) payments_dead: Topic,
}

/// Creates the topics that are missing, however long Kafka needs to start.
pub(super) async fn provide_topics(
    admin: &KafkaAdmin,
    names: &Names,
    stop: &CancellationToken,
) -> Result<Topics, Stopped> {
    let (orders, payments) = (names.orders_topic(), names.payments_topic());
    let orders_dead = Names::dead_letter_topic(&orders);
    let payments_dead = Names::dead_letter_topic(&payments);
    Ok(Topics {
        orders: provide_topic(admin, orders, ORDERS_PARTITIONS, stop).await?,
        orders_dead: provide_topic(admin, orders_dead, ORDERS_PARTITIONS, stop).await?,
        payments: provide_topic(admin, payments, PAYMENTS_PARTITIONS, stop).await?,
        payments_dead: provide_topic(admin, payments_dead, PAYMENTS_PARTITIONS, stop).await?,
    })
}

async fn provide_topic(
    admin: &KafkaAdmin,
    name: TopicName,
    partitions: i32,
    stop: &CancellationToken,
) -> Result<Topic, Stopped> {
    let mut backoff = Backoff::new();
    loop {
        let created = create_and_describe(admin, &name, partitions);
        let created = tokio::select! {
            created = created => created,
            () = stop.cancelled() => return Err(Stopped),
        };
        match created {
            Ok(Some(topic)) => return Ok(topic),
            Ok(None) => tracing::debug!(topic = %name, "the new topic has no metadata yet"),
            Err(error) => {
                tracing::warn!(topic = %name, error = error_chain(&error), "the topic cannot be provided; trying again");
            }
        }
        backoff.wait(stop).await?;
    }
}

async fn create_and_describe(
    admin: &KafkaAdmin,
    name: &TopicName,
    partitions: i32,
) -> Result<Option<Topic>, KafkaError> {
    admin.create_topic(name, partitions, &[]).await?;
    let description = admin.topic(name).await?;
    Ok(description.map(|description| Topic {
        name: name.clone(),
        partitions: u32::try_from(description.partitions.len()).unwrap_or(1),
    }))
}

/// Publishes until Kafka has it. A record that was perhaps sent is sent again: consumers recognise
/// duplicates.
pub(super) struct Publisher {
    config: KafkaConfig,
    producer: RwLock<Arc<ReplayProducer>>,
}

impl Publisher {
    pub(super) fn new(config: &KafkaConfig) -> Result<Self, KafkaError> {
        let producer = ReplayProducer::new(config, DELIVERY_TIMEOUT)?;
        Ok(Self {
            config: config.clone(),
            producer: RwLock::new(Arc::new(producer)),
        })
    }

    /// To the partition of the message's key.
    pub(super) async fn publish(
        &self,
        topic: &Topic,
        message: &Message,
        stop: &CancellationToken,
    ) -> Result<(), Stopped> {
        let partition = topic.partition_for(message);
        self.publish_to(topic, partition, message, stop).await
    }

    async fn publish_to(
        &self,
        topic: &Topic,
        partition: Partition,
        message: &Message,
        stop: &CancellationToken,
    ) -> Result<(), Stopped> {
        let mut backoff = Backoff::new();
        let mut failures = 0;
        loop {
            let producer = self.current_producer();
            let sent = tokio::select! {
                sent = producer.send(&topic.name, partition, message) => sent,
                () = stop.cancelled() => return Err(Stopped),
            };
            let Err(error) = sent else {
                return Ok(());
            };
            tracing::warn!(topic = %topic.name, error = error_chain(&error), "publishing failed; trying again");
            failures += 1;
            if failures % FAILURES_BEFORE_REPLACEMENT == 0 {
                self.replace(&producer);
            }
            backoff.wait(stop).await?;
        }
    }

    /// Puts a record that failed, with the reason, into the DLQ topic.
    pub(super) async fn dead_letter(
        &self,
        (record, group): (&KafkaRecord, &ConsumerGroup),
        (error, attempts): (&ProcessingError, u32),
        dead_letters: &Topic,
        stop: &CancellationToken,
    ) -> Result<(), Stopped> {
        let given_up = GivenUp {
            topic: &record.topic,
            partition: record.partition,
            offset: record.offset,
            timestamp: record.timestamp,
            group,
            attempts,
            now: Timestamp::now(),
        };
        let letter = kafka_dead_letter(&record.message, error, &given_up);
        tracing::debug!(class = error.class(), topic = %dead_letters.name, "an event failed");
        let partition = dead_letters.partition_like(record.partition);
        self.publish_to(dead_letters, partition, &letter, stop)
            .await
    }

    fn current_producer(&self) -> Arc<ReplayProducer> {
        Arc::clone(&self.producer.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn replace(&self, failed: &Arc<ReplayProducer>) {
        let mut current = self
            .producer
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        // Another service may have replaced it meanwhile.
        if !Arc::ptr_eq(&current, failed) {
            return;
        }
        match ReplayProducer::new(&self.config, DELIVERY_TIMEOUT) {
            Ok(producer) => *current = Arc::new(producer),
            Err(error) => tracing::warn!(
                error = error_chain(&error),
                "the producer could not be replaced"
            ),
        }
    }
}

/// The next record, however long Kafka is away.
///
/// librdkafka reconnects by itself and queues a note of every attempt that failed, hundreds in a
/// minute, in front of the records that come afterwards. So the notes are read quickly: a backoff after
/// each would still wait for old ones long after Kafka is back.
pub(super) async fn next_record(
    consumer: &GroupConsumer,
    stop: &CancellationToken,
) -> Result<KafkaRecord, Stopped> {
    const WAIT: Duration = Duration::from_secs(5);
    const BETWEEN_NOTES: Duration = Duration::from_millis(10);
    let mut outage_is_logged = false;
    loop {
        let next = tokio::select! {
            next = consumer.next(WAIT) => next,
            () = stop.cancelled() => return Err(Stopped),
        };
        match next {
            Ok(Some(record)) => return Ok(record),
            Ok(None) => {}
            Err(error) => {
                if !outage_is_logged {
                    let error = error_chain(&error);
                    tracing::warn!(error, "consuming failed; waiting for Kafka");
                }
                outage_is_logged = true;
                pause(BETWEEN_NOTES, stop).await?;
            }
        }
    }
}

/// Commits a record that was handled. If that fails the record comes again, which is expected.
pub(super) fn commit(consumer: &GroupConsumer, record: &KafkaRecord) {
    if let Err(error) = consumer.commit(record) {
        tracing::warn!(topic = %record.topic, error = error_chain(&error), "an offset was not committed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_letter_goes_to_the_partition_of_its_source_where_there_is_one() {
        let topic = Topic {
            name: "orders.dlq".into(),
            partitions: 2,
        };
        assert_eq!(topic.partition_like(Partition(1)), Partition(1));
        assert_eq!(topic.partition_like(Partition(2)), Partition(0));
    }
}
