use std::time::Duration;

use thiserror::Error;

use super::custody_rules::ANOTHER_CONSUMER;

/// Why something over AMQP failed.
#[derive(Debug, Error)]
pub enum AmqpError {
    #[error("rabbitmq.amqp_url of {cluster} cannot be used for virtual host {vhost}: {reason}")]
    Url {
        cluster: String,
        vhost: String,
        reason: String,
    },
    #[error(
        "cannot connect to RabbitMQ {cluster} at {address}, virtual host {vhost}; is it running there, and may the user of rabbitmq.amqp_url enter it?"
    )]
    Connect {
        cluster: String,
        /// Host and port of `rabbitmq.amqp_url`.
        address: String,
        vhost: String,
        source: Box<lapin::Error>,
    },
    #[error("RabbitMQ {cluster} at {address} did not answer within {after:?}")]
    Timeout {
        cluster: String,
        address: String,
        after: Duration,
    },
    #[error("RabbitMQ refused {action}")]
    Refused {
        action: String,
        source: Box<lapin::Error>,
    },
    #[error("RabbitMQ did not answer {action} within {after:?}; is it out of memory or disk?")]
    NoAnswer { action: String, after: Duration },
    #[error(
        "the consumer of {queue} was cancelled by RabbitMQ; what it held went back to the queue"
    )]
    ConsumerCancelled { queue: String },
    /// A queue must not be taken into custody beside it.
    #[error("{ANOTHER_CONSUMER}")]
    AnotherConsumer,
    #[error("the channel was closed before the settlement; the message went back to its queue")]
    ChannelGone,
    #[error("{name:?} is longer than the 255 bytes that AMQP allows")]
    NameTooLong { name: String },
    #[error("the message cannot be sent: {0}")]
    Message(String),
}
