use std::io;
use std::time::Duration;

use kafka_protocol::ResponseError;
use thiserror::Error;

use super::reader::DecodeError;

/// Why a sample of a Kafka cluster failed.
#[derive(Debug, Error)]
pub enum WireError {
    #[error("cannot connect to the Kafka broker {broker}; is it running and reachable from here?")]
    Connect { broker: String, source: io::Error },
    #[error("the Kafka broker {broker} did not answer {api} within {timeout:?}")]
    Timeout {
        broker: String,
        api: &'static str,
        timeout: Duration,
    },
    #[error("the connection to the Kafka broker {broker} broke during {api}")]
    Io {
        broker: String,
        api: &'static str,
        source: io::Error,
    },
    #[error(
        "the Kafka broker {broker} announced an answer of {size} bytes to {api}, more than the limit \
         of {limit}; is there something else than Kafka on that port?"
    )]
    AnswerTooLarge {
        broker: String,
        api: &'static str,
        size: i64,
        limit: usize,
    },
    #[error("the Kafka broker {broker} answered {api} with something that is not Kafka's protocol")]
    Decode {
        broker: String,
        api: &'static str,
        source: DecodeError,
    },
    #[error(
        "the Kafka broker {broker} is too old: it knows {api} up to version {max}, {needed} is needed (Kafka 2.8)"
    )]
    TooOld {
        broker: String,
        api: &'static str,
        max: i16,
        needed: i16,
    },
    #[error("the Kafka broker {broker} refused {api}: {reason}")]
    Refused {
        broker: String,
        api: &'static str,
        reason: String,
    },
    #[error("none of the bootstrap servers {servers} answered")]
    NoBroker {
        servers: String,
        source: Box<WireError>,
    },
    #[error("a request could not be encoded: {0}")]
    Encode(String),
}

/// What an error code of Kafka's protocol means to the operator.
pub(super) fn error_text(code: i16) -> String {
    match ResponseError::try_from_code(code) {
        Some(ResponseError::CoordinatorLoadInProgress) => {
            "the coordinator is loading; the next samples read it".to_owned()
        }
        Some(ResponseError::CoordinatorNotAvailable | ResponseError::NotCoordinator) => {
            "the coordinator is moving; the next samples read it".to_owned()
        }
        Some(ResponseError::NotLeaderOrFollower | ResponseError::LeaderNotAvailable) => {
            "the leader is moving; the next samples read it".to_owned()
        }
        Some(ResponseError::GroupAuthorizationFailed) => {
            "not authorised; grant Describe on the group".to_owned()
        }
        Some(ResponseError::TopicAuthorizationFailed) => {
            "not authorised; grant Describe on the topic".to_owned()
        }
        Some(ResponseError::ClusterAuthorizationFailed) => {
            "not authorised; grant Describe on the cluster".to_owned()
        }
        Some(known) => format!("{known:?} (error code {code})"),
        None => format!("error code {code}"),
    }
}
