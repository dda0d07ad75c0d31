use std::collections::HashMap;
use std::pin::pin;
use std::time::Duration;

use super::content::load_message;
use super::pacing::Pacing;
use super::{EngineContext, EngineError, MOST_BYTES_IN_FLIGHT, Next, refused, run_engine};
use crate::brokers::rabbitmq::amqp::{OutgoingMessage, PublishOutcome, ReplayPublisher};
use crate::config::RabbitMqConfig;
use crate::domain::{Destination, Message, ReplayEvent, ReplayId, Timestamp, VhostName};
use crate::replay::crash;
use crate::store::PlannedReplay;

/// Replays whose confirm is awaited together: after a crash at most so many are unknown.
const MOST_UNCONFIRMED: usize = 200;

/// A broker that throttles publishers stalls the publish itself, for which the confirm's own timeout
/// does not count.
const STALLED_PUBLISH: Duration = Duration::from_secs(2);

const STOPPED_BEFORE_CONFIRM: &str =
    "Redrive stopped before RabbitMQ confirmed it; look whether the consumer has seen it";

/// Sends the replays of one RabbitMQ cluster.
pub(in crate::replay) struct RabbitMqEngine {
    context: EngineContext,
    config: RabbitMqConfig,
    /// The user of the connection, whose name alone may stand in a message's `user_id`.
    user: String,
    /// The open connection: one virtual host at a time.
    publisher: Option<(VhostName, ReplayPublisher)>,
    pacing: Pacing,
}

impl RabbitMqEngine {
    pub(in crate::replay) fn new(context: EngineContext, config: RabbitMqConfig) -> Self {
        let user = config.user();
        Self {
            context,
            config,
            user,
            publisher: None,
            pacing: Pacing::default(),
        }
    }

    pub(in crate::replay) async fn run(self) {
        let context = self.context.clone();
        run_engine(self, context, Self::work).await;
    }

    /// Gives up what an earlier process left unconfirmed, then sends what is planned.
    async fn work(&mut self) -> Result<Next, EngineError> {
        self.give_up_unconfirmed().await?;
        let allowed = self.pacing.load(&self.context).await?;
        let mut planned = allowed.planned;
        if planned.is_empty() {
            if allowed.look_again.is_none() {
                self.close_publisher().await;
            }
            return Ok(Next::WhenTold.or_in(allowed.look_again));
        }
        while !planned.is_empty() && !self.context.stop.is_cancelled() {
            let batch = take_batch(&mut planned);
            self.send_batch(batch, &mut planned).await?;
        }
        Ok(Next::AtOnce)
    }

    /// RabbitMQ cannot be asked what a queue holds without touching it, so a person has to know, unless
    /// the replay is seen again.
    async fn give_up_unconfirmed(&self) -> Result<(), EngineError> {
        let cluster = &self.context.cluster;
        let sending = self.context.store.sending_replays(cluster).await?;
        if sending.is_empty() {
            return Ok(());
        }
        let at = Timestamp::now();
        let unknown = sending.iter().map(|replay| {
            let reason = STOPPED_BEFORE_CONFIRM.to_owned();
            (replay.id, ReplayEvent::Unprovable { at, reason })
        });
        crash::point("rabbitmq.recovery.found");
        self.context.advance(unknown.collect()).await?;
        crash::point("rabbitmq.recovery.committed");
        Ok(())
    }

    async fn send_batch(
        &mut self,
        batch: Vec<PlannedReplay>,
        left: &mut Vec<PlannedReplay>,
    ) -> Result<(), EngineError> {
        let Some(vhost) = batch.first().and_then(vhost_of).cloned() else {
            return Ok(());
        };
        let (outgoing, refusals) = self.prepare(batch, left).await?;
        self.context.advance(refusals).await?;
        if outgoing.is_empty() {
            return Ok(());
        }
        // A broker that is down is found out here, while everything is still planned.
        self.open_publisher(&vhost).await?;
        crash::point("rabbitmq.prepared");
        let outgoing = self.write_sending(outgoing).await?;
        crash::point("rabbitmq.sending.committed");
        let outcomes = self.publish(&outgoing).await;
        crash::point("rabbitmq.confirmed");
        self.write_outcomes(&outgoing, outcomes).await?;
        crash::point("rabbitmq.sent.committed");
        Ok(())
    }

    async fn prepare(
        &self,
        batch: Vec<PlannedReplay>,
        left: &mut Vec<PlannedReplay>,
    ) -> Result<(Vec<OutgoingMessage>, Vec<(ReplayId, ReplayEvent)>), EngineError> {
        let mut outgoing = Vec::with_capacity(batch.len());
        let mut refusals = Vec::new();
        let mut postponed = Vec::new();
        let mut bytes = 0;
        for planned in batch {
            if bytes >= MOST_BYTES_IN_FLIGHT {
                postponed.push(planned);
                continue;
            }
            let replay = &planned.replay;
            match load_message(&self.context.store, replay, &self.user).await? {
                Ok(message) => {
                    bytes += message.size();
                    outgoing.extend(addressed(&planned, message));
                }
                Err(reason) => refusals.push((replay.id, refused(reason))),
            }
        }
        left.splice(0..0, postponed);
        Ok((outgoing, refusals))
    }

    /// Commits `sending` and answers what may leave now: what was cancelled meanwhile may not.
    async fn write_sending(
        &self,
        outgoing: Vec<OutgoingMessage>,
    ) -> Result<Vec<OutgoingMessage>, EngineError> {
        let at = Timestamp::now();
        let high_watermark = None;
        let sending = outgoing
            .iter()
            .map(|message| (message.replay, ReplayEvent::Sending { at, high_watermark }));
        let changed = self.context.advance(sending.collect()).await?;
        let mut by_id: HashMap<ReplayId, OutgoingMessage> = outgoing
            .into_iter()
            .map(|message| (message.replay, message))
            .collect();
        let may_leave = changed.iter().filter_map(|replay| by_id.remove(&replay.id));
        Ok(may_leave.collect())
    }

    async fn publish(&mut self, outgoing: &[OutgoingMessage]) -> Vec<PublishOutcome> {
        let unknown = |reason: &str| {
            let reason = reason.to_owned();
            vec![PublishOutcome::Unknown { reason }; outgoing.len()]
        };
        let Some((_, publisher)) = &self.publisher else {
            return unknown("the connection was closed");
        };
        let limit = *self.context.settings.rabbitmq_confirm_timeout + STALLED_PUBLISH;
        let answered = tokio::time::timeout(limit, publish_batch(publisher, outgoing)).await;
        let outcomes = answered.unwrap_or_else(|_| {
            unknown("RabbitMQ took no messages in time; is it out of memory or disk?")
        });
        let is_unusable = |outcome: &PublishOutcome| {
            matches!(
                outcome,
                PublishOutcome::Unknown { .. } | PublishOutcome::NotSent
            )
        };
        if outcomes.iter().any(is_unusable) {
            self.close_publisher().await;
        }
        outcomes
    }

    async fn write_outcomes(
        &self,
        outgoing: &[OutgoingMessage],
        outcomes: Vec<PublishOutcome>,
    ) -> Result<(), EngineError> {
        let at = Timestamp::now();
        let events = outgoing.iter().zip(outcomes).map(|(message, outcome)| {
            let event = match outcome {
                PublishOutcome::Confirmed => ReplayEvent::Confirmed { at, landing: None },
                PublishOutcome::Refused { reason } => ReplayEvent::Refused { at, reason },
                PublishOutcome::NotSent => ReplayEvent::ProvenAbsent,
                PublishOutcome::Unknown { reason } => ReplayEvent::Unprovable { at, reason },
            };
            (message.replay, event)
        });
        self.context.advance(events.collect()).await?;
        Ok(())
    }

    async fn open_publisher(&mut self, vhost: &VhostName) -> Result<(), EngineError> {
        if self
            .publisher
            .as_ref()
            .is_some_and(|(open, _)| open == vhost)
        {
            return Ok(());
        }
        self.close_publisher().await;
        let timeout = *self.context.settings.rabbitmq_confirm_timeout;
        let publisher = ReplayPublisher::open(&self.config, vhost, timeout).await?;
        self.publisher = Some((vhost.clone(), publisher));
        Ok(())
    }

    async fn close_publisher(&mut self) {
        if let Some((_, publisher)) = self.publisher.take() {
            publisher.close().await;
        }
    }
}

async fn publish_batch(
    publisher: &ReplayPublisher,
    outgoing: &[OutgoingMessage],
) -> Vec<PublishOutcome> {
    let mut publishing = pin!(publisher.publish_batch(outgoing));
    tokio::select! {
        biased;
        outcomes = &mut publishing => return outcomes,
        () = std::future::ready(()) => crash::point("rabbitmq.publishing"),
    }
    publishing.await
}

/// The first replays that go to the same place, in order.
fn take_batch(planned: &mut Vec<PlannedReplay>) -> Vec<PlannedReplay> {
    let Some(first) = planned
        .first()
        .map(|first| first.replay.destination.clone())
    else {
        return Vec::new();
    };
    let mut batch = Vec::new();
    let mut left = Vec::new();
    for replay in planned.drain(..) {
        if replay.replay.destination == first && batch.len() < MOST_UNCONFIRMED {
            batch.push(replay);
        } else {
            left.push(replay);
        }
    }
    *planned = left;
    batch
}

const fn vhost_of(planned: &PlannedReplay) -> Option<&VhostName> {
    match &planned.replay.destination {
        Destination::RabbitMq { vhost, .. } => Some(vhost),
        Destination::Kafka { .. } => None,
    }
}

fn addressed(planned: &PlannedReplay, message: Message) -> Option<OutgoingMessage> {
    match &planned.replay.destination {
        Destination::RabbitMq {
            exchange,
            routing_key,
            ..
        } => Some(OutgoingMessage {
            replay: planned.replay.id,
            exchange: exchange.clone(),
            routing_key: routing_key.clone(),
            message,
        }),
        Destination::Kafka { .. } => None,
    }
}
