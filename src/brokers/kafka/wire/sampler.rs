use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use super::answers::{BrokerAddress, Metadata, TopicMetadata};
use super::cluster::{Cluster, address};
use super::error::WireError;
use super::groups::{self, BrokerGroups};
use super::offsets::{self, LogOffsets, PartitionKey};
use super::problems::Problems;
use crate::config::KafkaConfig;
use crate::domain::{
    GroupSample, KafkaSample, Offset, Partition, PartitionSample, SampleCost, Timestamp,
    TopicSample,
};

/// Far more than any cluster has: a peer must not make Redrive connect everywhere.
const MOST_BROKERS: usize = 1_000;

/// For how long a sample looks again for what moves between brokers.
const PATIENCE: Duration = Duration::from_secs(1);

const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(200);

/// What was read, and what could not be.
struct Reading {
    sample: KafkaSample,
    problems: Problems,
}

/// Samples one cluster. Keeps its connections between samples.
#[derive(Debug)]
pub struct KafkaSampler {
    pub(super) cluster: Cluster,
    /// The last sample looked again in vain. What does not pass is no movement, for example a broker that
    /// advertises an address which refuses connections: its cluster is not asked five times each time.
    looked_again_in_vain: bool,
}

impl KafkaSampler {
    pub fn new(config: &KafkaConfig, request_timeout: Duration) -> Self {
        Self {
            cluster: Cluster::new(config, request_timeout),
            looked_again_in_vain: false,
        }
    }

    /// Reads everything once. A broker of several that does not answer costs only what it leads and
    /// coordinates, which is said in [`KafkaSample::problems`]. While leaders and coordinators move, as in a
    /// rolling restart, it looks again for a moment: a group must not vanish because of that.
    pub async fn sample(&mut self) -> Result<KafkaSample, WireError> {
        let started = Instant::now();
        let mut reading = self.read().await?;
        while reading.problems.is_moving()
            && !self.looked_again_in_vain
            && started.elapsed() < PATIENCE
        {
            tokio::time::sleep(LOOK_AGAIN_AFTER).await;
            match self.read().await {
                Ok(again) => reading = again,
                Err(_) => break,
            }
        }
        self.looked_again_in_vain = reading.problems.is_moving();
        let (requests, requests_by_api) = self.cluster.take_requests();
        Ok(KafkaSample {
            cost: SampleCost {
                requests,
                requests_by_api,
                duration: started.elapsed(),
            },
            problems: reading.problems.into_texts(),
            ..reading.sample
        })
    }

    async fn read(&mut self) -> Result<Reading, WireError> {
        let mut metadata = self.cluster.metadata().await?;
        let mut problems = Problems::default();
        note_what_is_missing(&mut metadata, &mut problems);
        self.cluster.keep_only(&metadata.brokers);

        let committed_at = Timestamp::now();
        let groups = self.groups(&metadata.brokers, &mut problems).await?;
        let ends_at = Timestamp::now();
        let offsets = self.offsets(&metadata, &mut problems).await?;
        let topics = metadata.topics.into_iter();
        let sample = KafkaSample {
            cluster_id: metadata.cluster_id,
            brokers: u32::try_from(metadata.brokers.len()).unwrap_or(u32::MAX),
            topics: topics.map(|topic| topic_sample(topic, &offsets)).collect(),
            groups,
            committed_at,
            ends_at,
            cost: SampleCost::default(),
            problems: Vec::new(),
        };
        Ok(Reading { sample, problems })
    }

    async fn groups(
        &mut self,
        brokers: &[BrokerAddress],
        problems: &mut Problems,
    ) -> Result<Vec<GroupSample>, WireError> {
        let work = brokers.iter().map(|broker| (address(broker), ())).collect();
        let results = self
            .cluster
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
            .cluster
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
}

/// The answers; an error only if nobody answered.
pub(super) fn answered<T>(
    results: Vec<Result<T, WireError>>,
    problems: &mut Problems,
) -> Result<Vec<T>, WireError> {
    let mut answers = Vec::with_capacity(results.len());
    let mut last_error = None;
    for result in results {
        match result {
            Ok(answer) => answers.push(answer),
            Err(error) => {
                problems.push_error(&error);
                last_error = Some(error);
            }
        }
    }
    match last_error {
        Some(error) if answers.is_empty() => Err(error),
        _ => Ok(answers),
    }
}

pub(super) fn partitions_by_leader(
    topics: &[TopicMetadata],
) -> HashMap<i32, Vec<(String, Vec<i32>)>> {
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
        problems.push_code(&format!("topic {}", topic.name), topic.error);
    }
    let partitions = metadata.topics.iter().flat_map(|topic| &topic.partitions);
    let leaderless = partitions.filter(|partition| partition.leader < 0).count();
    if leaderless > 0 {
        problems.push(format!(
            "{leaderless} partitions have no leader; is a broker down?"
        ));
    }
}
