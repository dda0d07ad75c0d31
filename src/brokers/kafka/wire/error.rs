use std::io;
use std::time::Duration;

use kafka_protocol::ResponseError;
use thiserror::Error;

use super::reader::DecodeError;
use super::tls::TlsFileError;
use crate::brokers::kafka::TokenError;

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
        code: i16,
    },
    #[error(transparent)]
    TlsFiles(TlsFileError),
    #[error(
        "no TLS with the Kafka broker {broker}; does this port speak TLS, and is its certificate for this \
         name and signed by an authority of kafka.tls.ca_file?"
    )]
    Tls { broker: String, source: io::Error },
    #[error(
        "the Kafka broker {broker} does not accept Redrive's certificate, or wants one; set \
         kafka.tls.certificate_file and key_file to one that its authorities signed"
    )]
    CertificateRefused { broker: String, source: io::Error },
    #[error("the Kafka broker {broker} speaks TLS on this port; add the section [kafka.tls]")]
    SpeaksTls { broker: String },
    #[error(
        "the Kafka broker {broker} closed the connection at the first request; if it wants a login, add \
         the section [kafka.sasl]"
    )]
    ClosedAtOnce { broker: String, source: io::Error },
    #[error(
        "the Kafka broker {broker} does not offer kafka.sasl.mechanism {mechanism}, but {offered}"
    )]
    MechanismNotOffered {
        broker: String,
        mechanism: &'static str,
        offered: String,
    },
    #[error(
        "the Kafka broker {broker} did not accept the login by {mechanism} ({reason}); check {keys}"
    )]
    LoginRefused {
        broker: String,
        mechanism: &'static str,
        reason: String,
        keys: &'static str,
    },
    #[error(transparent)]
    Token(TokenError),
    #[error("none of the bootstrap servers {servers} answered")]
    NoBroker {
        servers: String,
        source: Box<WireError>,
    },
    #[error("a request could not be encoded: {0}")]
    Encode(String),
}

impl WireError {
    /// Whether a broker only hands over to another, or has just gone.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Refused { code, .. } => is_passing(*code),
            Self::Connect { .. } | Self::Io { .. } => true,
            _ => false,
        }
    }
}

/// Whether a code of the protocol says that leader or coordinator are moving.
pub(super) fn is_passing(code: i16) -> bool {
    matches!(
        ResponseError::try_from_code(code),
        Some(
            ResponseError::LeaderNotAvailable
                | ResponseError::NotLeaderOrFollower
                | ResponseError::CoordinatorLoadInProgress
                | ResponseError::CoordinatorNotAvailable
                | ResponseError::NotCoordinator
                | ResponseError::OffsetNotAvailable
        )
    )
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
