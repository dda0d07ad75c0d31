//! The queue in which a tap of the traces gets copies of events.
//!
//! It is the only thing that Redrive declares on a broker, and nobody else's: a durable classic queue (RabbitMQ
//! 4.3 refuses transient ones that are not exclusive), which the broker deletes when nobody has used it for
//! [`TAP_EXPIRES`], and which drops its oldest messages rather than grow. All of this stands in its arguments,
//! because a policy of the virtual host counts only where no argument does: without `x-overflow` one could let
//! a full queue refuse what publishers send (`reject-publish`), without `x-queue-type` the virtual host's
//! default type would count, and without a dead-letter exchange of its own what it drops could land in
//! somebody's DLQ. Its dead letters go to the default exchange with a key that no queue can have
//! ([`TAP_DEAD_LETTER_KEY`]).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lapin::options::{BasicConsumeOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::{Channel, Connection, ErrorKind};
use thiserror::Error;

use super::connect::{ask, close, configured_vhost, connect, short};
use super::convert::table_of;
use super::error::AmqpError;
use super::managed::ManagedConsumer;
use crate::config::RabbitMqConfig;
use crate::domain::conventions::TAP_DEAD_LETTER_KEY;
use crate::domain::{AmqpValue, ExchangeName, QueueName, VhostName};

/// The broker deletes a tap's queue, and the bindings with it, when nobody has used it for so long.
pub const TAP_EXPIRES: Duration = Duration::from_mins(30);

/// The bodies in a tap's queue together.
pub const TAP_MAX_BYTES: u64 = 64 * 1024 * 1024;

/// A tap's queue in one virtual host.
#[derive(Clone, Debug)]
pub struct TapQueue {
    pub vhost: VhostName,
    pub queue: QueueName,
    pub max_length: u64,
}

/// A binding of a tap's queue.
#[derive(Clone, Debug, PartialEq)]
pub struct TapCopy {
    pub exchange: ExchangeName,
    pub routing_key: String,
    pub arguments: Vec<(String, AmqpValue)>,
}

/// Why a tap's queue cannot be used, and what the operator can do about it.
#[derive(Debug, Error)]
pub enum TapQueueError {
    #[error(
        "the queue {queue} of virtual host {vhost} is there with other settings; delete it, or name another in \
         traces.rabbitmq_queue"
    )]
    OtherSettings {
        vhost: VhostName,
        queue: QueueName,
        source: AmqpError,
    },
    #[error(
        "somebody else consumes the queue {queue} of virtual host {vhost}; if that is another Redrive, give each \
         its own traces.rabbitmq_queue"
    )]
    InUse {
        vhost: VhostName,
        queue: QueueName,
        source: AmqpError,
    },
    #[error(
        "the user of rabbitmq.amqp_url needs in virtual host {vhost}: configure, write and read on the queue \
         {queue}, write on amq.default, and read on the exchanges"
    )]
    NotPermitted {
        vhost: VhostName,
        queue: QueueName,
        source: AmqpError,
    },
    #[error(transparent)]
    Amqp(#[from] AmqpError),
}

/// The virtual hosts that the configuration of a cluster names.
pub fn configured_vhosts(config: &RabbitMqConfig) -> BTreeSet<VhostName> {
    let queues = config.queues.iter().map(|queue| queue.vhost.clone());
    queues.chain([configured_vhost(config)]).collect()
}

impl TapQueue {
    /// Declares the queue and consumes it, with what waited in it before. Nobody else can consume it meanwhile.
    pub async fn consume(
        &self,
        config: &RabbitMqConfig,
        prefetch: u16,
    ) -> Result<(ManagedConsumer, u64), TapQueueError> {
        let connection = connect(config, &self.vhost, "traces").await?;
        let waiting = self.declare(&connection).await;
        let waiting = waiting.map_err(|error| self.explained(error))?;
        let options = BasicConsumeOptions {
            exclusive: true,
            ..BasicConsumeOptions::default()
        };
        let consumer = ManagedConsumer::on(connection, &self.queue, prefetch, options).await;
        Ok((consumer.map_err(|error| self.explained(error))?, waiting))
    }

    async fn declare(&self, connection: &Connection) -> Result<u64, AmqpError> {
        let channel = ask("opening a channel", connection.create_channel()).await?;
        let options = QueueDeclareOptions {
            durable: true,
            ..QueueDeclareOptions::default()
        };
        let arguments = table_of(&self.arguments()).map_err(AmqpError::Message)?;
        let declared = channel.queue_declare(short(self.queue.as_str())?, options, arguments);
        let declared = ask(format!("declaring queue {}", self.queue), declared).await?;
        ask("closing the channel", channel.close(200, "done".into())).await?;
        Ok(declared.message_count().into())
    }

    fn arguments(&self) -> Vec<(String, AmqpValue)> {
        let text = |name: &str, value: &str| (name.to_owned(), AmqpValue::long_string(value));
        let number = |name: &str, value: u64| {
            let value = i64::try_from(value).unwrap_or(i64::MAX);
            (name.to_owned(), AmqpValue::I64(value))
        };
        let expires = u64::try_from(TAP_EXPIRES.as_millis()).unwrap_or(u64::MAX);
        vec![
            text("x-queue-type", "classic"),
            number("x-expires", expires),
            number("x-max-length", self.max_length),
            number("x-max-length-bytes", TAP_MAX_BYTES),
            text("x-overflow", "drop-head"),
            text("x-dead-letter-exchange", ""),
            text("x-dead-letter-routing-key", TAP_DEAD_LETTER_KEY),
        ]
    }

    /// Removes and adds bindings; tells of which exchanges the broker refused it, and why. The queue is there.
    pub async fn rebind(
        &self,
        config: &RabbitMqConfig,
        remove: &[TapCopy],
        add: &[TapCopy],
    ) -> Result<BTreeMap<ExchangeName, String>, AmqpError> {
        if remove.is_empty() && add.is_empty() {
            return Ok(BTreeMap::new());
        }
        let connection = connect(config, &self.vhost, "traces bindings").await?;
        let refused = self.rebind_on(&connection, remove, add).await;
        close(connection).await;
        refused
    }

    async fn rebind_on(
        &self,
        connection: &Connection,
        remove: &[TapCopy],
        add: &[TapCopy],
    ) -> Result<BTreeMap<ExchangeName, String>, AmqpError> {
        let open = async || ask("opening a channel", connection.create_channel()).await;
        let mut refused = BTreeMap::new();
        let mut channel = open().await?;
        let steps = remove.iter().map(|copy| (copy, Step::Unbind));
        for (copy, step) in steps.chain(add.iter().map(|copy| (copy, Step::Bind))) {
            if refused.contains_key(&copy.exchange) {
                continue;
            }
            let Err(error) = self.step(&channel, copy, step).await else {
                continue;
            };
            // It closed the channel alone.
            let Some(reason) = soft_error(&error).map(reason_of) else {
                return Err(error);
            };
            refused.insert(copy.exchange.clone(), reason);
            channel = open().await?;
        }
        Ok(refused)
    }

    async fn step(&self, channel: &Channel, copy: &TapCopy, step: Step) -> Result<(), AmqpError> {
        let (name, source) = (short(self.queue.as_str())?, short(copy.exchange.as_str())?);
        let key = short(&copy.routing_key)?;
        let arguments = table_of(&copy.arguments).map_err(AmqpError::Message)?;
        match step {
            Step::Bind => {
                let options = QueueBindOptions::default();
                let bound = channel.queue_bind(name, source, key, options, arguments);
                ask(format!("a binding to exchange {}", copy.exchange), bound).await
            }
            Step::Unbind => {
                let unbound = channel.queue_unbind(name, source, key, arguments);
                let action = format!("removing a binding to exchange {}", copy.exchange);
                ask(action, unbound).await
            }
        }
    }

    fn explained(&self, error: AmqpError) -> TapQueueError {
        let (vhost, queue) = (self.vhost.clone(), self.queue.clone());
        match soft_error(&error) {
            Some((AMQPSoftError::ACCESSREFUSED, text)) if text.contains("exclusive use") => {
                TapQueueError::InUse {
                    vhost,
                    queue,
                    source: error,
                }
            }
            Some((AMQPSoftError::ACCESSREFUSED, _)) => TapQueueError::NotPermitted {
                vhost,
                queue,
                source: error,
            },
            // Precondition failed, or locked.
            Some((_, text)) if text.contains("inequivalent") || text.contains("locked queue") => {
                TapQueueError::OtherSettings {
                    vhost,
                    queue,
                    source: error,
                }
            }
            _ => error.into(),
        }
    }
}

#[derive(Clone, Copy)]
enum Step {
    Bind,
    Unbind,
}

/// What the broker answered by closing the channel.
fn soft_error(error: &AmqpError) -> Option<(&AMQPSoftError, &str)> {
    let AmqpError::Refused { source, .. } = error else {
        return None;
    };
    let ErrorKind::ProtocolError(answer) = source.kind() else {
        return None;
    };
    match answer.kind() {
        AMQPErrorKind::Soft(soft) => Some((soft, answer.get_message().as_str())),
        AMQPErrorKind::Hard(_) => None,
    }
}

fn reason_of((soft, text): (&AMQPSoftError, &str)) -> String {
    match soft {
        AMQPSoftError::ACCESSREFUSED => format!(
            "the user of rabbitmq.amqp_url may not bind to it: it needs read on the exchange and write on the \
             queue ({text})"
        ),
        _ => text.to_owned(),
    }
}
