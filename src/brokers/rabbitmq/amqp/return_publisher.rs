use std::time::Duration;

use lapin::options::BasicPublishOptions;
use lapin::{Channel, Confirmation, Connection};

use super::acceptable::refusal;
use super::connect::{ask, close, connect_publisher, short};
use super::convert::properties_of;
use super::error::AmqpError;
use crate::config::RabbitMqConfig;
use crate::domain::{Message, QueueName, VhostName};

/// RabbitMQ writes it to disk before it confirms.
const PERSISTENT: u8 = 2;

/// Headers that RabbitMQ writes at a delivery, or by which it would send copies elsewhere.
const LEFT_OUT: [&str; 5] = [
    "x-delivery-count",
    "x-acquired-count",
    "x-stream-offset",
    "CC",
    "BCC",
];

/// What became of a message on its way back into its queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReturnOutcome {
    /// The queue has it.
    Returned,
    /// It is surely not in the queue.
    Refused { reason: String },
    /// It may be in the queue; nothing more is sent on this connection.
    Unknown { reason: String },
}

/// A dead letter as it will lie in its queue again: as it was, without the counts of its deliveries, and
/// without what would send copies elsewhere or be refused (broker-facts B.3). `user` publishes it.
pub fn as_returned(message: &Message, queue: &QueueName, user: &str) -> Message {
    let is_kept = |name: &[u8]| !LEFT_OUT.iter().any(|left_out| left_out.as_bytes() == name);
    let mut returned = message.clone();
    returned.headers.retain(|header| is_kept(&header.name));
    let mut properties = returned.properties.take().unwrap_or_default();
    properties.exchange = String::new();
    queue.as_str().clone_into(&mut properties.routing_key);
    properties.delivery_mode = properties.delivery_mode.or(Some(PERSISTENT));
    properties.user_id = properties.user_id.filter(|id| id == user);
    returned.properties = Some(properties);
    returned
}

/// Publishes messages back into their queues, one after the other: with one message in flight lapin
/// attributes what is returned to the right one (broker-facts E.1).
pub struct ReturnPublisher {
    connection: Connection,
    channel: Channel,
    user: String,
    confirm_timeout: Duration,
}

impl ReturnPublisher {
    pub async fn open(
        config: &RabbitMqConfig,
        vhost: &VhostName,
        confirm_timeout: Duration,
    ) -> Result<Self, AmqpError> {
        let (connection, channel, user) = connect_publisher(config, vhost, "return").await?;
        Ok(Self {
            connection,
            channel,
            user,
            confirm_timeout,
        })
    }

    /// Publishes a message of [`as_returned`] into its queue and waits for the confirm.
    pub async fn publish(&self, queue: &QueueName, message: &Message) -> ReturnOutcome {
        if let Some(reason) = refusal(message, &self.user) {
            return ReturnOutcome::Refused { reason };
        }
        let properties = match properties_of(message) {
            Ok(properties) => properties,
            Err(reason) => return ReturnOutcome::Refused { reason },
        };
        let confirmed = async {
            let options = BasicPublishOptions {
                mandatory: true,
                ..BasicPublishOptions::default()
            };
            let body = message.body.as_deref().unwrap_or_default();
            let key = short(queue.as_str())?;
            let published = self
                .channel
                .basic_publish("".into(), key, options, body, properties);
            ask("a message", ask("a message", published).await?).await
        };
        match tokio::time::timeout(self.confirm_timeout, confirmed).await {
            Ok(Ok(confirmation)) => outcome(&confirmation, queue),
            Ok(Err(error)) => ReturnOutcome::Unknown {
                reason: crate::error_chain(&error),
            },
            Err(_elapsed) => ReturnOutcome::Unknown {
                reason: format!("no confirm within {:?}", self.confirm_timeout),
            },
        }
    }

    pub async fn close(self) {
        close(self.connection).await;
    }
}

fn outcome(confirmation: &Confirmation, queue: &QueueName) -> ReturnOutcome {
    match confirmation {
        Confirmation::Ack(None) => ReturnOutcome::Returned,
        Confirmation::Ack(Some(_)) => ReturnOutcome::Refused {
            reason: format!(
                "RabbitMQ finds no queue {queue}: it was deleted, or the node that leads it does not run"
            ),
        },
        Confirmation::Nack(_) => ReturnOutcome::Refused {
            reason: "the queue refused it; is it full, or without a quorum?".to_owned(),
        },
        Confirmation::NotRequested => ReturnOutcome::Unknown {
            reason: "the channel does not confirm".to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{AmqpProperties, AmqpValue, Header};

    #[test]
    fn a_returned_message_is_as_it_was_but_for_what_would_go_elsewhere_or_be_refused() {
        let message = Message {
            headers: vec![
                Header::amqp("CC", AmqpValue::Array(vec![AmqpValue::long_string("copy")])),
                Header::amqp("x-death", AmqpValue::Array(vec![])),
                Header::amqp("x-delivery-count", AmqpValue::I64(3)),
            ],
            properties: Some(Box::new(AmqpProperties {
                exchange: "dlx".to_owned(),
                routing_key: "dead".to_owned(),
                user_id: Some("shop".to_owned()),
                message_id: Some("m".to_owned()),
                priority: Some(4),
                ..AmqpProperties::default()
            })),
            ..Message::default()
        };
        let returned = as_returned(&message, &"q.dlq".into(), "redrive");
        assert_eq!(returned.headers, message.headers[1..2]);
        let properties = returned.properties.unwrap();
        assert_eq!(
            (
                properties.exchange.as_str(),
                properties.routing_key.as_str()
            ),
            ("", "q.dlq")
        );
        assert_eq!(
            (properties.user_id, properties.delivery_mode),
            (None, Some(PERSISTENT))
        );
        assert_eq!(
            (properties.message_id.as_deref(), properties.priority),
            (Some("m"), Some(4))
        );
        let own = as_returned(&message, &"q.dlq".into(), "shop");
        assert_eq!(own.properties.unwrap().user_id.as_deref(), Some("shop"));
    }
}
