use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::{JoinError, JoinHandle};
use tracing::Instrument as _;

use super::intake_status::IntakeState;
use super::kafka_plan::{
    Backlogs, Cursors, Freshness, PartitionKey, StartingPoint, by_partition, reads_exactly,
    starting_points,
};
use super::letters::{Found, dead_letter_or_pointer};
use super::pointers::{Fetched, fetch_originals};
use super::{IntakeContext, intake_metrics};
use crate::brokers::kafka::{AssignedPartition, DlqConsumer, KafkaError, KafkaRecord, Unreadable};
use crate::config::DlqTopics;
use crate::config::KafkaConfig;
use crate::domain::{
    BrokerHealth, Custody, Offset, Position, Snapshot, System, Timestamp, TopicStatus,
};
use crate::store::{Gap, Indexed, KafkaCursor, PreparedBatch, StoreError};

/// Records of one transaction: large enough that the sync to disk is shared, small enough that no
/// writer waits long.
const BATCH_RECORDS: usize = 1_000;
const BATCH_WAIT: Duration = Duration::from_millis(500);
/// Topics that are named there are no DLQs.
const IGNORED_TOPICS: &str = "dead_letters.kafka_topics_ignored";

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
            read: HashMap::new(),
            writing: None,
            backlogs: Backlogs::default(),
            unreadable: Unreadable::default(),
            started_at: Timestamp::now(),
        };
        let ended = intake.read_until_stopped().await;
        // Whoever starts anew reads the cursors that this write may still move.
        let written = intake.finish_write().await;
        if let Err(error) = ended.and(written) {
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

/// A record, and what became of the search for its original.
type FoundRecord = (Found, Option<Fetched>);

struct KafkaIntake {
    context: IntakeContext,
    config: KafkaConfig,
    topics: DlqTopics,
    /// What is read now, with the next offset of each partition that is not stored yet.
    cursors: Cursors,
    /// The next offsets that are not read yet; a batch of records may lie between the two.
    read: HashMap<PartitionKey, Offset>,
    /// The batch that is being stored while the next one is read and decoded.
    writing: Option<Write>,
    backlogs: Backlogs,
    unreadable: Unreadable,
    started_at: Timestamp,
}

/// A batch on its way to the disk, and the cursors that it moves.
struct Write {
    task: JoinHandle<Result<Written, StoreError>>,
    moved: Cursors,
}

struct Written {
    batch: PreparedBatch,
    indexed: Vec<Indexed>,
    took: Duration,
}

/// A panic of another task is one of this task.
fn joined<T>(result: Result<T, JoinError>) -> T {
    result.unwrap_or_else(|failed| std::panic::resume_unwind(failed.into_panic()))
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
                    match batch {
                        Ok(records) => self.index(records).await?,
                        Err(error) if error.is_unreadable_topic() => self.note_unreadable().await?,
                        Err(error) => return Err(error.into()),
                    }
                }
                result = written(&mut self.writing), if self.writing.is_some() => {
                    self.note_written(result).await?;
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
        if !reads_exactly(&self.cursors, &wanted) {
            self.finish_write().await?;
            let (store, name) = (&self.context.store, &self.config.name);
            let stored = by_partition(store.kafka_cursors(name).await?);
            self.backlogs
                .note(&wanted, &store.backlogs_read(name).await?);
            let freshness = self.freshness(&cluster.health);
            let points = starting_points(&wanted, &self.cursors, &stored, freshness);
            self.read_from(consumer, points).await?;
        }
        if self.unreadable.is_empty() {
            self.note_reading();
            Ok(())
        } else {
            self.note_unreadable().await
        }
    }

    /// Which topics may not be read now, until there are none.
    async fn note_unreadable(&mut self) -> Result<(), IntakeError> {
        let topics = self.cursors.keys().map(|(topic, _)| topic.clone());
        let unreadable = Unreadable::among(&self.config, &topics.collect()).await?;
        if unreadable != self.unreadable && !unreadable.is_empty() {
            let advice = unreadable.advice(IGNORED_TOPICS);
            tracing::warn!(cluster = %self.config.name, advice, "some DLQ topics are not read");
        }
        self.unreadable = unreadable;
        self.note_reading();
        Ok(())
    }

    fn freshness(&self, health: &BrokerHealth) -> Freshness {
        let begun = health.last_success.map(|at| at.minus(health.cost.duration));
        if begun.is_some_and(|begun| begun >= self.started_at) {
            Freshness::AfterCursor
        } else {
            Freshness::Unknown
        }
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
        self.cursors = by_partition(cursors);
        let next = |(key, cursor): (&PartitionKey, &KafkaCursor)| (key.clone(), cursor.next_offset);
        self.read = self.cursors.iter().map(next).collect();
        consumer.assign(&self.assignment())?;
        self.publish_backlogs_read().await?;
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
        } else if self.unreadable.is_empty() {
            IntakeState::Reading
        } else {
            IntakeState::ReadingInPart(self.unreadable.advice(IGNORED_TOPICS))
        };
        self.context.board.set(&self.config.name, SOURCE, state);
    }

    /// Dead letters that were there at the discovery are no news to anybody's alerts.
    async fn publish_backlogs_read(&mut self) -> Result<(), IntakeError> {
        for topic in self.backlogs.read_by(&self.cursors) {
            let (cluster, dlq) = (&self.config.name, ("", topic.as_str()));
            self.context
                .backlog_read(cluster, System::Kafka, dlq)
                .await?;
            self.backlogs.forget(&topic);
        }
        Ok(())
    }

    /// Decodes a batch while the one before is written, then has it written.
    async fn index(&mut self, records: Vec<KafkaRecord>) -> Result<(), IntakeError> {
        let originals = fetch_originals(&self.config, &records).await;
        let (found, moved) = self.new_records(records, originals);
        if found.is_empty() {
            return Ok(());
        }
        let (cluster, records) = (self.config.name.as_str(), found.len());
        let span = tracing::info_span!(parent: None, "intake_batch", cluster, records);
        let now = Timestamp::now();
        let config = Arc::clone(&self.context.config);
        let store = self.context.store.clone();
        let decode = move || {
            let decode = |(found, original)| dead_letter_or_pointer(found, original, &config, now);
            store.prepare(found.into_iter().map(decode).collect())
        };
        let batch = joined(tokio::task::spawn_blocking(decode).await)?;
        self.finish_write().await?;
        let cursors: Vec<KafkaCursor> = moved.values().cloned().collect();
        let (store, cluster) = (self.context.store.clone(), self.config.name.clone());
        let write = async move {
            let started = Instant::now();
            let indexed = store.index_prepared(&cluster, &batch, &cursors, &[], now);
            let indexed = indexed.await?;
            Ok(Written {
                batch,
                indexed,
                took: started.elapsed(),
            })
        };
        let task = tokio::spawn(write.instrument(span));
        self.writing = Some(Write { task, moved });
        Ok(())
    }

    /// Records that were not read before, each with its original if it is a pointer, and how far they move
    /// the cursors.
    fn new_records(
        &mut self,
        records: Vec<KafkaRecord>,
        mut originals: HashMap<usize, Fetched>,
    ) -> (Vec<FoundRecord>, Cursors) {
        let mut found = Vec::with_capacity(records.len());
        let mut moved = Cursors::new();
        for (index, record) in records.into_iter().enumerate() {
            let key = (record.topic.clone(), record.partition);
            let (Some(cursor), Some(next)) = (self.cursors.get(&key), self.read.get_mut(&key))
            else {
                continue;
            };
            // A record that was fetched before the assignment changed was indexed already.
            if record.offset < *next {
                continue;
            }
            *next = Offset(record.offset.0.saturating_add(1));
            let cursor = KafkaCursor {
                next_offset: *next,
                ..cursor.clone()
            };
            found.push((self.found(record, &cursor), originals.remove(&index)));
            moved.insert(key, cursor);
        }
        (found, moved)
    }

    fn found(&self, record: KafkaRecord, cursor: &KafkaCursor) -> Found {
        Found {
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
        }
    }

    async fn finish_write(&mut self) -> Result<(), IntakeError> {
        if self.writing.is_none() {
            return Ok(());
        }
        let result = written(&mut self.writing).await;
        self.note_written(result).await
    }

    /// What was being written is on disk, or all of it is read again.
    async fn note_written(
        &mut self,
        result: Result<Written, StoreError>,
    ) -> Result<(), IntakeError> {
        let moved = self.writing.take().map(|write| write.moved);
        let written = result?;
        let metrics = &self.context.metrics;
        metrics.store_batch_written(written.batch.len(), written.took);
        intake_metrics::count(metrics, written.batch.letters(), &written.indexed);
        let count = written.indexed.len();
        self.context
            .board
            .add_indexed(&self.config.name, SOURCE, count);
        self.cursors.extend(moved.unwrap_or_default());
        self.publish_backlogs_read().await
    }
}

/// The result of the write; what is not being written is never finished. May be dropped and asked again.
async fn written(writing: &mut Option<Write>) -> Result<Written, StoreError> {
    match writing {
        Some(write) => joined((&mut write.task).await),
        None => std::future::pending().await,
    }
}
