//! What is asked of leaders beside the samples, about a few partitions.

use std::collections::{HashMap, HashSet};

use super::cluster::address;
use super::error::WireError;
use super::log_tails::{self, LogTail, TailContent};
use super::offsets::{self, FirstSince, PartitionKey};
use super::problems::Problems;
use super::sampler::{KafkaSampler, answered, partitions_by_leader};
use crate::domain::{Offset, Partition, Timestamp, TopicName};

/// Where the records of a partition begin that are not older than some times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirstOffsets {
    pub topic: TopicName,
    pub partition: Partition,
    /// `None`: all records are older.
    pub since: Vec<(Timestamp, Option<Offset>)>,
}

impl From<(PartitionKey, FirstSince)> for FirstOffsets {
    fn from(((topic, partition), since): (PartitionKey, FirstSince)) -> Self {
        let since = since.into_iter();
        Self {
            topic: topic.into(),
            partition: Partition(partition),
            since: since.map(|(at, first)| (at, first.map(Offset))).collect(),
        }
    }
}

impl KafkaSampler {
    /// For each of the partitions that a leader answers for, and each of the times, the first offset of a
    /// record that is not older; `None` if all are. By the records' own timestamps, which the producer
    /// sets unless the topic says `LogAppendTime`.
    pub async fn first_offsets_since(
        &mut self,
        partitions: &HashSet<(TopicName, Partition)>,
        times: &[Timestamp],
    ) -> Result<Vec<FirstOffsets>, WireError> {
        let metadata = self.cluster.metadata().await?;
        let mut led = partitions_by_leader(&metadata.topics);
        led.retain(|_, of_leader| {
            for (topic, numbers) in &mut *of_leader {
                let topic = TopicName::new(topic.as_str());
                numbers.retain(|number| partitions.contains(&(topic.clone(), Partition(*number))));
            }
            of_leader.retain(|(_, numbers)| !numbers.is_empty());
            !of_leader.is_empty()
        });
        let work = metadata.brokers.iter().filter_map(|broker| {
            let of_leader = led.remove(&broker.id)?;
            Some((address(broker), (of_leader, times.to_vec())))
        });
        let results = self
            .cluster
            .on_all(
                work.collect(),
                |connection, (led, times): &(Vec<_>, Vec<_>)| {
                    Box::pin(offsets::first_since(connection, led, times))
                },
            )
            .await;
        let answers = answered(results, &mut Problems::default())?;
        Ok(answers
            .into_iter()
            .flatten()
            .map(FirstOffsets::from)
            .collect())
    }

    /// What the records are between these offsets and the ends of their partitions.
    pub async fn tail_contents(
        &mut self,
        tails: Vec<LogTail>,
    ) -> Result<Vec<(LogTail, TailContent)>, WireError> {
        let metadata = self.cluster.metadata().await?;
        let mut tails: HashMap<PartitionKey, LogTail> = tails
            .into_iter()
            .map(|tail| ((tail.topic.as_str().to_owned(), tail.partition.0), tail))
            .collect();
        let led = partitions_by_leader(&metadata.topics);
        let work = metadata.brokers.iter().filter_map(|broker| {
            let topics = led.get(&broker.id)?.iter();
            let keys = topics.flat_map(|(topic, partitions)| {
                let topic = |partition: &i32| (topic.clone(), *partition);
                partitions.iter().map(topic)
            });
            let of_leader: Vec<LogTail> = keys.filter_map(|key| tails.remove(&key)).collect();
            (!of_leader.is_empty()).then(|| (address(broker), of_leader))
        });
        let results = self
            .cluster
            .on_all(work.collect(), |connection, tails: &Vec<LogTail>| {
                Box::pin(log_tails::read(connection, tails))
            })
            .await;
        let answers = answered(results, &mut Problems::default())?;
        Ok(answers.into_iter().flatten().collect())
    }
}
