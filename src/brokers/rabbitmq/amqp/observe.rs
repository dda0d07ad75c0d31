use std::time::Duration;

use futures_util::StreamExt as _;
use lapin::options::{BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Consumer};
use tokio::time::Instant;

use super::connect::{connect, refused, short};
use super::convert::message_of;
use super::custody_rules::GiveBack;
use super::error::AmqpError;
use crate::config::RabbitMqConfig;
use crate::domain::{Message, QueueName, VhostName};

/// The queue has nothing more to give when nothing came for so long.
const IDLE: Duration = Duration::from_secs(1);

/// Messages are never held longer, whatever comes.
const LEASE: Duration = Duration::from_secs(10);

const CONSUMER_TAG: &str = "redrive-look";

/// The first messages of a queue, copied while they were held.
#[derive(Clone, Debug)]
pub struct Window {
    pub messages: Vec<Message>,
}

/// Takes up to `limit` messages from the head of a queue, copies them and gives all of them back at
/// their old place. Ask [`super::observe_rule`] first; it says how to give back. A connection that
/// breaks in between gives them back as well.
pub async fn look_at_window(
    config: &RabbitMqConfig,
    (vhost, queue): (&VhostName, &QueueName),
    limit: u16,
    give_back: GiveBack,
) -> Result<Window, AmqpError> {
    let connection = connect(config, vhost, "look").await?;
    let channel = connection
        .create_channel()
        .await
        .map_err(refused("opening a channel"))?;
    channel
        .basic_qos(limit, BasicQosOptions::default())
        .await
        .map_err(refused("setting the prefetch"))?;
    let options = BasicConsumeOptions::default();
    let consumer = channel
        .basic_consume(
            short(queue.as_str())?,
            short(CONSUMER_TAG)?,
            options,
            FieldTable::default(),
        )
        .await
        .map_err(refused(format!("looking at {queue}")))?;
    let messages = collect(consumer, queue, limit).await;
    let returned = return_all(&channel, give_back).await;
    // Whatever failed before, closing gives back what is still held.
    let _ = connection.close(200, "done".into()).await;
    returned?;
    Ok(Window {
        messages: messages?,
    })
}

async fn collect(
    mut consumer: Consumer,
    queue: &QueueName,
    limit: u16,
) -> Result<Vec<Message>, AmqpError> {
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
        messages.push(message_of(&delivery));
    }
    Ok(messages)
}

/// The consumer is cancelled first: a live one would get the returned messages again at once, which
/// counts as another delivery (rabbitmq4.md 3).
async fn return_all(channel: &Channel, give_back: GiveBack) -> Result<(), AmqpError> {
    channel
        .basic_cancel(short(CONSUMER_TAG)?, BasicCancelOptions::default())
        .await
        .map_err(refused("cancelling the look"))?;
    if give_back == GiveBack::Nack {
        channel
            .basic_nack(
                0,
                BasicNackOptions {
                    multiple: true,
                    requeue: true,
                },
            )
            .await
            .map_err(refused("giving the messages back"))?;
    }
    channel
        .close(200, "done".into())
        .await
        .map_err(refused("closing the channel"))
}
