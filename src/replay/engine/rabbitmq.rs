use std::collections::{HashSet, VecDeque};
use std::pin::pin;
use std::time::{Duration, Instant};

use super::content::load_messages;
use super::pacing::Pacing;
use super::queue::SendQueue;
use super::round::take;
use super::{EngineContext, EngineError, Next, SetAside, beside, refused, run_engine};
use crate::brokers::rabbitmq::amqp::{OutgoingMessage, PublishOutcome, ReplayPublisher};
use crate::config::RabbitMqConfig;
use crate::domain::{Destination, Message, Replay, ReplayEvent, ReplayState, Timestamp, VhostName};
use crate::replay::crash;
use crate::store::PlannedReplay;

/// Replays whose confirm is awaited together. While they are with the broker, what it said of as many
/// before is written down together with *sending* of as many after: a crash leaves at most twice as many
/// unknown.
const BATCH: usize = 100;

/// Looking for exchanges comes before the time in which confirms are awaited.
const TIME_TO_FIND_EXCHANGES: Duration = Duration::from_secs(2);

const STOPPED_BEFORE_CONFIRM: &str =
    "Redrive stopped before RabbitMQ confirmed it; look whether the consumer has seen it";

/// Messages with the replays that they are, in the same order.
#[derive(Default)]
struct Outgoing {
    replays: Vec<Replay>,
    messages: Vec<OutgoingMessage>,
}

/// Sends the replays of one RabbitMQ cluster.
pub(in crate::replay) struct RabbitMqEngine {
    context: EngineContext,
    config: RabbitMqConfig,
    /// The user of the connection, whose name alone may stand in a message's `user_id`.
    user: String,
    /// The open connection: one virtual host at a time.
    publisher: Option<(VhostName, ReplayPublisher)>,
    /// Virtual hosts that cannot be entered.
    aside: SetAside<VhostName>,
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
            aside: SetAside::default(),
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
        let look_again = allowed.look_again;
        let mut queue = SendQueue::new(allowed);
        let now = Instant::now();
        let aside: HashSet<VhostName> = self.aside.held(now).cloned().collect();
        queue.keep_only(move |replay| !vhost_of(replay).is_some_and(|vhost| aside.contains(vhost)));
        let first = queue.first(&self.context).await;
        let Some(vhost) = first.and_then(vhost_of).cloned() else {
            let next = Next::WhenTold.or_in(look_again).or_in(self.aside.next(now));
            if next == Next::WhenTold {
                self.close_publisher().await;
            }
            return Ok(next);
        };
        // A broker that is down is found out here, while everything is still planned.
        if let Err(error) = self.open_publisher(&vhost).await {
            let (cluster, error) = (&self.context.cluster, crate::error_chain(&error));
            tracing::warn!(%cluster, %vhost, error, "replays to this virtual host have to wait");
            self.context.obstacles.note(cluster, error);
            self.aside.put(vhost, now);
            return Ok(Next::AtOnce);
        }
        queue.keep_only({
            let vhost = vhost.clone();
            move |replay| vhost_of(replay) == Some(&vhost)
        });
        self.send_all(queue).await?;
        Ok(Next::AtOnce)
    }

    /// Sends what goes to one virtual host, batch by batch, until something goes wrong.
    async fn send_all(&mut self, mut queue: SendQueue) -> Result<(), EngineError> {
        let first = take_batch(queue.planned());
        let (mut outgoing, mut events) =
            prepare(self.context.clone(), self.user.clone(), first).await?;
        let mut in_hand = Outgoing::default();
        loop {
            if self.context.stop.is_cancelled() {
                outgoing = Outgoing::default();
                queue.clear();
            }
            let is_in_hand = !in_hand.messages.is_empty();
            if !queue.refill(&self.context, is_in_hand).await {
                outgoing = Outgoing::default();
            }
            let (context, user, wanted) = (&self.context, &self.user, outgoing.replays.len());
            let next = take_batch(queue.planned());
            let (ready, rendered, outcomes) = tokio::join!(
                beside(write_down(context.clone(), events, outgoing)),
                beside(prepare(context.clone(), user.clone(), next)),
                self.publish(&in_hand.messages),
            );
            let is_broken = outcomes.iter().any(is_unusable);
            events = events_of(in_hand.replays, outcomes);
            let (ready, mut rendered) = match (ready, rendered) {
                (Ok(ready), Ok(rendered)) if !is_broken => (ready, rendered),
                (ready, rendered) => {
                    let (ready, problem) = match ready {
                        Ok(ready) => (ready, rendered.err()),
                        Err(error) => (Outgoing::default(), Some(error)),
                    };
                    // What waits was surely not sent.
                    let unsent = ready.replays.into_iter();
                    events.extend(unsent.map(|replay| (replay, ReplayEvent::ProvenAbsent)));
                    self.context.advance_known(events).await?;
                    self.close_publisher().await;
                    return problem.map_or(Ok(()), Err);
                }
            };
            events.extend(rendered.1);
            // What was paused or cancelled meanwhile is not overtaken by a later event.
            if ready.replays.len() < wanted {
                rendered.0 = Outgoing::default();
                queue.clear();
            }
            if ready.messages.is_empty() && events.is_empty() && rendered.0.messages.is_empty() {
                return Ok(());
            }
            (in_hand, outgoing) = (ready, rendered.0);
        }
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

    async fn publish(&self, outgoing: &[OutgoingMessage]) -> Vec<PublishOutcome> {
        if outgoing.is_empty() {
            return Vec::new();
        }
        let Some((_, publisher)) = &self.publisher else {
            return vec![PublishOutcome::NotSent; outgoing.len()];
        };
        let limit = *self.context.settings.rabbitmq_confirm_timeout + TIME_TO_FIND_EXCHANGES;
        let (cluster, replays) = (self.config.name.as_str(), outgoing.len());
        let _round = tracing::info_span!(parent: None, "replay_round", cluster, replays);
        let answered = tokio::time::timeout(limit, publish_batch(publisher, outgoing)).await;
        let outcomes = answered.unwrap_or_else(|_| {
            let reason = "RabbitMQ took no messages in time; is it out of memory or disk?";
            let reason = reason.to_owned();
            vec![PublishOutcome::Unknown { reason }; outgoing.len()]
        });
        crash::point("rabbitmq.confirmed");
        outcomes
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

/// Renders messages, and refuses what will never be sent as it is.
async fn prepare(
    context: EngineContext,
    user: String,
    batch: Vec<PlannedReplay>,
) -> Result<(Outgoing, Vec<(Replay, ReplayEvent)>), EngineError> {
    let planned: Vec<&PlannedReplay> = batch.iter().collect();
    let messages = load_messages(&context.store, &planned, &user).await?;
    let mut outgoing = Outgoing::default();
    let mut refusals = Vec::new();
    let is_empty = batch.is_empty();
    for (PlannedReplay { replay, .. }, message) in batch.into_iter().zip(messages) {
        match message {
            Ok(message) => {
                if let Some(message) = addressed(&replay, message) {
                    outgoing.messages.push(message);
                    outgoing.replays.push(replay);
                }
            }
            Err(reason) => refusals.push((replay, refused(reason))),
        }
    }
    if !is_empty {
        crash::point("rabbitmq.prepared");
    }
    Ok((outgoing, refusals))
}

/// Commits what became of earlier messages together with *sending* of the next, and answers what
/// may leave now: what was cancelled or paused meanwhile may not.
async fn write_down(
    context: EngineContext,
    mut events: Vec<(Replay, ReplayEvent)>,
    outgoing: Outgoing,
) -> Result<Outgoing, EngineError> {
    let at = Timestamp::now();
    let was_sent = !events.is_empty();
    let sending = outgoing.replays.into_iter();
    let sending = sending.map(|replay| {
        let event = ReplayEvent::Sending {
            at,
            high_watermark: None,
            topic_id: None,
        };
        (replay, event)
    });
    events.extend(sending);
    let changed = context.advance_known(events).await?;
    if was_sent {
        crash::point("rabbitmq.sent.committed");
    }
    if outgoing.messages.is_empty() {
        return Ok(Outgoing::default());
    }
    crash::point("rabbitmq.sending.committed");
    // In the order of the messages.
    let is_sending = |replay: &Replay| matches!(replay.state, ReplayState::Sending { .. });
    let mut sending = changed.into_iter().filter(is_sending).peekable();
    let mut ready = Outgoing::default();
    for message in outgoing.messages {
        if let Some(replay) = sending.next_if(|sending| sending.id == message.replay) {
            ready.messages.push(message);
            ready.replays.push(replay);
        }
    }
    Ok(ready)
}

/// Whether nothing more may be published on this connection.
const fn is_unusable(outcome: &PublishOutcome) -> bool {
    matches!(
        outcome,
        PublishOutcome::Unknown { .. } | PublishOutcome::NotSent
    )
}

fn events_of(replays: Vec<Replay>, outcomes: Vec<PublishOutcome>) -> Vec<(Replay, ReplayEvent)> {
    let at = Timestamp::now();
    let events = replays.into_iter().zip(outcomes).map(|(replay, outcome)| {
        let event = match outcome {
            PublishOutcome::Confirmed => ReplayEvent::Confirmed { at, landing: None },
            PublishOutcome::Refused { reason } => ReplayEvent::Refused { at, reason },
            PublishOutcome::NotSent => ReplayEvent::ProvenAbsent,
            PublishOutcome::Unknown { reason } => ReplayEvent::Unprovable { at, reason },
        };
        (replay, event)
    });
    events.collect()
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

/// The first replays that go to the same place, in order, as many as may be in flight together.
fn take_batch(planned: &mut VecDeque<PlannedReplay>) -> Vec<PlannedReplay> {
    let Some(first) = planned
        .front()
        .map(|first| first.replay.destination.clone())
    else {
        return Vec::new();
    };
    take(planned, BATCH, |replay| replay.replay.destination == first)
}

const fn vhost_of(replay: &Replay) -> Option<&VhostName> {
    match &replay.destination {
        Destination::RabbitMq { vhost, .. } => Some(vhost),
        Destination::Kafka { .. } => None,
    }
}

fn addressed(replay: &Replay, message: Message) -> Option<OutgoingMessage> {
    match &replay.destination {
        Destination::RabbitMq {
            exchange,
            routing_key,
            ..
        } => Some(OutgoingMessage {
            replay: replay.id,
            exchange: exchange.clone(),
            routing_key: routing_key.clone(),
            message,
        }),
        Destination::Kafka { .. } => None,
    }
}
