use std::time::Duration;

use futures_util::StreamExt as _;
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions,
};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, Consumer};
use thiserror::Error;
use tokio::time::Instant;

use super::connect::{ask, close, connect, refused, short};
use super::convert::message_of;
use super::count::count;
use super::custody_rules::{GiveBack, LookRule, cost_refusal, observe_rule};
use super::error::AmqpError;
use super::fingerprint::{DELIVERY_COUNT, fingerprint};
use super::managed::TakenMessage;
use crate::brokers::rabbitmq::{BrokerVersion, ManagementClient, QueueDetails, RabbitMqError};
use crate::config::RabbitMqConfig;
use crate::domain::{HeaderValue, LookCost, Message, QueueName, QueuePlace, QueueSample};

/// The queue has nothing more to give when nothing came for so long.
const IDLE: Duration = Duration::from_secs(1);

/// Messages are never held longer, whatever comes.
const LEASE: Duration = Duration::from_secs(10);

/// After the messages were given back, the queue counts them again within this time.
const RECOUNT: Duration = Duration::from_secs(5);
const RECOUNT_PAUSE: Duration = Duration::from_millis(50);

/// All bodies of a window together; a queue of larger messages shows fewer of them.
const MAX_WINDOW_BYTES: u64 = 64 * 1024 * 1024;

const CONSUMER_TAG: &str = "redrive-look";

/// Why nothing was looked at, or what failed.
#[derive(Debug, Error)]
pub enum ObserveError {
    /// A look could harm the queue.
    #[error("{queue} was not looked at: {reason}")]
    Refused { queue: QueueName, reason: String },
    #[error(transparent)]
    Management(#[from] RabbitMqError),
    #[error(transparent)]
    Amqp(#[from] AmqpError),
}

/// What shall be held at the head of a queue.
#[derive(Clone, Copy, Debug)]
pub struct LookOrder<'a> {
    /// At most so many messages.
    pub limit: u16,
    /// No longer than until the first message with this fingerprint comes. What RabbitMQ has delivered by then is held
    /// as well.
    pub up_to: Option<&'a str>,
    /// A person accepts what a look costs, where it costs something.
    pub accepts_cost: bool,
}

impl LookOrder<'_> {
    /// At most so many messages, and only where that costs nothing.
    pub const fn free(limit: u16) -> Self {
        Self {
            limit,
            up_to: None,
            accepts_cost: false,
        }
    }
}

/// Holds messages at the head of a queue, after asking the broker how the queue is set at this moment: a policy may
/// have changed since the last sample.
pub async fn hold_window(
    config: &RabbitMqConfig,
    request_timeout: Duration,
    place: &QueuePlace,
    order: LookOrder<'_>,
) -> Result<HeldWindow, ObserveError> {
    let (vhost, queue) = (&place.vhost, &place.queue);
    let refused = |reason: String| ObserveError::Refused {
        queue: queue.clone(),
        reason,
    };
    let management = ManagementClient::new(&config.management_url, request_timeout)?;
    let version = management.overview().await?.version;
    let details = management.queue(vhost, queue).await?;
    let details = details.ok_or_else(|| refused("it does not exist any more".to_owned()))?;
    let rule = current_rule(&details, &version).map_err(refused)?;
    if let Some(cost) = rule.cost
        && !order.accepts_cost
    {
        return Err(refused(cost_refusal(cost, &details.sample, &version)));
    }
    let limit = limit_by_size(&details.sample, order.limit);
    let order = LookOrder { limit, ..order };
    HeldWindow::hold(config, place, order, rule).await
}

fn current_rule(details: &QueueDetails, version: &BrokerVersion) -> Result<LookRule, String> {
    // 4.3: what was returned, or what failed, is held back for a while.
    if let Some(kind @ ("all" | "returned")) = details.delayed_retry.as_deref() {
        return Err(format!(
            "its delayed-retry-type is {kind}: what is given back would be withheld from consumers"
        ));
    }
    observe_rule(&details.sample, version)
}

/// So many messages of their average size fit into a window; all of `limit` where the size is not known.
pub(super) fn limit_by_size(queue: &QueueSample, limit: u16) -> u16 {
    let (Some(bytes), Some(messages)) = (queue.bytes, queue.messages) else {
        return limit;
    };
    let average = bytes / messages.max(1);
    let fitting = MAX_WINDOW_BYTES / average.max(1);
    u16::try_from(fitting).map_or(limit, |fitting| limit.min(fitting.max(1)))
}

/// Messages at the head of a queue that are held on a channel of their own, whose consumer is cancelled. When this is
/// dropped, or its connection breaks, all that were not acknowledged go back to their places.
pub struct HeldWindow {
    connection: Connection,
    channel: Channel,
    place: QueuePlace,
    rule: LookRule,
    /// Which of the messages was wanted.
    wanted: Option<usize>,
    acknowledged: u32,
    /// All that is held, in the order of the queue; what was taken out is no longer among them.
    pub messages: Vec<TakenMessage>,
    /// Messages that were ready in the queue when the look began.
    pub ready_before: u32,
}

impl HeldWindow {
    /// Holds messages by a rule that the caller knows to be that of the queue; [`hold_window`] asks for it.
    pub async fn hold(
        config: &RabbitMqConfig,
        place: &QueuePlace,
        order: LookOrder<'_>,
        rule: LookRule,
    ) -> Result<Self, ObserveError> {
        let connection = connect(config, &place.vhost, "look").await?;
        let is_wanted = |one: &TakenMessage| {
            let is_it = |wanted| fingerprint(&place.vhost, &place.queue, &one.message) == wanted;
            order.up_to.is_some_and(is_it)
        };
        let held = hold_on(&connection, &place.queue, order.limit, &is_wanted, rule);
        match held.await {
            Ok((channel, messages, ready_before)) => Ok(Self {
                connection,
                channel,
                place: place.clone(),
                rule,
                wanted: messages.iter().position(is_wanted),
                acknowledged: 0,
                messages,
                ready_before,
            }),
            Err(error) => {
                // Closing gives back what is still held.
                close(connection).await;
                Err(error)
            }
        }
    }

    /// What it costs each message to be given back, by the settings of the queue when the look began.
    pub const fn cost(&self) -> Option<LookCost> {
        self.rule.cost
    }

    /// Takes out the message that was wanted, if it is among them. The caller stores and acknowledges it.
    pub fn take_wanted(&mut self) -> Option<TakenMessage> {
        let wanted = self.wanted.take()?;
        (wanted < self.messages.len()).then(|| self.messages.remove(wanted))
    }

    /// Takes out what came back so often that it must not be given back once more. The caller stores and
    /// acknowledges it. What was wanted is taken out before.
    pub fn take_worn(&mut self) -> Vec<TakenMessage> {
        self.wanted = None;
        let Some(cost) = self.cost() else {
            return Vec::new();
        };
        let is_worn = |one: &mut TakenMessage| cost.wears_out(came_back(&one.message));
        self.messages.extract_if(.., is_worn).collect()
    }

    /// Acknowledges messages, which must be on disk. When this returns, the broker has seen it.
    pub async fn acknowledge(&mut self, messages: &[TakenMessage]) -> Result<(), AmqpError> {
        let options = BasicAckOptions { multiple: false };
        for one in messages {
            let acknowledged = self.channel.basic_ack(one.delivery_tag, options);
            ask("an acknowledgement", acknowledged).await?;
            self.acknowledged += 1;
        }
        // An acknowledgement has no answer; the answer to a method after it proves that it arrived.
        let barrier = self.channel.basic_qos(1, BasicQosOptions::default());
        ask("the barrier after an acknowledgement", barrier).await
    }

    /// Gives back all that was not acknowledged; answers how many messages are ready in the queue then. It is logged
    /// if they are fewer than they should be.
    pub async fn give_back(self) -> Result<u32, AmqpError> {
        let expected = self.ready_before.saturating_sub(self.acknowledged);
        let returned = self.rule.give_back.all(&self.channel).await;
        let counted = match returned {
            Ok(()) => count_after(&self.connection, &self.place.queue, expected).await,
            Err(error) => Err(error),
        };
        // Whatever failed before, closing gives back what is still held.
        close(self.connection).await;
        let counted = counted?;
        if counted < expected {
            let QueuePlace {
                cluster,
                vhost,
                queue,
            } = &self.place;
            tracing::warn!(%cluster, %vhost, %queue, expected, counted,
                "the queue holds fewer messages than before the look; did something else consume from it?");
        }
        Ok(counted)
    }
}

/// How often a message came back to its queue. RabbitMQ writes it over what a publisher may have put there as soon
/// as it is one; before 4.3, a dead letter's first delivery may show the count of the queue in which it died.
fn came_back(message: &Message) -> u64 {
    let counts = message
        .headers
        .iter()
        .filter(|header| header.name == DELIVERY_COUNT.as_bytes());
    let counts = counts.filter_map(|header| match &header.value {
        HeaderValue::Amqp(value) => value.as_integer(),
        HeaderValue::Bytes(_) | HeaderValue::Null => None,
    });
    counts
        .filter_map(|count| u64::try_from(count).ok())
        .max()
        .unwrap_or(0)
}

/// Takes messages from the head of a queue, up to the limit or to the first that is wanted.
async fn hold_on(
    connection: &Connection,
    queue: &QueueName,
    limit: u16,
    is_wanted: &(impl Fn(&TakenMessage) -> bool + Sync),
    rule: LookRule,
) -> Result<(Channel, Vec<TakenMessage>, u32), ObserveError> {
    let before = count(connection, queue).await?;
    if before.consumers > 0 {
        return Err(ObserveError::Refused {
            queue: queue.clone(),
            reason: "a consumer has come in this moment".to_owned(),
        });
    }
    let channel = ask("opening a channel", connection.create_channel()).await?;
    let options = BasicQosOptions::default();
    ask("setting the prefetch", channel.basic_qos(limit, options)).await?;
    let (name, tag) = (short(queue.as_str())?, short(CONSUMER_TAG)?);
    let options = BasicConsumeOptions::default();
    let consumer = channel.basic_consume(name, tag, options, FieldTable::default());
    let mut consumer = ask(format!("looking at {queue}"), consumer).await?;
    let messages = collect(&mut consumer, queue, limit, is_wanted).await;
    // A live consumer would get the returned messages again at once, which counts as another delivery
    // (rabbitmq4.md 3).
    let cancelled = channel.basic_cancel(short(CONSUMER_TAG)?, BasicCancelOptions::default());
    ask("cancelling the look", cancelled).await?;
    match messages {
        Ok(mut messages) => {
            read_delivered(&mut consumer, queue, &mut messages).await?;
            Ok((channel, messages, before.ready))
        }
        Err(error) => {
            rule.give_back.all(&channel).await?;
            Err(error.into())
        }
    }
}

async fn collect(
    consumer: &mut Consumer,
    queue: &QueueName,
    limit: u16,
    is_wanted: &(impl Fn(&TakenMessage) -> bool + Sync),
) -> Result<Vec<TakenMessage>, AmqpError> {
    let mut messages = Vec::new();
    let lease_end = Instant::now() + LEASE;
    while messages.len() < usize::from(limit) {
        let wait = lease_end.min(Instant::now() + IDLE);
        let Ok(next) = tokio::time::timeout_at(wait, consumer.next()).await else {
            break;
        };
        let cancelled = || AmqpError::ConsumerCancelled {
            queue: queue.to_string(),
        };
        let delivery = next.ok_or_else(cancelled)?;
        let delivery = delivery.map_err(refused(format!("looking at {queue}")))?;
        messages.push(taken(&delivery));
        if messages.last().is_some_and(is_wanted) {
            break;
        }
    }
    Ok(messages)
}

/// What was delivered before the consumer was cancelled and not read yet: it goes back with all others, which counts
/// for it too.
async fn read_delivered(
    consumer: &mut Consumer,
    queue: &QueueName,
    messages: &mut Vec<TakenMessage>,
) -> Result<(), AmqpError> {
    while let Ok(Some(delivery)) = tokio::time::timeout(IDLE, consumer.next()).await {
        let delivery = delivery.map_err(refused(format!("looking at {queue}")))?;
        messages.push(taken(&delivery));
    }
    Ok(())
}

fn taken(delivery: &Delivery) -> TakenMessage {
    TakenMessage {
        message: message_of(delivery),
        redelivered: delivery.redelivered,
        delivery_tag: delivery.delivery_tag,
    }
}

impl GiveBack {
    /// Gives back everything that a channel holds, whose consumer is cancelled, and closes it.
    pub(super) async fn all(self, channel: &Channel) -> Result<(), AmqpError> {
        if self == Self::Nack {
            let everything = BasicNackOptions {
                multiple: true,
                requeue: true,
            };
            let returned = channel.basic_nack(0, everything);
            ask("giving the messages back", returned).await?;
        }
        ask("closing the channel", channel.close(200, "done".into())).await
    }
}

/// A queue learns of a closed channel a moment later.
async fn count_after(
    connection: &Connection,
    queue: &QueueName,
    expected: u32,
) -> Result<u32, AmqpError> {
    let deadline = Instant::now() + RECOUNT;
    loop {
        let ready = count(connection, queue).await?.ready;
        if ready >= expected || Instant::now() >= deadline {
            return Ok(ready);
        }
        tokio::time::sleep(RECOUNT_PAUSE).await;
    }
}
