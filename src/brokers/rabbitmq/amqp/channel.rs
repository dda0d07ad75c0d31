use std::time::Duration;

use futures_util::StreamExt as _;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, BasicRejectOptions,
    ConfirmSelectOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{Channel, Confirmation, Connection, Consumer, ExchangeKind};

use super::connect::{ask, close, configured_vhost, connect, refused, short};
use super::convert::{message_of, properties_of, table_of};
use super::error::AmqpError;
use crate::config::RabbitMqConfig;
use crate::domain::{AmqpValue, ExchangeName, Message, QueueName, VhostName};

/// An ordinary AMQP client on one connection and channel: declares, binds, publishes with confirms,
/// consumes. The sample workload and the tests use it.
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
        let channel = ask("opening a channel", connection.create_channel()).await?;
        let confirms = channel.confirm_select(ConfirmSelectOptions::default());
        ask("publisher confirms", confirms).await?;
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
        let (name, arguments) = (short(exchange.as_str())?, FieldTable::default());
        let declared = self
            .channel
            .exchange_declare(name, kind, options, arguments);
        ask(format!("declaring exchange {exchange}"), declared).await
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
        let name = short(queue.as_str())?;
        let declared = self.channel.queue_declare(name, options, arguments);
        ask(format!("declaring queue {queue}"), declared)
            .await
            .map(drop)
    }

    pub async fn bind_queue(
        &self,
        queue: &QueueName,
        exchange: &ExchangeName,
        routing_key: &str,
    ) -> Result<(), AmqpError> {
        let binding = (routing_key, &[][..]);
        self.bind_queue_with(queue, exchange, binding).await
    }

    /// The same with arguments, by which a headers exchange routes.
    pub async fn bind_queue_with(
        &self,
        queue: &QueueName,
        exchange: &ExchangeName,
        (routing_key, arguments): (&str, &[(String, AmqpValue)]),
    ) -> Result<(), AmqpError> {
        let (name, source) = (short(queue.as_str())?, short(exchange.as_str())?);
        let arguments = table_of(arguments).map_err(AmqpError::Message)?;
        let options = QueueBindOptions::default();
        let key = short(routing_key)?;
        let bound = self
            .channel
            .queue_bind(name, source, key, options, arguments);
        ask(
            format!("binding queue {queue} to exchange {exchange}"),
            bound,
        )
        .await
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
        let confirm = ask("a message", published).await?;
        match ask("a message", confirm).await? {
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
        let prefetch = self.channel.basic_qos(prefetch, BasicQosOptions::default());
        ask("setting the prefetch", prefetch).await?;
        let (name, tag) = (short(queue.as_str())?, short(&format!("redrive-{queue}"))?);
        let options = BasicConsumeOptions::default();
        let consumer = self
            .channel
            .basic_consume(name, tag, options, FieldTable::default());
        let consumer = ask(format!("consuming from {queue}"), consumer).await?;
        Ok(QueueConsumer {
            consumer,
            queue: queue.clone(),
        })
    }

    pub async fn close(self) {
        close(self.connection).await;
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
        let acknowledged = self.delivery.acker.ack(BasicAckOptions::default());
        settled(ask("an acknowledgement", acknowledged).await?)
    }

    /// Rejects for good: the queue's dead-letter exchange gets it.
    pub async fn reject(self) -> Result<(), AmqpError> {
        let options = BasicRejectOptions { requeue: false };
        let rejected = self.delivery.acker.reject(options);
        settled(ask("a rejection", rejected).await?)
    }
}

/// lapin says `false` where the channel is gone, and nothing was settled.
fn settled(sent: bool) -> Result<(), AmqpError> {
    if sent {
        Ok(())
    } else {
        Err(AmqpError::ChannelGone)
    }
}
