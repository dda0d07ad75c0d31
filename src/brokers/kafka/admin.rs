use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError as KafkaClientError;
use rdkafka::metadata::MetadataBroker;
use rdkafka::metadata::MetadataPartition;
use rdkafka::types::RDKafkaErrorCode;

use super::client_log::ClientLog;
use super::{KafkaError, client_config};
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
}

/// The first offset of a partition and the one after its last replicated record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watermarks {
    pub low: Offset,
    pub high: Offset,
}

/// Looks at topics and creates them. Cheap to clone.
#[derive(Clone)]
pub struct KafkaAdmin {
    admin: Arc<AdminClient<ClientLog>>,
    reader: Arc<BaseConsumer<ClientLog>>,
}

impl KafkaAdmin {
    pub fn new(config: &KafkaConfig) -> Result<Self, KafkaError> {
        let mut client = client_config(config);
        let admin = client
            .create_with_context(ClientLog)
            .map_err(KafkaError::Client)?;
        // Otherwise librdkafka answers the last stable offset where the high watermark was asked for.
        client.set("isolation.level", "read_uncommitted");
        Ok(Self {
            admin: Arc::new(admin),
            reader: Arc::new(
                client
                    .create_with_context(ClientLog)
                    .map_err(KafkaError::Client)?,
            ),
        })
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
        let results = self.admin.create_topics([&wanted], &options).await;
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
        let results = self.admin.delete_topics(&[topic.as_str()], &options).await;
        for result in results.map_err(|error| failed(error.to_string()))? {
            result.map_err(|(_, code)| failed(code.to_string()))?;
        }
        Ok(())
    }

    /// `None` if there is no such topic.
    pub async fn topic(&self, topic: &TopicName) -> Result<Option<TopicDescription>, KafkaError> {
        let (reader, name) = (Arc::clone(&self.reader), topic.clone());
        let fetch = move || reader.fetch_metadata(Some(name.as_str()), REQUEST_TIMEOUT);
        let metadata = tokio::task::spawn_blocking(fetch).await?;
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

    pub async fn watermarks(
        &self,
        topic: &TopicName,
        partition: Partition,
    ) -> Result<Watermarks, KafkaError> {
        let (reader, name) = (Arc::clone(&self.reader), topic.clone());
        let fetch = move || reader.fetch_watermarks(name.as_str(), partition.0, REQUEST_TIMEOUT);
        match tokio::task::spawn_blocking(fetch).await? {
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
        let failed = |reason: String| KafkaError::BrokerConfig { reason };
        let reader = Arc::clone(&self.reader);
        let fetch = move || {
            let metadata = reader.fetch_metadata(None, REQUEST_TIMEOUT)?;
            let ids = metadata.brokers().iter().map(MetadataBroker::id);
            Ok::<Vec<i32>, rdkafka::error::KafkaError>(ids.collect())
        };
        let brokers = tokio::task::spawn_blocking(fetch).await?;
        let options = AdminOptions::new().request_timeout(Some(REQUEST_TIMEOUT));
        let mut longest = None;
        for broker in brokers.map_err(|error| failed(error.to_string()))? {
            // librdkafka asks one broker a call.
            let resource = ResourceSpecifier::Broker(broker);
            let results = self.admin.describe_configs([&resource], &options).await;
            for result in results.map_err(|error| failed(error.to_string()))? {
                let config = result.map_err(|code| failed(code.to_string()))?;
                let setting = config.get("replica.lag.time.max.ms");
                let millis = setting.and_then(|entry| entry.value.as_ref()?.parse().ok());
                longest = longest.max(millis);
            }
        }
        longest
            .map(Duration::from_millis)
            .ok_or_else(|| failed("no broker tells replica.lag.time.max.ms".to_owned()))
    }

    /// The effective configuration of a topic, defaults included.
    pub async fn topic_config(
        &self,
        topic: &TopicName,
    ) -> Result<HashMap<String, String>, KafkaError> {
        let failed = |reason: String| KafkaError::TopicConfig {
            topic: topic.clone(),
            reason,
        };
        let resource = ResourceSpecifier::Topic(topic.as_str());
        let options = AdminOptions::new().request_timeout(Some(REQUEST_TIMEOUT));
        let results = self.admin.describe_configs([&resource], &options).await;
        let mut settings = HashMap::new();
        for result in results.map_err(|error| failed(error.to_string()))? {
            let config = result.map_err(|code| failed(code.to_string()))?;
            for entry in config.entries {
                settings.extend(entry.value.map(|value| (entry.name, value)));
            }
        }
        Ok(settings)
    }
}

fn replicas_of(partition: &MetadataPartition) -> PartitionReplicas {
    PartitionReplicas {
        partition: Partition(partition.id()),
        replicas: partition.replicas().len(),
        in_sync_replicas: partition.isr().len(),
    }
}
