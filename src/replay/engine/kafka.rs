use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use super::pacing::Pacing;
use super::placement::topic_of;
use super::queue::SendQueue;
use super::{EngineContext, EngineError, Next, SetAside, run_engine};
use crate::brokers::kafka::{Batching, KafkaAdmin, ReplayProducer};
use crate::config::KafkaConfig;
use crate::domain::{ReplayEvent, Timestamp, TopicName};
use crate::replay::crash;
use crate::replay::recovery::{self, Held};

mod pipeline;
mod refusals;

/// How soon a topic that is missing is looked for again.
const MISSING_TOPIC_PAUSE: Duration = Duration::from_secs(1);

/// Sends the replays of one Kafka cluster.
pub(in crate::replay) struct KafkaEngine {
    context: EngineContext,
    config: KafkaConfig,
    /// Clients live while there is something to do: each has threads of its own.
    admin: Option<KafkaAdmin>,
    producer: Option<(Batching, ReplayProducer)>,
    /// Topics that were not found, and since when.
    missing: HashMap<TopicName, Instant>,
    /// Topics with a partition that cannot be reached.
    aside: SetAside<TopicName>,
    /// Topics that refused a batch: until the clients are dropped, their records go one by one.
    one_by_one: HashSet<TopicName>,
    pacing: Pacing,
}

/// How a pass through what is planned ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum PassEnd {
    Clean,
    /// What is planned may have changed, or is put aside.
    SomeFailed,
    /// Some have to wait because their topic is missing.
    TopicMissing,
}

impl KafkaEngine {
    pub(in crate::replay) fn new(context: EngineContext, config: KafkaConfig) -> Self {
        Self {
            context,
            config,
            admin: None,
            producer: None,
            missing: HashMap::new(),
            aside: SetAside::default(),
            one_by_one: HashSet::new(),
            pacing: Pacing::default(),
        }
    }

    pub(in crate::replay) async fn run(self) {
        let context = self.context.clone();
        run_engine(self, context, Self::work).await;
    }

    /// One pass with clients that may serve again. After a failure they are replaced: a librdkafka client
    /// whose broker came and went was seen to ask nobody for minutes, while others were answered.
    async fn work(&mut self) -> Result<Next, EngineError> {
        let next = self.pass().await;
        if next.is_err() {
            self.drop_clients().await;
        }
        next
    }

    /// Settles what an earlier attempt left open, then sends what is planned.
    async fn pass(&mut self) -> Result<Next, EngineError> {
        let held = self.recover().await?;
        let allowed = self.pacing.load(&self.context).await?;
        let look_again = allowed.look_again;
        let mut queue = SendQueue::new(allowed);
        let now = Instant::now();
        let next = held.next().or_in(look_again).or_in(self.aside.next(now));
        let aside: HashSet<TopicName> = self.aside.held(now).cloned().collect();
        queue.keep_only(move |replay| {
            !topic_of(replay).is_some_and(|topic| held.holds(topic) || aside.contains(topic))
        });
        if queue.first(&self.context).await.is_none() {
            if next == Next::WhenTold && self.admin.is_some() {
                self.drop_clients().await;
            }
            return Ok(next);
        }
        Ok(match self.send_all(queue).await? {
            PassEnd::Clean | PassEnd::SomeFailed => Next::AtOnce,
            PassEnd::TopicMissing => Next::In(MISSING_TOPIC_PAUSE),
        })
    }

    /// Looks for what was being sent when the process, or a round, ended without an answer.
    async fn recover(&mut self) -> Result<Held, EngineError> {
        let cluster = &self.context.cluster;
        let sending = self.context.store.sending_replays(cluster).await?;
        if sending.is_empty() {
            return Ok(Held::default());
        }
        let admin = self.admin()?;
        let timeout = *self.context.settings.kafka_delivery_timeout;
        let times = (timeout, Timestamp::now());
        let topics = sending.iter().filter_map(topic_of);
        let topic_ids = self.context.topic_ids(topics);
        let looked = recovery::look_for(
            (&self.config, &admin),
            sending,
            (&self.aside, &topic_ids),
            times,
        );
        let looked = looked.await?;
        crash::point("kafka.recovery.scanned");
        let (unprovable, decided): (Vec<_>, Vec<_>) = looked
            .events
            .into_iter()
            .partition(|(_, event)| matches!(event, ReplayEvent::Unprovable { .. }));
        // First what is planned again: it may be the follower of one that is unknown.
        let decided = decided
            .into_iter()
            .map(|(replay, event)| (replay.id, event));
        self.context.advance(decided.collect()).await?;
        let mut unknown = Vec::new();
        for (replay, event) in unprovable {
            let reason = "an earlier event of the same key is unknown";
            unknown.extend(self.followers(&replay, reason).await?);
            unknown.push((replay.id, event));
        }
        self.context.advance(unknown).await?;
        crash::point("kafka.recovery.committed");
        if !looked.unreachable.is_empty() {
            // It may be the clients.
            self.drop_clients().await;
        }
        self.put_aside(looked.unreachable);
        Ok(looked.held)
    }

    /// Leaves topics with a partition that cannot be reached alone for a while, and says why.
    fn put_aside(&mut self, topics: impl IntoIterator<Item = (TopicName, String)>) {
        for (topic, problem) in topics {
            let cluster = &self.context.cluster;
            tracing::warn!(%cluster, %topic, problem, "replays to this topic have to wait");
            let reason = format!("topic {topic}: {problem}");
            self.context.obstacles.note(cluster, reason);
            self.aside.put(topic, Instant::now());
        }
    }

    fn admin(&mut self) -> Result<KafkaAdmin, EngineError> {
        let admin = match self.admin.take() {
            Some(admin) => admin,
            None => KafkaAdmin::new(&self.config)?,
        };
        Ok(self.admin.insert(admin).clone())
    }

    /// Keeps or makes the producer that packs records so.
    async fn make_producer(&mut self, batching: Batching) -> Result<(), EngineError> {
        if self
            .producer
            .as_ref()
            .is_some_and(|(known, _)| *known == batching)
        {
            return Ok(());
        }
        self.drop_producer().await;
        let timeout = *self.context.settings.kafka_delivery_timeout;
        let producer = ReplayProducer::with_batching(&self.config, timeout, batching)?;
        self.producer = Some((batching, producer));
        Ok(())
    }

    /// The clients' threads and buffers are given back.
    async fn drop_clients(&mut self) {
        self.one_by_one.clear();
        let admin = self.admin.take();
        self.drop_producer().await;
        if let Err(error) = tokio::task::spawn_blocking(move || drop(admin)).await {
            tracing::error!(%error, "stopping the Kafka client failed");
        }
    }

    /// An idempotent producer may be unusable after a failure, and whatever it still holds must never
    /// leave. Dropping it purges that, which may block.
    async fn drop_producer(&mut self) {
        if let Some(producer) = self.producer.take()
            && let Err(error) = tokio::task::spawn_blocking(move || drop(producer)).await
        {
            tracing::error!(%error, "stopping the Kafka producer failed");
        }
    }
}
