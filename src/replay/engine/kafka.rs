use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::content::load_message;
use super::pacing::Pacing;
use super::placement::{Placed, Placement, place, topic_of};
use super::round::take_round;
use super::{EngineContext, EngineError, MOST_BYTES_IN_FLIGHT, Next, refused, run_engine};
use crate::brokers::kafka::{KafkaAdmin, ReplayProducer, SendError};
use crate::config::KafkaConfig;
use crate::domain::{Landing, Message, Replay, ReplayEvent, ReplayId, Timestamp, TopicName};
use crate::replay::crash;
use crate::replay::recovery::{self, HANDOVER_LIMIT, Held};
use crate::store::{PlannedReplay, StoreError};

/// A topic may be unknown to a broker that has just started. After so long it does not exist.
const MISSING_TOPIC_LIMIT: Duration = Duration::from_secs(10);

/// How soon a topic that is missing is looked for again.
const MISSING_TOPIC_PAUSE: Duration = Duration::from_secs(1);

/// Sends the replays of one Kafka cluster.
pub(in crate::replay) struct KafkaEngine {
    context: EngineContext,
    config: KafkaConfig,
    /// Clients live while there is something to do: each has threads of its own.
    admin: Option<KafkaAdmin>,
    producer: Option<ReplayProducer>,
    /// Topics that were not found, and since when.
    missing: HashMap<TopicName, Instant>,
    pacing: Pacing,
}

/// A record that is ready to be sent.
struct Prepared {
    replay: Replay,
    topic: TopicName,
    message: Message,
    high_watermark: Landing,
}

/// What became of a record that was handed over, or was about to be.
enum Fate {
    Landed(Landing),
    Refused(String),
    /// Surely not sent, and worth another try.
    NotReached(String),
    /// Only a scan can tell.
    Uncertain(String),
}

/// How a round ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum RoundEnd {
    Clean,
    /// What is planned may have changed.
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
            pacing: Pacing::default(),
        }
    }

    pub(in crate::replay) async fn run(self) {
        let context = self.context.clone();
        run_engine(self, context, Self::work).await;
    }

    /// Settles what an earlier attempt left open, then sends what is planned.
    async fn work(&mut self) -> Result<Next, EngineError> {
        let held = self.recover().await?;
        let allowed = self.pacing.load(&self.context).await?;
        let mut planned = allowed.planned;
        planned.retain(|planned| !topic_of(&planned.replay).is_some_and(|topic| held.holds(topic)));
        let mut next = held.next().or_in(allowed.look_again);
        if planned.is_empty() && next == Next::WhenTold && self.admin.is_some() {
            self.drop_clients().await;
        }
        while !planned.is_empty() && !self.context.stop.is_cancelled() {
            let round = take_round(&mut planned);
            match self.send_round(round, &mut planned).await? {
                RoundEnd::Clean => next = Next::AtOnce,
                RoundEnd::SomeFailed => return Ok(Next::AtOnce),
                RoundEnd::TopicMissing => return Ok(Next::In(MISSING_TOPIC_PAUSE)),
            }
        }
        Ok(next)
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
        let (events, held) =
            recovery::look_for(&self.config, &admin, sending, timeout, Timestamp::now()).await?;
        crash::point("kafka.recovery.scanned");
        let mut all = Vec::new();
        for (replay, event) in events {
            if matches!(event, ReplayEvent::Unprovable { .. }) {
                let reason = "an earlier event of the same key is unknown";
                all.extend(self.followers(&replay, reason).await?);
            }
            all.push((replay.id, event));
        }
        self.context.advance(all).await?;
        crash::point("kafka.recovery.committed");
        Ok(held)
    }

    async fn send_round(
        &mut self,
        round: Vec<PlannedReplay>,
        left: &mut Vec<PlannedReplay>,
    ) -> Result<RoundEnd, EngineError> {
        let placement = place(&self.admin()?, round).await?;
        let topic_missing = !placement.without_topic.is_empty();
        let mut refusals = self.missing_for_long(&placement);
        let (prepared, unsendable) = self.prepare(placement.placed, left).await?;
        refusals.extend(unsendable);
        let mut failed = !refusals.is_empty();
        self.refuse(refusals).await?;
        crash::point("kafka.prepared");
        if !prepared.is_empty() {
            self.make_producer()?;
            let begun = Instant::now();
            let sending = self.write_sending(prepared).await?;
            crash::point("kafka.sending.committed");
            let fates = self.hand_over(sending, begun).await;
            failed |= self.write_fates(fates).await?;
            crash::point("kafka.sent.committed");
        }
        Ok(match (failed, topic_missing) {
            (true, _) => RoundEnd::SomeFailed,
            (false, true) => RoundEnd::TopicMissing,
            (false, false) => RoundEnd::Clean,
        })
    }

    /// The replays whose topic has been missing for so long that it does not exist.
    fn missing_for_long(&mut self, placement: &Placement) -> Vec<(Replay, String)> {
        for placed in &placement.placed {
            self.missing.remove(&placed.topic);
        }
        let mut refusals = Vec::new();
        for (planned, topic) in &placement.without_topic {
            let since = self
                .missing
                .entry(topic.clone())
                .or_insert_with(Instant::now);
            if since.elapsed() >= MISSING_TOPIC_LIMIT {
                let reason = format!("topic {topic} does not exist");
                refusals.push((planned.replay.clone(), reason));
            }
        }
        refusals
    }

    /// Renders as many records as may be in flight together; the others stay planned.
    async fn prepare(
        &self,
        placed: Vec<Placed>,
        left: &mut Vec<PlannedReplay>,
    ) -> Result<(Vec<Prepared>, Vec<(Replay, String)>), EngineError> {
        let mut prepared = Vec::new();
        let mut unsendable = Vec::new();
        let mut postponed = Vec::new();
        let mut bytes = 0;
        for Placed {
            planned,
            topic,
            high_watermark,
        } in placed
        {
            if bytes >= MOST_BYTES_IN_FLIGHT {
                postponed.push(planned);
                continue;
            }
            let replay = planned.replay;
            match load_message(&self.context.store, &replay, "").await? {
                Ok(message) => {
                    bytes += message.size();
                    prepared.push(Prepared {
                        replay,
                        topic,
                        message,
                        high_watermark,
                    });
                }
                Err(reason) => unsendable.push((replay, reason)),
            }
        }
        left.splice(0..0, postponed);
        Ok((prepared, unsendable))
    }

    /// Commits `sending` and answers the records that may leave now: what was cancelled meanwhile may
    /// not.
    async fn write_sending(&self, prepared: Vec<Prepared>) -> Result<Vec<Prepared>, EngineError> {
        let at = Timestamp::now();
        let sending = prepared.iter().map(|record| {
            let high_watermark = Some(record.high_watermark);
            (
                record.replay.id,
                ReplayEvent::Sending { at, high_watermark },
            )
        });
        let changed = self.context.advance(sending.collect()).await?;
        let mut by_id: HashMap<ReplayId, Prepared> = prepared
            .into_iter()
            .map(|record| (record.replay.id, record))
            .collect();
        Ok(changed
            .iter()
            .filter_map(|replay| by_id.remove(&replay.id))
            .collect())
    }

    /// Hands the records to the client in order and waits for what the broker says of each.
    async fn hand_over(&self, sending: Vec<Prepared>, begun: Instant) -> Vec<(Replay, Fate)> {
        let Some(producer) = &self.producer else {
            return Vec::new();
        };
        let mut pending = Vec::with_capacity(sending.len());
        for record in sending {
            let partition = record.high_watermark.partition;
            // A recovery relies on it that nothing leaves later.
            let delivery = if begun.elapsed() < HANDOVER_LIMIT {
                producer.enqueue(&record.topic, partition, &record.message)
            } else {
                let reason = "the store was too slow".to_owned();
                Err(SendError::NotReached { reason })
            };
            crash::point("kafka.enqueued");
            pending.push((record.replay, delivery));
        }
        let mut fates = Vec::with_capacity(pending.len());
        for (replay, delivery) in pending {
            let answer = match delivery {
                Ok(delivery) => delivery.wait().await,
                Err(error) => Err(error),
            };
            crash::point("kafka.answered");
            fates.push((replay, Fate::from(answer)));
        }
        fates
    }

    /// Commits what became of the records; answers whether any did not land.
    async fn write_fates(&mut self, fates: Vec<(Replay, Fate)>) -> Result<bool, EngineError> {
        let at = Timestamp::now();
        let mut events = Vec::with_capacity(fates.len());
        let mut not_reached = None;
        let mut failed = false;
        for (replay, fate) in fates {
            failed |= !matches!(fate, Fate::Landed(_));
            match fate {
                Fate::Landed(landing) => {
                    let landing = Some(landing);
                    events.push((replay.id, ReplayEvent::Confirmed { at, landing }));
                }
                Fate::Refused(reason) => {
                    events.extend(self.refusal(&replay, reason).await?);
                }
                Fate::NotReached(reason) => {
                    events.push((replay.id, ReplayEvent::ProvenAbsent));
                    not_reached = Some(reason);
                }
                Fate::Uncertain(reason) => {
                    tracing::warn!(replay = %replay.id, reason, "a replay has to be looked for");
                }
            }
        }
        self.context.advance(events).await?;
        if failed {
            self.drop_producer().await;
        }
        match not_reached {
            Some(reason) => Err(EngineError::NotReached(reason)),
            None => Ok(failed),
        }
    }

    async fn refuse(&self, refusals: Vec<(Replay, String)>) -> Result<(), EngineError> {
        let mut events = Vec::new();
        for (replay, reason) in refusals {
            events.extend(self.refusal(&replay, reason).await?);
        }
        self.context.advance(events).await?;
        Ok(())
    }

    /// A refusal, and with it the end of its key in this job: later events must not overtake it.
    async fn refusal(
        &self,
        replay: &Replay,
        reason: String,
    ) -> Result<Vec<(ReplayId, ReplayEvent)>, EngineError> {
        let mut events = vec![(replay.id, refused(reason))];
        let followers = self.followers(replay, "an earlier event of the same key failed");
        events.extend(followers.await?);
        Ok(events)
    }

    async fn followers(
        &self,
        replay: &Replay,
        reason: &str,
    ) -> Result<Vec<(ReplayId, ReplayEvent)>, StoreError> {
        let Some(topic) = topic_of(replay) else {
            return Ok(Vec::new());
        };
        let planned = self
            .context
            .store
            .planned_of_same_key(replay, topic)
            .await?;
        let later = planned.into_iter().filter(|id| *id > replay.id);
        Ok(later.map(|id| (id, refused(reason))).collect())
    }

    fn admin(&mut self) -> Result<KafkaAdmin, EngineError> {
        let admin = match self.admin.take() {
            Some(admin) => admin,
            None => KafkaAdmin::new(&self.config)?,
        };
        Ok(self.admin.insert(admin).clone())
    }

    fn make_producer(&mut self) -> Result<(), EngineError> {
        if self.producer.is_none() {
            let timeout = *self.context.settings.kafka_delivery_timeout;
            self.producer = Some(ReplayProducer::new(&self.config, timeout)?);
        }
        Ok(())
    }

    /// Nothing is to be done: the clients' threads and buffers are given back.
    async fn drop_clients(&mut self) {
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

impl From<Result<Landing, SendError>> for Fate {
    fn from(answer: Result<Landing, SendError>) -> Self {
        match answer {
            Ok(landing) => Self::Landed(landing),
            Err(SendError::NotPersisted { reason }) => Self::Refused(reason),
            Err(SendError::NotReached { reason }) => Self::NotReached(reason),
            Err(SendError::PossiblyPersisted { reason }) => Self::Uncertain(reason),
        }
    }
}
