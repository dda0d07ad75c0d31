//! How a message died: what the dialects read from it, normalised.
//!
//! Rows in the store are JSON of these types, so a new field has a default and is left out while it
//! says nothing.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{ConsumerGroup, ExchangeName, Offset, Partition, Timestamp};

/// Where a message lived before it died, as far as its headers tell.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Origin {
    /// Topic, or the queue in which the message died.
    pub destination: Option<String>,
    /// No header tells the destination: it is what the name of the DLQ suggests.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub guessed: bool,
    /// Kafka.
    pub partition: Option<Partition>,
    /// Kafka.
    pub offset: Option<Offset>,
    /// RabbitMQ: the exchange to which the message was published first.
    pub exchange: Option<ExchangeName>,
    /// RabbitMQ.
    pub routing_keys: Vec<String>,
    /// The time of the original record.
    pub timestamp: Option<Timestamp>,
    /// Kafka: who gave the original record its time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp_type: Option<TimestampType>,
    /// The consumer group, connector or endpoint that failed.
    pub consumer: Option<ConsumerGroup>,
    /// What failed within the consumer: a handler, a task, an actor, a task of a connector.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
}

/// Who gave a Kafka record its timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimestampType {
    /// The producer.
    CreateTime,
    /// The broker.
    LogAppendTime,
}

impl TimestampType {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CreateTime => "CreateTime",
            Self::LogAppendTime => "LogAppendTime",
        }
    }

    /// Reads Kafka's own words; `NoTimestampType` is none.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::CreateTime, Self::LogAppendTime]
            .into_iter()
            .find(|known| known.as_str() == text)
    }
}

/// Why a message died, as far as its headers tell.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Failure {
    /// The most specific exception class that is known: the cause, where one is named.
    pub class: Option<String>,
    /// The wrapper around it, where there is one.
    pub wrapper_class: Option<String>,
    /// The message of [`Failure::class`].
    pub message: Option<String>,
    /// What the wrapper said, where that is something else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wrapper_message: Option<String>,
    pub stack_trace: Option<String>,
    /// In which step of the framework it failed, in the framework's own words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
}

/// The broker's or framework's reason for dead-lettering.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum DeathReason {
    /// A consumer failed and published the message to the DLQ itself.
    Exception,
    Rejected,
    Expired,
    MaxLength,
    DeliveryLimit,
    Unrouted,
    #[default]
    Unknown,
}

impl DeathReason {
    pub const ALL: [Self; 7] = [
        Self::Exception,
        Self::Rejected,
        Self::Expired,
        Self::MaxLength,
        Self::DeliveryLimit,
        Self::Unrouted,
        Self::Unknown,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exception => "exception",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::MaxLength => "maxlen",
            Self::DeliveryLimit => "delivery_limit",
            Self::Unrouted => "unrouted",
            Self::Unknown => "unknown",
        }
    }

    /// Reads the `reason` of RabbitMQ's `x-death` and our own column.
    pub fn parse(text: &str) -> Self {
        Self::ALL
            .into_iter()
            .find(|reason| reason.as_str() == text)
            .unwrap_or(Self::Unknown)
    }
}

impl fmt::Display for DeathReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// What `attempts` counts; the kinds of two dialects cannot be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptsKind {
    Deliveries,
    Retries,
    Deaths,
}

/// One dialect's account of one death. A message may carry several, newest first in
/// [`Decoded::hops`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hop {
    /// The dialect that was decoded, for example `x-death` or `spring-kafka`.
    pub dialect: String,
    pub origin: Origin,
    pub failure: Failure,
    pub reason: DeathReason,
    /// The reason in the writer's own words, where it gave more than [`Hop::reason`] holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw_reason: Option<String>,
    /// How often this death happened, with its meaning.
    pub attempts: Option<(u64, AttemptsKind)>,
    pub first_failed_at: Option<Timestamp>,
    pub last_failed_at: Option<Timestamp>,
}

/// What all dialects found on one message. The normalised view is the merge of all hops.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decoded {
    pub origin: Origin,
    pub failure: Failure,
    pub reason: DeathReason,
    /// As [`Hop::raw_reason`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw_reason: Option<String>,
    pub attempts: Option<(u64, AttemptsKind)>,
    pub first_failed_at: Option<Timestamp>,
    pub last_failed_at: Option<Timestamp>,
    /// What is wrapped around the original message, if the body is not the original itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub envelope: Option<Envelope>,
    /// The record only points to the original, which lies at [`Decoded::origin`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub payload_absent: bool,
    /// Every hop that any dialect found, latest first; empty if the headers say nothing.
    pub hops: Vec<Hop>,
}

/// A form in which a framework keeps the original message inside the body of the dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Envelope {
    /// The error message of `EasyNetQ`: JSON with the body as a string and the basic properties.
    EasyNetQ,
    /// Header `retry_info` of Sneakers, which holds the properties that the message had.
    Sneakers,
    /// Headers of Spring Cloud Stream in front of the payload.
    SpringEmbeddedHeaders,
}

impl Envelope {
    /// Whether the body is another than that of the original.
    pub const fn wraps_body(self) -> bool {
        !matches!(self, Self::Sneakers)
    }

    /// The name of what wrote it.
    pub const fn framework(self) -> &'static str {
        match self {
            Self::EasyNetQ => "EasyNetQ",
            Self::Sneakers => "Sneakers",
            Self::SpringEmbeddedHeaders => "Spring Cloud Stream",
        }
    }
}
