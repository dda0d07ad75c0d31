use std::io;
use std::time::Duration;

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
    #[error("the Kafka broker {broker} refused {api} with error code {code}")]
    Refused {
        broker: String,
        api: &'static str,
        code: i16,
    },
    #[error("none of the bootstrap servers {servers} answered")]
    NoBroker {
        servers: String,
        source: Box<WireError>,
    },
    #[error("a request could not be encoded: {0}")]
    Encode(String),
}
