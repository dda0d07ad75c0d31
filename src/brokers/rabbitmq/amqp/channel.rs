use std::time::Duration;

use futures_util::StreamExt as _;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, BasicRejectOptions,
    ConfirmSelectOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{Channel, Confirmation, Connection, Consumer, ExchangeKind};

use super::connect::{configured_vhost, connect, refused, short};
use super::convert::{message_of, properties_of, table_of};
use super::error::AmqpError;
use crate::config::RabbitMqConfig;
use crate::domain::{AmqpValue, ExchangeName, Message, QueueName, VhostName};

/// An ordinary AMQP client on one connection and channel: declares, binds, publishes with confirms,
/// consumes. The sample workload and the tests use it; Redrive itself declares nothing.
pub struct AmqpChannel {
    connection: Connection,
    channel: Channel,
}

impl AmqpChannel {
    /// Connects to the virtual host of the configured address.
    pub async fn open(config: &RabbitMqConfig, purpose: &str) -> Result<Self, AmqpError> {
        Self::open_in(config, &configured_vhost(config), purpose).await
    }

    pub async fn open_in(
        config: &RabbitMqConfig,
        vhost: &VhostName,
        purpose: &str,
    ) -> Result<Self, AmqpError> {
        let connection = connect(config, vhost, purpose).await?;
        let channel = connection
            .create_channel()
            .await
            .map_err(refused("opening a channel"))?;
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await
            .map_err(refused("publisher confirms"))?;
        Ok(Self {
            connection,
            channel,
        })
    }

    /// Declares a durable exchange; `kind` is `direct`, `topic`, `fanout` or `headers`.
    pub async fn declare_exchange(
        &self,
        exchange: &ExchangeName,
        kind: &str,
    ) -> Result<(), AmqpError> {
        let kind = match kind {
            "topic" => ExchangeKind::Topic,
            "fanout" => ExchangeKind::Fanout,
            "headers" => ExchangeKind::Headers,
            _ => ExchangeKind::Direct,
        };
        let options = ExchangeDeclareOptions {
            durable: true,
            ..ExchangeDeclareOptions::default()
        };
        self.channel
            .exchange_declare(
                short(exchange.as_str())?,
                kind,
                options,
                FieldTable::default(),
            )
            .await
            .map_err(refused(format!("declaring exchange {exchange}")))
    }

    /// Declares a durable queue with arguments such as `x-dead-letter-exchange`.
    pub async fn declare_queue(
        &self,
        queue: &QueueName,
        arguments: &[(String, AmqpValue)],
    ) -> Result<(), AmqpError> {
        let options = QueueDeclareOptions {
            durable: true,
            ..QueueDeclareOptions::default()
        };
        let arguments = table_of(arguments).map_err(AmqpError::Message)?;
        self.channel
            .queue_declare(short(queue.as_str())?, options, arguments)
            .await
            .map(drop)
            .map_err(refused(format!("declaring queue {queue}")))
    }

    pub async fn bind_queue(
        &self,
        queue: &QueueName,
        exchange: &ExchangeName,
        routing_key: &str,
    ) -> Result<(), AmqpError> {
        let (name, source) = (short(queue.as_str())?, short(exchange.as_str())?);
        let (options, arguments) = (QueueBindOptions::default(), FieldTable::default());
        self.channel
            .queue_bind(name, source, short(routing_key)?, options, arguments)
            .await
            .map_err(refused(format!(
                "binding queue {queue} to exchange {exchange}"
            )))
    }

    /// Publishes and waits for the confirm. A message that no queue takes is confirmed as well.
    pub async fn publish(
        &self,
        exchange: &ExchangeName,
        routing_key: &str,
        message: &Message,
    ) -> Result<(), AmqpError> {
        let properties = properties_of(message).map_err(AmqpError::Message)?;
        let body = message.body.as_deref().unwrap_or_default();
        let (exchange, routing_key) = (short(exchange.as_str())?, short(routing_key)?);
        let options = BasicPublishOptions::default();
        let published =
            self.channel
                .basic_publish(exchange, routing_key, options, body, properties);
        let confirm = published.await.map_err(refused("a message"))?;
        match confirm.await.map_err(refused("a message"))? {
            Confirmation::Ack(_) => Ok(()),
            Confirmation::Nack(_) | Confirmation::NotRequested => {
                Err(AmqpError::Message("the queue refused it".to_owned()))
            }
        }
    }

    /// Consumes a queue; each delivery has to be acknowledged or rejected.
    pub async fn consume(
        &self,
        queue: &QueueName,
        prefetch: u16,
    ) -> Result<QueueConsumer, AmqpError> {
        let options = BasicQosOptions::default();
        self.channel
            .basic_qos(prefetch, options)
            .await
            .map_err(refused("setting the prefetch"))?;
        let (name, tag) = (short(queue.as_str())?, short(&format!("redrive-{queue}"))?);
        let options = BasicConsumeOptions::default();
        let consumer = self
            .channel
            .basic_consume(name, tag, options, FieldTable::default());
        let consumer = consumer
            .await
            .map_err(refused(format!("consuming from {queue}")))?;
        Ok(QueueConsumer {
            consumer,
            queue: queue.clone(),
        })
    }

    pub async fn close(self) {
        // Nothing is in flight; a lost connection is as good.
        let _ = self.connection.close(200, "done".into()).await;
    }
}

/// The deliveries of one queue.
pub struct QueueConsumer {
    consumer: Consumer,
    queue: QueueName,
}

impl QueueConsumer {
    /// The next delivery, or `None` if none came within `max_wait`.
    pub async fn next(&mut self, max_wait: Duration) -> Result<Option<AmqpDelivery>, AmqpError> {
        let Ok(next) = tokio::time::timeout(max_wait, self.consumer.next()).await else {
            return Ok(None);
        };
        let cancelled = || AmqpError::ConsumerCancelled {
            queue: self.queue.to_string(),
        };
        let delivery = next.ok_or_else(cancelled)?;
        let delivery = delivery.map_err(refused(format!("reading from {}", self.queue)))?;
        let message = message_of(&delivery);
        Ok(Some(AmqpDelivery {
            message,
            redelivered: delivery.redelivered,
            delivery,
        }))
    }
}

/// One delivery that waits for its settlement.
pub struct AmqpDelivery {
    pub message: Message,
    pub redelivered: bool,
    delivery: lapin::message::Delivery,
}

impl AmqpDelivery {
    pub async fn acknowledge(self) -> Result<(), AmqpError> {
        let acknowledged = self.delivery.acker.ack(BasicAckOptions::default()).await;
        acknowledged
            .map(drop)
            .map_err(refused("an acknowledgement"))
    }

    /// Rejects for good: the queue's dead-letter exchange gets it.
    pub async fn reject(self) -> Result<(), AmqpError> {
        let rejected = self
            .delivery
            .acker
            .reject(BasicRejectOptions { requeue: false })
            .await;
        rejected.map(drop).map_err(refused("a rejection"))
    }
}
