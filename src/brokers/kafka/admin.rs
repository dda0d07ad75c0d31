use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError as KafkaClientError;
use rdkafka::metadata::MetadataPartition;
use rdkafka::types::RDKafkaErrorCode;

use super::client_context::Context;
use super::{KafkaError, client_config, wire};
use crate::config::KafkaConfig;
use crate::domain::{Offset, Partition, TopicName};

const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// A topic as the broker describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicDescription {
    pub partitions: Vec<PartitionReplicas>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionReplicas {
    pub partition: Partition,
    pub replicas: usize,
    pub in_sync_replicas: usize,
    /// Without one nothing can be read or written; librdkafka would wait for it until the request times out.
    pub has_leader: bool,
}

impl TopicDescription {
    pub fn partition(&self, partition: Partition) -> Option<PartitionReplicas> {
        let mut known = self.partitions.iter();
        known.find(|known| known.partition == partition).copied()
    }
}

/// The first offset of a partition and the one after its last replicated record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watermarks {
    pub low: Offset,
    pub high: Offset,
}

/// Events of librdkafka that are served before a request; a new token is one.
const EVENTS_SERVED_WITHIN: Duration = Duration::from_millis(5);

/// Looks at topics and creates them. Cheap to clone.
#[derive(Clone)]
pub struct KafkaAdmin {
    config: Arc<KafkaConfig>,
    reader: Arc<BaseConsumer<Context>>,
}

impl KafkaAdmin {
    pub fn new(config: &KafkaConfig) -> Result<Self, KafkaError> {
        let mut client = client_config(config);
        // Otherwise librdkafka answers the last stable offset where the high watermark was asked for.
        client.set("isolation.level", "read_uncommitted");
        let reader = client.create_with_context(Context::new(config));
        Ok(Self {
            config: Arc::new(config.clone()),
            reader: Arc::new(reader.map_err(KafkaError::Client)?),
        })
    }

    /// The client that changes topics. It never asks for tokens of OAUTHBEARER.
    fn changer(&self) -> Result<AdminClient<Context>, KafkaError> {
        client_config(&self.config)
            .create_with_context(Context::new(&self.config))
            .map_err(KafkaError::Client)
    }

    /// Runs a request that blocks, with a token that is still good.
    async fn read<T: Send + 'static>(
        &self,
        request: impl FnOnce(&BaseConsumer<Context>) -> T + Send + 'static,
    ) -> Result<T, KafkaError> {
        let reader = Arc::clone(&self.reader);
        let work = move || {
            if reader.context().asks_for_tokens() {
                // It is assigned nothing: what comes are events, which this serves.
                let _ = reader.poll(EVENTS_SERVED_WITHIN);
            }
            request(&reader)
        };
        Ok(tokio::task::spawn_blocking(work).await?)
    }

    /// Creates a topic with one replica; one that exists is left as it is.
    pub async fn create_topic(
        &self,
        topic: &TopicName,
        partitions: i32,
        settings: &[(&str, &str)],
    ) -> Result<(), KafkaError> {
        let failed = |reason: String| KafkaError::CreateTopic {
            topic: topic.clone(),
            reason,
        };
        let mut wanted = NewTopic::new(topic.as_str(), partitions, TopicReplication::Fixed(1));
        for (key, value) in settings {
            wanted = wanted.set(key, value);
        }
        let options = AdminOptions::new().operation_timeout(Some(REQUEST_TIMEOUT));
        let results = self.changer()?.create_topics([&wanted], &options).await;
        for result in results.map_err(|error| failed(error.to_string()))? {
            match result {
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((_, code)) => return Err(failed(code.to_string())),
            }
        }
        Ok(())
    }

    pub async fn delete_topic(&self, topic: &TopicName) -> Result<(), KafkaError> {
        let failed = |reason: String| KafkaError::DeleteTopic {
            topic: topic.clone(),
            reason,
        };
        let options = AdminOptions::new().operation_timeout(Some(REQUEST_TIMEOUT));
        let results = self
            .changer()?
            .delete_topics(&[topic.as_str()], &options)
            .await;
        for result in results.map_err(|error| failed(error.to_string()))? {
            result.map_err(|(_, code)| failed(code.to_string()))?;
        }
        Ok(())
    }

    /// `None` if there is no such topic.
    pub async fn topic(&self, topic: &TopicName) -> Result<Option<TopicDescription>, KafkaError> {
        let name = topic.clone();
        let metadata = self
            .read(move |reader| reader.fetch_metadata(Some(name.as_str()), REQUEST_TIMEOUT))
            .await?;
        let failed = |source| KafkaError::Metadata {
            topic: topic.clone(),
            source,
        };
        let metadata = metadata.map_err(failed)?;
        let mut topics = metadata.topics().iter();
        let Some(found) = topics.find(|found| found.name() == topic.as_str()) else {
            return Ok(None);
        };
        match found.error().map(RDKafkaErrorCode::from) {
            None => {}
            Some(
                RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownTopic
                | RDKafkaErrorCode::InvalidTopic
                // It is being created.
                | RDKafkaErrorCode::LeaderNotAvailable,
            ) => return Ok(None),
            // It may well be there: no right to see it, for example.
            Some(code) => return Err(failed(KafkaClientError::MetadataFetch(code))),
        }
        let described = TopicDescription {
            partitions: found.partitions().iter().map(replicas_of).collect(),
        };
        Ok(Some(described).filter(|described| !described.partitions.is_empty()))
    }

    /// The watermarks of a partition as it was described just now, without a wait for a leader that it has not.
    pub async fn watermarks_of(
        &self,
        topic: &TopicName,
        described: &PartitionReplicas,
    ) -> Result<Watermarks, KafkaError> {
        let partition = described.partition;
        if !described.has_leader {
            let topic = topic.clone();
            return Err(KafkaError::NoLeader { topic, partition });
        }
        self.watermarks(topic, partition).await
    }

    pub async fn watermarks(
        &self,
        topic: &TopicName,
        partition: Partition,
    ) -> Result<Watermarks, KafkaError> {
        let name = topic.clone();
        let watermarks = self
            .read(move |reader| {
                reader.fetch_watermarks(name.as_str(), partition.0, REQUEST_TIMEOUT)
            })
            .await?;
        match watermarks {
            Ok((low, high)) => Ok(Watermarks {
                low: Offset(low),
                high: Offset(high),
            }),
            Err(source) => Err(KafkaError::Watermarks {
                topic: topic.clone(),
                partition,
                source,
            }),
        }
    }

    /// How long a follower may lag before it leaves the in-sync replicas, the longest of any broker.
    pub async fn replica_lag_limit(&self) -> Result<Duration, KafkaError> {
        let name = "replica.lag.time.max.ms";
        let values = wire::broker_settings(&self.config, name).await;
        let values = values.map_err(KafkaError::BrokerConfig)?;
        let longest = values.iter().filter_map(|value| value.parse().ok()).max();
        longest
            .map(Duration::from_millis)
            .ok_or(KafkaError::BrokerSettingMissing(name))
    }

    /// The effective configuration of a topic, defaults included.
    pub async fn topic_config(
        &self,
        topic: &TopicName,
    ) -> Result<HashMap<String, String>, KafkaError> {
        let settings = wire::topic_settings(&self.config, topic).await;
        settings.map_err(|source| KafkaError::TopicConfig {
            topic: topic.clone(),
            source,
        })
    }
}

fn replicas_of(partition: &MetadataPartition) -> PartitionReplicas {
    PartitionReplicas {
        partition: Partition(partition.id()),
        replicas: partition.replicas().len(),
        in_sync_replicas: partition.isr().len(),
        has_leader: partition.leader() >= 0,
    }
}
