use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use kafka_protocol::messages::{ApiKey, MetadataRequest};

use super::answers::{self, BrokerAddress, Metadata, TopicMetadata};
use super::connection::Connection;
use super::error::{WireError, error_text};
use super::groups::{self, BrokerGroups};
use super::offsets::{self, LogOffsets, PartitionKey};
use super::problems::Problems;
use super::versions;
use crate::config::KafkaConfig;
use crate::domain::{
    GroupSample, KafkaSample, Offset, Partition, PartitionSample, SampleCost, Timestamp,
    TopicSample,
};

/// Brokers that are asked at once.
const BROKERS_AT_ONCE: usize = 16;

/// Far more than any cluster has: a peer must not make Redrive connect everywhere.
const MOST_BROKERS: usize = 1_000;

/// Open connections that are tried for the metadata before the bootstrap servers are.
const CONNECTIONS_TRIED: usize = 2;

/// Samples one cluster. Keeps its connections between samples.
#[derive(Debug)]
pub struct KafkaSampler {
    bootstrap_servers: Vec<String>,
    request_timeout: Duration,
    connections: HashMap<String, Connection>,
    /// Requests on connections that broke meanwhile.
    lost_requests: Vec<&'static str>,
}

impl KafkaSampler {
    pub fn new(config: &KafkaConfig, request_timeout: Duration) -> Self {
        Self {
            bootstrap_servers: config.bootstrap_servers.clone(),
            request_timeout,
            connections: HashMap::new(),
            lost_requests: Vec::new(),
        }
    }

    /// Reads everything once. A broker of several that does not answer costs only what it leads and
    /// coordinates, which is said in [`KafkaSample::problems`].
    pub async fn sample(&mut self) -> Result<KafkaSample, WireError> {
        let started = Instant::now();
        let mut metadata = self.metadata().await?;
        let mut problems = Problems::default();
        note_what_is_missing(&mut metadata, &mut problems);
        let addresses: Vec<String> = metadata.brokers.iter().map(address).collect();
        self.connections.retain(|broker, _| {
            addresses.contains(broker) || self.bootstrap_servers.contains(broker)
        });

        let committed_at = Timestamp::now();
        let groups = self.groups(&metadata.brokers, &mut problems).await?;
        let ends_at = Timestamp::now();
        let offsets = self.offsets(&metadata, &mut problems).await?;

        let (requests, requests_by_api) = self.take_requests();
        Ok(KafkaSample {
            cluster_id: metadata.cluster_id,
            brokers: u32::try_from(metadata.brokers.len()).unwrap_or(u32::MAX),
            topics: metadata
                .topics
                .into_iter()
                .map(|topic| topic_sample(topic, &offsets))
                .collect(),
            groups,
            committed_at,
            ends_at,
            cost: SampleCost {
                requests,
                requests_by_api,
                duration: started.elapsed(),
            },
            problems: problems.into_texts(),
        })
    }

    /// Asks the brokers that are connected already, then the bootstrap servers.
    async fn metadata(&mut self) -> Result<Metadata, WireError> {
        let connected = self.connections.keys().take(CONNECTIONS_TRIED).cloned();
        let servers: Vec<String> = connected.chain(self.bootstrap_servers.clone()).collect();
        let mut last_error = None;
        for server in servers {
            match self.on(server, read_metadata).await {
                Ok(metadata) => return Ok(metadata),
                Err(error) => last_error = Some(error),
            }
        }
        let source = last_error.unwrap_or_else(|| WireError::Encode("no server".to_owned()));
        let servers = self.bootstrap_servers.join(", ");
        Err(WireError::NoBroker {
            servers,
            source: Box::new(source),
        })
    }

    /// Runs one exchange on the connection to a broker; a connection that failed is dropped.
    async fn on<T>(
        &mut self,
        broker: String,
        exchange: impl AsyncFnOnce(&mut Connection) -> Result<T, WireError>,
    ) -> Result<T, WireError> {
        let known = self.connections.remove(&broker);
        let (connection, result) =
            on_connection(known, &broker, self.request_timeout, exchange).await;
        self.keep(broker, connection, result.is_ok());
        result
    }

    fn keep(&mut self, broker: String, connection: Option<Connection>, healthy: bool) {
        let Some(mut connection) = connection else {
            return;
        };
        if healthy {
            self.connections.insert(broker, connection);
        } else {
            self.lost_requests.extend(connection.take_requests());
        }
    }

    async fn groups(
        &mut self,
        brokers: &[BrokerAddress],
        problems: &mut Problems,
    ) -> Result<Vec<GroupSample>, WireError> {
        let work = brokers.iter().map(|broker| (address(broker), ())).collect();
        let results = self
            .on_all(work, |connection, ()| Box::pin(groups::read(connection)))
            .await;
        let answers: Vec<BrokerGroups> = answered(results, problems)?;
        // A group that moves may be reported by two brokers; the one with offsets knows more.
        let mut groups: BTreeMap<String, GroupSample> = BTreeMap::new();
        for answer in answers {
            problems.extend(answer.problems);
            for group in answer.groups {
                let known = groups.get(group.group.as_str());
                if known.is_none_or(|known| known.committed.len() < group.committed.len()) {
                    groups.insert(group.group.as_str().to_owned(), group);
                }
            }
        }
        Ok(groups.into_values().collect())
    }

    async fn offsets(
        &mut self,
        metadata: &Metadata,
        problems: &mut Problems,
    ) -> Result<LogOffsets, WireError> {
        let mut led = partitions_by_leader(&metadata.topics);
        let work = metadata
            .brokers
            .iter()
            .filter_map(|broker| Some((address(broker), led.remove(&broker.id)?)));
        let results = self
            .on_all(work.collect(), |connection, led: &Vec<_>| {
                Box::pin(offsets::read(connection, led))
            })
            .await;
        let mut all = LogOffsets::default();
        for answer in answered(results, problems)? {
            problems.extend(answer.problems);
            all.log_start.extend(answer.log_start);
            all.high_watermark.extend(answer.high_watermark);
            all.last_stable.extend(answer.last_stable);
        }
        Ok(all)
    }

    /// Runs an exchange on all brokers, on some of them at once.
    async fn on_all<W, T>(
        &mut self,
        work: Vec<(String, W)>,
        exchange: impl for<'c> Fn(
            &'c mut Connection,
            &'c W,
        ) -> futures_util::future::BoxFuture<'c, Result<T, WireError>>,
    ) -> Vec<Result<T, WireError>> {
        let (exchange, timeout) = (&exchange, self.request_timeout);
        let tasks: Vec<_> = work
            .into_iter()
            .map(|(broker, work)| {
                let known = self.connections.remove(&broker);
                async move {
                    let run = async |connection: &mut Connection| exchange(connection, &work).await;
                    let (connection, result) = on_connection(known, &broker, timeout, run).await;
                    (broker, connection, result)
                }
            })
            .collect();
        let mut results = Vec::with_capacity(tasks.len());
        let mut done = futures_util::stream::iter(tasks).buffer_unordered(BROKERS_AT_ONCE);
        while let Some((broker, connection, result)) = done.next().await {
            self.keep(broker, connection, result.is_ok());
            results.push(result);
        }
        results
    }

    fn take_requests(&mut self) -> (u64, Vec<(String, u64)>) {
        let open = self
            .connections
            .values_mut()
            .flat_map(Connection::take_requests);
        let mut by_api: BTreeMap<&str, u64> = BTreeMap::new();
        for api in open.chain(std::mem::take(&mut self.lost_requests)) {
            *by_api.entry(api).or_default() += 1;
        }
        let total = by_api.values().sum();
        (
            total,
            by_api
                .into_iter()
                .map(|(api, count)| (api.to_owned(), count))
                .collect(),
        )
    }
}

async fn on_connection<T>(
    known: Option<Connection>,
    broker: &str,
    timeout: Duration,
    exchange: impl AsyncFnOnce(&mut Connection) -> Result<T, WireError>,
) -> (Option<Connection>, Result<T, WireError>) {
    let mut connection = match known {
        Some(connection) => connection,
        None => match Connection::open(broker, timeout).await {
            Ok(connection) => connection,
            Err(error) => return (None, Err(error)),
        },
    };
    let result = exchange(&mut connection).await;
    (Some(connection), result)
}

/// The answers; an error only if nobody answered.
fn answered<T>(
    results: Vec<Result<T, WireError>>,
    problems: &mut Problems,
) -> Result<Vec<T>, WireError> {
    let mut answers = Vec::with_capacity(results.len());
    let mut last_error = None;
    for result in results {
        match result {
            Ok(answer) => answers.push(answer),
            Err(error) => {
                problems.push(error.to_string());
                last_error = Some(error);
            }
        }
    }
    match last_error {
        Some(error) if answers.is_empty() => Err(error),
        _ => Ok(answers),
    }
}

async fn read_metadata(connection: &mut Connection) -> Result<Metadata, WireError> {
    let api = "Metadata";
    let version = connection.required_version(ApiKey::Metadata, versions::METADATA, api)?;
    let request = MetadataRequest::default()
        .with_topics(None)
        .with_allow_auto_topic_creation(false);
    let body = connection
        .call(ApiKey::Metadata, version, api, &request)
        .await?;
    answers::metadata(&body, version).map_err(|source| connection.garbage(api, source))
}

fn address(broker: &BrokerAddress) -> String {
    if broker.host.contains(':') {
        return format!("[{}]:{}", broker.host, broker.port);
    }
    format!("{}:{}", broker.host, broker.port)
}

fn partitions_by_leader(topics: &[TopicMetadata]) -> HashMap<i32, Vec<(String, Vec<i32>)>> {
    let mut led: HashMap<i32, Vec<(String, Vec<i32>)>> = HashMap::new();
    for topic in topics.iter().filter(|topic| topic.error == 0) {
        for partition in topic
            .partitions
            .iter()
            .filter(|partition| partition.leader >= 0)
        {
            let of_leader = led.entry(partition.leader).or_default();
            match of_leader.last_mut() {
                Some((name, partitions)) if *name == topic.name => {
                    partitions.push(partition.partition);
                }
                _ => of_leader.push((topic.name.clone(), vec![partition.partition])),
            }
        }
    }
    led
}

fn topic_sample(topic: TopicMetadata, offsets: &LogOffsets) -> TopicSample {
    let partitions = topic.partitions.iter().map(|partition| {
        let key: PartitionKey = (topic.name.clone(), partition.partition);
        PartitionSample {
            partition: Partition(partition.partition),
            log_start: offsets.log_start.get(&key).copied().map(Offset),
            high_watermark: offsets.high_watermark.get(&key).copied().map(Offset),
            last_stable: offsets.last_stable.get(&key).copied().map(Offset),
            replicas: partition.replicas,
            in_sync_replicas: partition.in_sync_replicas,
        }
    });
    TopicSample {
        partitions: partitions.collect(),
        topic: topic.name.into(),
        topic_id: topic.topic_id,
        internal: topic.internal,
    }
}

/// Says what the metadata itself lack, and cuts off a list of brokers that cannot be true.
fn note_what_is_missing(metadata: &mut Metadata, problems: &mut Problems) {
    if metadata.brokers.len() > MOST_BROKERS {
        let more = metadata.brokers.len() - MOST_BROKERS;
        problems.push(format!(
            "{more} brokers beyond the first {MOST_BROKERS} are not asked"
        ));
        metadata.brokers.truncate(MOST_BROKERS);
    }
    for topic in metadata.topics.iter().filter(|topic| topic.error != 0) {
        problems.push(format!("topic {}: {}", topic.name, error_text(topic.error)));
    }
    let partitions = metadata.topics.iter().flat_map(|topic| &topic.partitions);
    let leaderless = partitions.filter(|partition| partition.leader < 0).count();
    if leaderless > 0 {
        problems.push(format!(
            "{leaderless} partitions have no leader; is a broker down?"
        ));
    }
}
