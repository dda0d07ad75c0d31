use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::LONGEST_AHEAD;
use super::keeper::Keeper;
use super::pressure::{Pressure, Reaction};
use super::tap_board::{TapBoard, TapState};
use super::tasks::TapContext;
use crate::brokers::kafka::{AssignedPartition, KafkaError, KafkaRecord, TapConsumer, Unreadable};
use crate::config::{Config, DlqTopics, KafkaConfig};
use crate::dialects::was_tried_before;
use crate::domain::conventions::REPLAY_ID;
use crate::domain::{
    ClusterName, ClusterSnapshot, ConsumerGroup, EventPlace, GapReason, GroupStatus, NameFilter,
    RecordPlace, Snapshot, System, TapPlace, TimeBasis, TimeLag, Timestamp, TopicName, TraceGap,
    TracedEvent,
};
use crate::event_identity::event_facts;
use crate::metrics::Metrics;
use crate::store::{Store, StoreError};

/// Records that are stored at once.
const BATCH: usize = 2_000;
const BATCH_WAIT: Duration = Duration::from_millis(500);

/// Topics that are named there are not followed.
const IGNORED_TOPICS: &str = "traces.kafka_topics_ignored";

/// After an error.
const PAUSE: Duration = Duration::from_secs(5);

/// Follows the topics of one cluster.
pub(super) struct KafkaTap {
    config: Arc<Config>,
    kafka: KafkaConfig,
    keeper: Arc<Keeper>,
    store: Store,
    board: TapBoard,
    metrics: Arc<Metrics>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    pressure: Pressure,
    unreadable: Unreadable,
    /// When the sample was taken by which the pressure was judged last.
    sampled_at: Option<Timestamp>,
    stop: CancellationToken,
}

#[derive(Debug, thiserror::Error)]
enum TapError {
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl KafkaTap {
    pub(super) fn new(context: &TapContext, keeper: &Arc<Keeper>, kafka: &KafkaConfig) -> Self {
        Self {
            config: Arc::clone(&context.config),
            kafka: kafka.clone(),
            keeper: Arc::clone(keeper),
            store: context.store.clone(),
            board: context.board.clone(),
            metrics: Arc::clone(&context.metrics),
            snapshots: context.snapshots.clone(),
            pressure: Pressure::default(),
            unreadable: Unreadable::default(),
            sampled_at: None,
            stop: context.stop.clone(),
        }
    }

    pub(super) async fn run(mut self) {
        // Validated when the configuration was read.
        let Ok(topics) = TappedTopics::of(&self.config) else {
            return;
        };
        if self.kafka.read_only {
            let reason =
                "kafka.read_only is set, and a tap commits the offsets of its consumer group";
            self.note(TapState::Refused(reason.to_owned()));
            return;
        }
        self.note(TapState::Waiting("for the first sample".to_owned()));
        while !self.stop.is_cancelled() {
            let Err(error) = self.follow(&topics).await else {
                return;
            };
            let error = crate::error_chain(&error);
            let cluster = self.kafka.name.as_str();
            tracing::warn!(cluster, error, "the tap of the traces failed; trying again");
            self.note(TapState::Failing(error));
            let stop = self.stop.clone();
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    }

    fn note(&self, state: TapState) {
        self.board.set(&self.kafka.name, &TapPlace::Topics, state);
    }

    /// Until it is stopped or something fails.
    async fn follow(&mut self, topics: &TappedTopics) -> Result<(), TapError> {
        let group = ConsumerGroup::new(self.config.traces.consumer_group.as_str());
        let consumer = TapConsumer::new(&self.kafka, &group)?;
        let mut subscribed = BTreeSet::new();
        let stop = self.stop.clone();
        self.snapshots.mark_changed();
        loop {
            // Not for each batch: there may be very many topics.
            if self.snapshots.has_changed().unwrap_or(false) {
                let snapshot = Arc::clone(&self.snapshots.borrow_and_update());
                let wanted = topics.among(&snapshot, &self.kafka.name);
                // While the cluster is not seen nothing is known to be gone.
                if !wanted.is_empty() && wanted != subscribed {
                    consumer.subscribe(&wanted)?;
                    subscribed = wanted;
                }
                if !self.unreadable.is_empty() {
                    self.note_unreadable(&subscribed).await?;
                }
                if let Some(behind) = self.behind(&snapshot, &subscribed) {
                    self.react(&consumer, &subscribed, (behind, &snapshot))
                        .await?;
                }
            }
            if subscribed.is_empty() {
                tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    changed = self.snapshots.changed() => match changed {
                        Ok(()) => {
                            self.snapshots.mark_changed();
                            continue;
                        }
                        Err(_) => return Ok(()),
                    },
                }
            }
            let batch = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                batch = consumer.next_batch(BATCH, BATCH_WAIT) => batch,
            };
            let batch = match batch {
                Ok(batch) => batch,
                Err(error) if error.is_unreadable_topic() => {
                    self.note_unreadable(&subscribed).await?;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            if !batch.is_empty() {
                self.keep(&batch).await?;
                consumer.commit(&batch)?;
            }
            self.note_following();
        }
    }

    fn note_following(&self) {
        self.note(if self.unreadable.is_empty() {
            TapState::Following
        } else {
            TapState::FollowingInPart(self.unreadable.advice(IGNORED_TOPICS))
        });
    }

    /// Which topics may not be read now, until there are none.
    async fn note_unreadable(&mut self, topics: &BTreeSet<TopicName>) -> Result<(), TapError> {
        let unreadable = Unreadable::among(&self.kafka, topics).await?;
        if unreadable != self.unreadable && !unreadable.is_empty() {
            let (cluster, advice) = (self.kafka.name.as_str(), unreadable.advice(IGNORED_TOPICS));
            tracing::warn!(cluster, advice, "some topics are not followed");
        }
        self.unreadable = unreadable;
        self.note_following();
        Ok(())
    }

    /// How late the tap is in what it follows, as a sample says that it has not looked at before.
    fn behind(&mut self, snapshot: &Snapshot, topics: &BTreeSet<TopicName>) -> Option<Duration> {
        let cluster = snapshot.cluster(&self.kafka.name)?;
        let sampled_at = cluster.health.last_success?;
        if self.sampled_at.replace(sampled_at) == Some(sampled_at) {
            return None;
        }
        let mut groups = cluster.kafka()?.groups.iter();
        let own = groups.find(|group| group.group.as_str() == self.config.traces.consumer_group)?;
        lateness(own, topics)
    }

    async fn react(
        &mut self,
        consumer: &TapConsumer,
        topics: &BTreeSet<TopicName>,
        (behind, snapshot): (Duration, &Snapshot),
    ) -> Result<(), TapError> {
        let before = self.pressure.one_of();
        let (from, to, reason) = match self.pressure.react(behind, Timestamp::now()) {
            Reaction::GoOn => return Ok(()),
            Reaction::Thinned(from, to) => (from, to, GapReason::Thinned),
            Reaction::SkipToTheEnd(from, to) => (from, to, GapReason::Skipped),
        };
        let (cluster, one_of) = (self.kafka.name.as_str(), self.pressure.one_of());
        if before != one_of || reason == GapReason::Skipped {
            let behind = behind.as_secs();
            tracing::warn!(cluster, behind, one_of, "the tap of the traces is behind");
        }
        for topic in topics {
            let gap = TraceGap {
                cluster: self.kafka.name.clone(),
                place: TapPlace::Topic(topic.clone()),
                from,
                to,
                reason,
            };
            self.store.put_trace_gap(&gap).await?;
        }
        if reason == GapReason::Skipped {
            consumer.skip_to(&self.ends(snapshot, topics))?;
        }
        Ok(())
    }

    /// Where the followed partitions ended at the last sample.
    fn ends(&self, snapshot: &Snapshot, topics: &BTreeSet<TopicName>) -> Vec<AssignedPartition> {
        let cluster = snapshot.cluster(&self.kafka.name);
        let detail = cluster.and_then(|cluster| cluster.kafka());
        let known = detail.iter().flat_map(|detail| &detail.topics);
        let followed = known.filter(|topic| topics.contains(&topic.topic));
        let ends = followed.flat_map(|topic| {
            let partitions = topic.partitions.iter();
            partitions.filter_map(|partition| {
                Some(AssignedPartition {
                    topic: topic.topic.clone(),
                    partition: partition.partition,
                    offset: partition.last_stable.or(partition.high_watermark)?,
                })
            })
        });
        ends.collect()
    }

    /// Before its offsets are committed: what a crash lets come again takes the place of itself.
    async fn keep(&self, batch: &[KafkaRecord]) -> Result<(), TapError> {
        let cluster = &self.kafka.name;
        let now = Timestamp::now();
        let mut events: Vec<_> = batch
            .iter()
            .filter_map(|record| traced_event(cluster, record, &self.config, now))
            .collect();
        let without_correlation = batch.len() - events.len();
        events.retain(|event| {
            let id = event.event.correlation_id.as_deref();
            self.pressure.keeps(id.unwrap_or_default())
        });
        let thinned = batch.len() - without_correlation - events.len();
        self.keeper.keep(&events, &self.metrics).await?;
        self.metrics
            .traced(cluster, events.len(), without_correlation);
        self.metrics.thinned(cluster, thinned);
        Ok(())
    }
}

/// The worst partition of these topics. Offsets of topics that are not followed any more grow old for days.
fn lateness(group: &GroupStatus, topics: &BTreeSet<TopicName>) -> Option<Duration> {
    let followed = group.topics.iter();
    let followed = followed.filter(|topic| topics.contains(&topic.topic));
    let partitions = followed.flat_map(|topic| &topic.partitions);
    let late = partitions.filter_map(|partition| match partition.time_lag? {
        TimeLag::Exactly(behind) | TimeLag::AtLeast(behind) => Some(behind),
    });
    late.max()
}

/// What a trace keeps of a record; nothing of one without a correlation ID.
pub fn traced_event(
    cluster: &ClusterName,
    record: &KafkaRecord,
    config: &Config,
    now: Timestamp,
) -> Option<TracedEvent> {
    let facts = event_facts(&record.message, config);
    facts.event.correlation_id.as_ref()?;
    let replay = record.message.header(REPLAY_ID);
    // A producer that writes microseconds would stand before all others for ever.
    let timestamp = record.timestamp.filter(|at| *at <= now.plus(LONGEST_AHEAD));
    let (at, basis) = match timestamp {
        Some(at) if record.has_append_time => (at, TimeBasis::LogAppendTime),
        Some(at) => (at, TimeBasis::CreateTime),
        None => (now, TimeBasis::Observed),
    };
    Some(TracedEvent {
        place: EventPlace::Record(RecordPlace {
            cluster: cluster.clone(),
            topic: record.topic.clone(),
            partition: record.partition,
            offset: record.offset,
        }),
        at,
        basis,
        event: facts.event,
        source: facts.source,
        is_retry: was_tried_before(System::Kafka, &record.message),
        replay: replay.and_then(|value| value.as_text()?.parse().ok()),
        application: facts.application,
    })
}

/// The patterns of `[traces]` without the DLQs, whose dead letters are in the store already.
struct TappedTopics {
    wanted: NameFilter,
    ignored: NameFilter,
    dlqs: DlqTopics,
}

impl TappedTopics {
    fn of(config: &Config) -> Result<Self, crate::domain::GlobError> {
        let parse = |patterns: &[String]| NameFilter::parse(patterns.iter().map(String::as_str));
        Ok(Self {
            wanted: parse(&config.traces.kafka_topics)?,
            ignored: parse(&config.traces.kafka_topics_ignored)?,
            dlqs: DlqTopics::new(&config.dead_letters)?,
        })
    }

    fn among(&self, snapshot: &Snapshot, cluster: &ClusterName) -> BTreeSet<TopicName> {
        let detail = snapshot.cluster(cluster).and_then(ClusterSnapshot::kafka);
        let topics = detail.iter().flat_map(|detail| &detail.topics);
        topics
            .filter(|topic| {
                let name = topic.topic.as_str();
                let is_none = self.ignored.matches(name) || self.dlqs.matches(name);
                !topic.internal && self.wanted.matches(name) && !is_none
            })
            .map(|topic| topic.topic.clone())
            .collect()
    }
}
