use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _};
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, Consumer};
use tokio::time::Instant;

use super::connect::{connect, refused, short};
use super::convert::message_of;
use super::error::AmqpError;
use crate::config::RabbitMqConfig;
use crate::domain::{Message, QueueName, VhostName};

/// A message that is held and not acknowledged yet.
#[derive(Clone, Debug)]
pub struct TakenMessage {
    pub message: Message,
    /// It was delivered before, perhaps to us before a crash.
    pub redelivered: bool,
    pub delivery_tag: u64,
}

/// Empties a queue batch by batch. What was not acknowledged goes back to the queue when this is
/// dropped; after an error it has to be.
pub struct ManagedConsumer {
    connection: Connection,
    channel: Channel,
    consumer: Consumer,
    queue: QueueName,
    prefetch: u16,
}

impl ManagedConsumer {
    pub async fn open(
        config: &RabbitMqConfig,
        vhost: &VhostName,
        queue: &QueueName,
        prefetch: u16,
    ) -> Result<Self, AmqpError> {
        let connection = connect(config, vhost, "intake").await?;
        let channel = connection
            .create_channel()
            .await
            .map_err(refused("opening a channel"))?;
        channel
            .basic_qos(prefetch, BasicQosOptions::default())
            .await
            .map_err(refused("setting the prefetch"))?;
        let consumer = channel
            .basic_consume(
                short(queue.as_str())?,
                short("redrive-intake")?,
                BasicConsumeOptions::default(),
                FieldTable::default(),
            )
            .await
            .map_err(refused(format!("consuming from {queue}")))?;
        Ok(Self {
            connection,
            channel,
            consumer,
            queue: queue.clone(),
            prefetch,
        })
    }

    /// Waits up to `max_wait` for a message, then takes what is there, up to `max_messages`.
    pub async fn next_batch(
        &mut self,
        max_messages: usize,
        max_wait: Duration,
    ) -> Result<Vec<TakenMessage>, AmqpError> {
        let mut batch = Vec::new();
        let deadline = Instant::now() + max_wait;
        let Ok(first) = tokio::time::timeout_at(deadline, self.consumer.next()).await else {
            return Ok(batch);
        };
        batch.push(self.taken(first)?);
        while batch.len() < max_messages {
            match self.consumer.next().now_or_never() {
                Some(next) => batch.push(self.taken(next)?),
                None => break,
            }
        }
        Ok(batch)
    }

    /// The end of the stream means that the broker took the messages back (rabbitmq4.md 8).
    fn taken(
        &self,
        next: Option<lapin::Result<lapin::message::Delivery>>,
    ) -> Result<TakenMessage, AmqpError> {
        let cancelled = || AmqpError::ConsumerCancelled {
            queue: self.queue.to_string(),
        };
        let delivery = next.ok_or_else(cancelled)?;
        let delivery = delivery.map_err(refused(format!("reading from {}", self.queue)))?;
        Ok(TakenMessage {
            message: message_of(&delivery),
            redelivered: delivery.redelivered,
            delivery_tag: delivery.delivery_tag,
        })
    }

    /// Acknowledges everything up to this tag and waits until the broker has seen it. Only for what is
    /// on disk.
    pub async fn acknowledge_through(&self, delivery_tag: u64) -> Result<(), AmqpError> {
        self.channel
            .basic_ack(delivery_tag, BasicAckOptions { multiple: true })
            .await
            .map_err(refused("an acknowledgement"))?;
        // An acknowledgement has no answer; the answer to a method after it proves that it arrived.
        self.channel
            .basic_qos(self.prefetch, BasicQosOptions::default())
            .await
            .map_err(refused("the barrier after an acknowledgement"))
    }

    /// Gives back what was not acknowledged and ends the connection.
    pub async fn close(self) {
        // It is over either way; the broker notices a lost connection as well.
        let _ = self.connection.close(200, "done".into()).await;
    }
}
