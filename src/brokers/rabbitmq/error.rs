use std::time::Duration;

use thiserror::Error;

/// Why RabbitMQ could not be asked, and what the operator can do about it. `api` is the part that was
/// asked with its address and without credentials: "management API at 127.0.0.1:15672".
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RabbitMqError {
    #[error("{api} cannot be reached ({reason}); check that RabbitMQ runs there and {key}")]
    Unreachable {
        api: String,
        key: &'static str,
        reason: String,
    },
    #[error(
        "{api} did not answer within {timeout:?} ({request}); the broker is overloaded or \
         sampling.request_timeout is too short"
    )]
    Timeout {
        api: String,
        request: &'static str,
        timeout: Duration,
    },
    #[error("{api} refuses the user ({reason}); check user and password in {key}")]
    LoginRefused {
        api: String,
        key: &'static str,
        reason: String,
    },
    #[error(
        "{api} lets the user log in but not read ({reason}): give it the tag management with \
         `rabbitmqctl set_user_tags USER management`"
    )]
    TagMissing { api: String, reason: String },
    #[error("{api} answers {request} with HTTP status {status}; check {key}")]
    UnexpectedStatus {
        api: String,
        key: &'static str,
        request: &'static str,
        status: u16,
    },
    #[error("{api} answers {request} with more than {limit} bytes, which is not read")]
    AnswerTooLarge {
        api: String,
        request: &'static str,
        limit: usize,
    },
    #[error("{api} answers {request} with nonsense ({reason}); check that {key} leads to RabbitMQ")]
    Nonsense {
        api: String,
        key: &'static str,
        request: &'static str,
        reason: String,
    },
    #[error(
        "RabbitMQ lists the queue {queue} and cannot reach it: the node that leads it does not run; start \
         that node"
    )]
    QueueOutOfReach { queue: String },
    #[error("{key} is not usable: {reason}")]
    Configuration { key: &'static str, reason: String },
}
