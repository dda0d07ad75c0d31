use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::discovery::DlqTopics;
use super::intake_status::IntakeState;
use super::kafka_plan::{Freshness, StartingPoint, starting_point};
use super::letters::{Found, dead_letter_or_pointer};
use super::pointers::{Fetched, fetch_originals};
use super::{IntakeContext, intake_metrics};
use crate::brokers::kafka::{AssignedPartition, DlqConsumer, KafkaError, KafkaRecord};
use crate::config::KafkaConfig;
use crate::domain::{
    BrokerHealth, Custody, NewDeadLetter, Offset, Partition, Position, Snapshot, System, Timestamp,
    TopicName, TopicStatus,
};
use crate::store::{Gap, KafkaCursor, StoreError};

/// Records of one transaction: large enough that the sync to disk is shared, small enough that no
/// writer waits long.
const BATCH_RECORDS: usize = 500;
const BATCH_WAIT: Duration = Duration::from_millis(500);
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// The name of this intake on the status page.
const SOURCE: &str = "DLQ topics";

#[derive(Debug, thiserror::Error)]
enum IntakeError {
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Reads all DLQ topics of one cluster until it is stopped; after a failure it starts anew from the
/// stored cursors.
pub(super) async fn run(context: IntakeContext, config: KafkaConfig) {
    let topics = match DlqTopics::new(&context.config.dead_letters) {
        Ok(topics) => topics,
        Err(error) => {
            let reason = IntakeState::Refused(error.to_string());
            return context.board.set(&config.name, SOURCE, reason);
        }
    };
    while !context.stop.is_cancelled() {
        let mut intake = KafkaIntake {
            context: context.clone(),
            config: config.clone(),
            topics: topics.clone(),
            cursors: HashMap::new(),
            backlog: HashMap::new(),
            started_at: Timestamp::now(),
        };
        if let Err(error) = intake.read_until_stopped().await {
            let error = crate::error_chain(&error);
            tracing::warn!(cluster = %config.name, error, "reading the DLQ topics failed; trying again");
            context
                .board
                .set(&config.name, SOURCE, IntakeState::Failing(error));
            tokio::select! {
                () = context.stop.cancelled() => {}
                () = tokio::time::sleep(RETRY_AFTER) => {}
            }
        }
    }
}

type PartitionKey = (TopicName, Partition);

struct KafkaIntake {
    context: IntakeContext,
    config: KafkaConfig,
    topics: DlqTopics,
    /// What is read now, with the next offset of each partition.
    cursors: HashMap<PartitionKey, KafkaCursor>,
    /// Topics whose first backlog is not read yet, with the end that has to be reached.
    backlog: HashMap<TopicName, HashMap<Partition, Offset>>,
    started_at: Timestamp,
}

fn key_of(cursor: &KafkaCursor) -> PartitionKey {
    (cursor.topic.clone(), cursor.partition)
}

impl KafkaIntake {
    async fn read_until_stopped(&mut self) -> Result<(), IntakeError> {
        let consumer = DlqConsumer::new(&self.config)?;
        let mut snapshots = self.context.snapshots.clone();
        let first = snapshots.borrow_and_update().clone();
        self.follow(&consumer, &first).await?;
        loop {
            tokio::select! {
                () = self.context.stop.cancelled() => return Ok(()),
                changed = snapshots.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                    let snapshot = snapshots.borrow_and_update().clone();
                    self.follow(&consumer, &snapshot).await?;
                }
                batch = consumer.next_batch(BATCH_RECORDS, BATCH_WAIT), if !self.cursors.is_empty() => {
                    self.index(batch?).await?;
                }
            }
        }
    }

    /// Starts reading what is new in the snapshot and stops reading topics that are gone.
    async fn follow(
        &mut self,
        consumer: &DlqConsumer,
        snapshot: &Snapshot,
    ) -> Result<(), IntakeError> {
        let cluster = snapshot
            .cluster(&self.config.name)
            .filter(|cluster| cluster.health.up);
        let Some(cluster) = cluster else {
            return Ok(());
        };
        let Some(detail) = cluster.kafka() else {
            return Ok(());
        };
        let wanted: Vec<TopicStatus> = self.topics.of(detail).cloned().collect();
        if !self.reads_exactly(&wanted) {
            let stored = self.context.store.kafka_cursors(&self.config.name).await?;
            let stored = stored
                .into_iter()
                .map(|cursor| (key_of(&cursor), cursor))
                .collect();
            self.note_backlogs(&wanted, &stored);
            let freshness = self.freshness(&cluster.health);
            self.read_from(consumer, self.starting_points(&wanted, &stored, freshness))
                .await?;
        }
        self.note_reading();
        Ok(())
    }

    fn reads_exactly(&self, wanted: &[TopicStatus]) -> bool {
        let reads = |status: &TopicStatus| {
            status.partitions.iter().all(|partition| {
                let cursor = self
                    .cursors
                    .get(&(status.topic.clone(), partition.partition));
                cursor.is_some_and(|cursor| cursor.topic_id == status.topic_id)
            })
        };
        let count: usize = wanted.iter().map(|status| status.partitions.len()).sum();
        count == self.cursors.len() && wanted.iter().all(reads)
    }

    fn freshness(&self, health: &BrokerHealth) -> Freshness {
        let begun = health.last_success.map(|at| at.minus(health.cost.duration));
        if begun.is_some_and(|begun| begun >= self.started_at) {
            Freshness::AfterCursor
        } else {
            Freshness::Unknown
        }
    }

    fn starting_points(
        &self,
        wanted: &[TopicStatus],
        stored: &HashMap<PartitionKey, KafkaCursor>,
        freshness: Freshness,
    ) -> Vec<StartingPoint> {
        let mut points = Vec::new();
        for status in wanted {
            for partition in &status.partitions {
                let key = (status.topic.clone(), partition.partition);
                let current = self.cursors.get(&key);
                match current.filter(|cursor| cursor.topic_id == status.topic_id) {
                    Some(cursor) => {
                        points.push(StartingPoint {
                            cursor: cursor.clone(),
                            gap: None,
                        });
                    }
                    None => {
                        points.extend(starting_point(
                            status,
                            partition,
                            stored.get(&key),
                            freshness,
                        ));
                    }
                }
            }
        }
        points
    }

    async fn read_from(
        &mut self,
        consumer: &DlqConsumer,
        points: Vec<StartingPoint>,
    ) -> Result<(), IntakeError> {
        let gaps: Vec<Gap> = points
            .iter()
            .filter_map(|point| point.gap.clone())
            .collect();
        for gap in &gaps {
            tracing::warn!(cluster = %self.config.name, topic = %gap.topic, partition = gap.partition.0,
                from = gap.from.0, to = gap.to.0, reason = gap.kind.as_str(),
                "dead letters were gone before they could be read");
        }
        let cursors: Vec<KafkaCursor> = points.into_iter().map(|point| point.cursor).collect();
        // The cursors are written together with the gaps, so that a gap is counted once.
        let (store, now) = (&self.context.store, Timestamp::now());
        store
            .index_kafka_batch(&self.config.name, &[], &cursors, &gaps, now)
            .await?;
        self.cursors = cursors
            .into_iter()
            .map(|cursor| (key_of(&cursor), cursor))
            .collect();
        consumer.assign(&self.assignment())?;
        self.publish_backlogs_read();
        Ok(())
    }

    fn assignment(&self) -> Vec<AssignedPartition> {
        let partition = |cursor: &KafkaCursor| AssignedPartition {
            topic: cursor.topic.clone(),
            partition: cursor.partition,
            offset: cursor.next_offset,
        };
        self.cursors.values().map(partition).collect()
    }

    fn note_reading(&self) {
        let state = if self.cursors.is_empty() {
            IntakeState::Waiting("no topic matches dead_letters.kafka_topics".to_owned())
        } else {
            IntakeState::Reading
        };
        self.context.board.set(&self.config.name, SOURCE, state);
    }

    /// Remembers how far the DLQs that were never read before reach now.
    fn note_backlogs(
        &mut self,
        wanted: &[TopicStatus],
        stored: &HashMap<PartitionKey, KafkaCursor>,
    ) {
        for status in wanted {
            let read_before = stored.keys().any(|(topic, _)| *topic == status.topic);
            let ends = status
                .partitions
                .iter()
                .filter(|_| !read_before)
                .filter_map(|partition| Some((partition.partition, partition.high_watermark?)));
            self.backlog.insert(status.topic.clone(), ends.collect());
        }
    }

    /// Dead letters that were there at the discovery are no news to anybody's alerts.
    fn publish_backlogs_read(&mut self) {
        let cursors = &self.cursors;
        let (context, cluster) = (&self.context, &self.config.name);
        self.backlog.retain(|topic, ends| {
            let unread = ends.iter().any(|(partition, end)| {
                let cursor = cursors.get(&(topic.clone(), *partition));
                cursor.is_some_and(|cursor| cursor.next_offset < *end)
            });
            if !unread {
                context
                    .metrics
                    .dlq_backlog_read(cluster, System::Kafka, topic.as_str());
            }
            unread
        });
    }

    async fn index(&mut self, records: Vec<KafkaRecord>) -> Result<(), IntakeError> {
        let now = Timestamp::now();
        let mut batch = Vec::with_capacity(records.len());
        let mut moved: HashMap<PartitionKey, KafkaCursor> = HashMap::new();
        let mut originals = fetch_originals(&self.config, &records).await;
        for (index, record) in records.into_iter().enumerate() {
            let key = (record.topic.clone(), record.partition);
            let Some(cursor) = self.cursors.get(&key) else {
                continue;
            };
            // A record that was fetched before the assignment changed was indexed already.
            if record.offset < cursor.next_offset {
                continue;
            }
            let mut cursor = cursor.clone();
            cursor.next_offset = Offset(record.offset.0.saturating_add(1));
            batch.push(self.letter(record, originals.remove(&index), &cursor, now));
            moved.insert(key, cursor);
        }
        if batch.is_empty() {
            return Ok(());
        }
        let cursors: Vec<KafkaCursor> = moved.values().cloned().collect();
        let cluster = &self.config.name;
        let started = Instant::now();
        let indexed = self
            .context
            .store
            .index_kafka_batch(cluster, &batch, &cursors, &[], now)
            .await?;
        let metrics = &self.context.metrics;
        metrics.store_batch_written(batch.len(), started.elapsed());
        intake_metrics::count(&self.context.metrics, &batch, &indexed);
        self.context
            .board
            .add_indexed(cluster, SOURCE, indexed.len());
        self.cursors.extend(moved);
        self.publish_backlogs_read();
        Ok(())
    }

    fn letter(
        &self,
        record: KafkaRecord,
        fetched: Option<Fetched>,
        cursor: &KafkaCursor,
        now: Timestamp,
    ) -> NewDeadLetter {
        let found = Found {
            cluster: self.config.name.clone(),
            position: Position::Kafka {
                topic: record.topic,
                topic_id: cursor.topic_id,
                partition: record.partition,
                offset: record.offset,
            },
            message: record.message,
            arrived_at: record.timestamp,
            custody: Custody::Broker,
            redelivered: false,
        };
        dead_letter_or_pointer(
            found,
            fetched,
            self.context.config.dead_letters.body_limit_bytes,
            now,
        )
    }
}
