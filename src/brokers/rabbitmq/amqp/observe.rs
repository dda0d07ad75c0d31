use std::time::Duration;

use futures_util::StreamExt as _;
use lapin::options::{BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, Consumer};
use thiserror::Error;
use tokio::time::Instant;

use super::connect::{ask, close, connect, refused, short};
use super::convert::message_of;
use super::count::count;
use super::custody_rules::{GiveBack, observe_rule};
use super::error::AmqpError;
use super::managed::TakenMessage;
use crate::brokers::rabbitmq::{BrokerVersion, ManagementClient, QueueDetails, RabbitMqError};
use crate::config::RabbitMqConfig;
use crate::domain::{Message, QueueName, QueueSample, VhostName};

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

/// The first messages of a queue, copied while they were held.
#[derive(Clone, Debug)]
pub struct Window {
    pub messages: Vec<Message>,
    /// Messages that were ready in the queue when the look began.
    pub ready_before: u32,
    /// The same after all were given back. Less than before if the application took some meanwhile.
    pub ready_after: u32,
}

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

/// Looks at up to `limit` messages at the head of a queue, after asking the broker how the queue is set
/// at this moment: a policy may have changed since the last sample.
pub async fn observe_window(
    config: &RabbitMqConfig,
    request_timeout: Duration,
    place: (&VhostName, &QueueName),
    limit: u16,
) -> Result<Window, ObserveError> {
    let (give_back, limit) = may_be_held(config, request_timeout, place, limit).await?;
    look_at_window(config, place, limit, give_back).await
}

/// How messages at the head of the queue may be given back, and how many of them may be held at once.
pub(super) async fn may_be_held(
    config: &RabbitMqConfig,
    request_timeout: Duration,
    (vhost, queue): (&VhostName, &QueueName),
    limit: u16,
) -> Result<(GiveBack, u16), ObserveError> {
    let refused = |reason: String| ObserveError::Refused {
        queue: queue.clone(),
        reason,
    };
    let management = ManagementClient::new(&config.management_url, request_timeout)?;
    let version = management.overview().await?.version;
    let details = management.queue(vhost, queue).await?;
    let details = details.ok_or_else(|| refused("it does not exist any more".to_owned()))?;
    let give_back = current_rule(&details, &version).map_err(refused)?;
    Ok((give_back, limit_by_size(&details.sample, limit)))
}

fn current_rule(details: &QueueDetails, version: &BrokerVersion) -> Result<GiveBack, String> {
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

/// Takes up to `limit` messages from the head of a queue, copies them and gives all of them back at
/// their old place. [`observe_window`] asks first whether that is harmless and how to give back. A
/// connection that breaks in between gives them back as well.
pub async fn look_at_window(
    config: &RabbitMqConfig,
    (vhost, queue): (&VhostName, &QueueName),
    limit: u16,
    give_back: GiveBack,
) -> Result<Window, ObserveError> {
    let connection = connect(config, vhost, "look").await?;
    let looked = look(&connection, queue, limit, give_back).await;
    // Whatever failed before, closing gives back what is still held.
    close(connection).await;
    let window = looked?;
    if window.ready_after < window.ready_before {
        tracing::warn!(cluster = %config.name, %vhost, %queue, before = window.ready_before,
            after = window.ready_after, "the queue holds fewer messages than before the look; did \
            something else consume from it?");
    }
    Ok(window)
}

async fn look(
    connection: &Connection,
    queue: &QueueName,
    limit: u16,
    give_back: GiveBack,
) -> Result<Window, ObserveError> {
    let held = hold_window(connection, queue, limit, &|_| false).await?;
    give_back.all(&held.channel).await?;
    let ready_before = held.ready_before;
    let messages = held.messages?.into_iter().map(|one| one.message);
    Ok(Window {
        messages: messages.collect(),
        ready_before,
        ready_after: count_after(connection, queue, ready_before).await?,
    })
}

/// Messages at the head of a queue that are held on a channel of their own, whose consumer is cancelled.
pub(super) struct HeldWindow {
    pub(super) channel: Channel,
    /// What came, or why not all of it came; either way some may be held.
    pub(super) messages: Result<Vec<TakenMessage>, AmqpError>,
    pub(super) ready_before: u32,
}

/// Takes messages from the head of a queue, up to `limit` of them or up to the first that is wanted.
pub(super) async fn hold_window(
    connection: &Connection,
    queue: &QueueName,
    limit: u16,
    is_wanted: &(dyn Fn(&TakenMessage) -> bool + Sync),
) -> Result<HeldWindow, ObserveError> {
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
    let consumer = ask(format!("looking at {queue}"), consumer).await?;
    let messages = collect(consumer, queue, limit, is_wanted).await;
    // A live consumer would get the returned messages again at once, which counts as another delivery
    // (rabbitmq4.md 3).
    let cancelled = channel.basic_cancel(short(CONSUMER_TAG)?, BasicCancelOptions::default());
    ask("cancelling the look", cancelled).await?;
    Ok(HeldWindow {
        channel,
        messages,
        ready_before: before.ready,
    })
}

async fn collect(
    mut consumer: Consumer,
    queue: &QueueName,
    limit: u16,
    is_wanted: &(dyn Fn(&TakenMessage) -> bool + Sync),
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
        messages.push(TakenMessage {
            message: message_of(&delivery),
            redelivered: delivery.redelivered,
            delivery_tag: delivery.delivery_tag,
        });
        if messages.last().is_some_and(is_wanted) {
            break;
        }
    }
    Ok(messages)
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
