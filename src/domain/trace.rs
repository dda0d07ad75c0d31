use serde::Deserialize;

use super::{
    ClusterName, DeadLetterId, DeadLetterStatus, DeathReason, Destination, EventIdentity,
    ExchangeName, Offset, Partition, Position, ReplayId, ReplayJobId, ReplayStateName,
    RevisionNumber, System, Timestamp, TopicName, VhostName,
};

/// Where a record of Kafka stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordPlace {
    pub cluster: ClusterName,
    pub topic: TopicName,
    pub partition: Partition,
    pub offset: Offset,
}

/// Where RabbitMQ was asked to route a message. Messages there have no identity of their own, so that equal ones
/// have equal places.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoutedPlace {
    pub cluster: ClusterName,
    pub vhost: VhostName,
    pub exchange: ExchangeName,
    pub routing_key: String,
    /// Of all that a redelivery does not change, in hex.
    pub fingerprint: String,
}

/// Where an event was published.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventPlace {
    Record(RecordPlace),
    Routed(RoutedPlace),
}

impl EventPlace {
    pub const fn cluster(&self) -> &ClusterName {
        match self {
            Self::Record(place) => &place.cluster,
            Self::Routed(place) => &place.cluster,
        }
    }

    pub const fn system(&self) -> System {
        match self {
            Self::Record(_) => System::Kafka,
            Self::Routed(_) => System::RabbitMq,
        }
    }

    pub const fn record(&self) -> Option<&RecordPlace> {
        match self {
            Self::Record(place) => Some(place),
            Self::Routed(_) => None,
        }
    }

    /// The topic or exchange, and the virtual host, which is empty on Kafka.
    pub fn channel(&self) -> (&str, &str) {
        match self {
            Self::Record(place) => (place.topic.as_str(), ""),
            Self::Routed(place) => (place.exchange.as_str(), place.vhost.as_str()),
        }
    }

    /// Empty on Kafka.
    pub fn routing_key(&self) -> &str {
        match self {
            Self::Record(_) => "",
            Self::Routed(place) => &place.routing_key,
        }
    }

    /// Equal for events that went the same way.
    pub fn way(&self) -> (&ClusterName, (&str, &str), &str) {
        (self.cluster(), self.channel(), self.routing_key())
    }

    /// The topic, or `{exchange}:{routing key}` as OpenTelemetry's conventions for RabbitMQ write it.
    pub fn destination(&self) -> String {
        match self {
            Self::Record(place) => place.topic.to_string(),
            Self::Routed(place) => format!("{}:{}", place.exchange, place.routing_key),
        }
    }
}

/// Who gave an event its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeBasis {
    /// The producer of a Kafka record.
    CreateTime,
    /// The broker, as the topic is configured.
    LogAppendTime,
    /// The publisher of an AMQP message.
    Publisher,
    /// The message has no time: Redrive saw it then.
    Observed,
}

impl TimeBasis {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CreateTime => "create_time",
            Self::LogAppendTime => "log_append_time",
            Self::Publisher => "publisher",
            Self::Observed => "observed",
        }
    }
}

/// The span of the application that published an event, from W3C Trace Context or B3, in lower-case hex.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApplicationSpan {
    /// 32 digits.
    pub trace: String,
    /// 16 digits.
    pub span: Option<String>,
}

/// An event as the tap saw it pass: no key, no body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracedEvent {
    pub place: EventPlace,
    pub at: Timestamp,
    pub basis: TimeBasis,
    pub event: EventIdentity,
    /// The service that says it published it.
    pub source: Option<String>,
    /// Its headers say that somebody tried it before.
    pub is_retry: bool,
    /// The replay of Redrive that sent it.
    pub replay: Option<ReplayId>,
    pub application: Option<ApplicationSpan>,
}

/// The first event of an ID within a trace, as far as its effects need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedEvent {
    pub correlation_id: String,
    pub event_id: String,
    pub at: Timestamp,
    pub cluster: ClusterName,
    pub system: System,
    /// The topic or exchange.
    pub channel: String,
}

impl From<&TracedEvent> for PublishedEvent {
    fn from(traced: &TracedEvent) -> Self {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        Self {
            correlation_id: text(&traced.event.correlation_id),
            event_id: text(&traced.event.event_id),
            at: traced.at,
            cluster: traced.place.cluster().clone(),
            system: traced.place.system(),
            channel: traced.place.channel().0.to_owned(),
        }
    }
}

/// That a service was seen to publish because of events of a topic or exchange.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KnownHandover {
    pub cluster: ClusterName,
    /// The topic or exchange.
    pub channel: String,
    pub service: String,
}

/// A dead letter as a trace needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracedLetter {
    pub id: DeadLetterId,
    pub cluster: ClusterName,
    /// Where it lies.
    pub position: Position,
    /// When it died.
    pub at: Timestamp,
    pub event: EventIdentity,
    pub status: DeadLetterStatus,
    pub reason: DeathReason,
    /// The exception.
    pub failure_class: Option<String>,
    pub failure_message: Option<String>,
    pub consumer: Option<String>,
    /// What the consumer read, as OpenTelemetry's conventions write it: the topic, or
    /// `{exchange}:{routing key}:{queue}` without what is not known.
    pub consumed_from: Option<String>,
    /// The record that its headers name as the original.
    pub original: Option<RecordPlace>,
    /// The replay that died again with it.
    pub died_from: Option<ReplayId>,
    pub edits: Vec<TracedEdit>,
}

/// A revision of a dead letter as a trace needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracedEdit {
    pub letter: DeadLetterId,
    pub revision: RevisionNumber,
    pub at: Timestamp,
    pub author: String,
    pub note: Option<String>,
}

impl TracedLetter {
    /// Exception and message, or the reason.
    pub fn failure(&self) -> String {
        match (&self.failure_class, &self.failure_message) {
            (Some(class), Some(message)) => format!("{class}: {message}"),
            (Some(text), None) | (None, Some(text)) => text.clone(),
            (None, None) => self.reason.as_str().to_owned(),
        }
    }
}

/// A replay as a trace needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracedReplay {
    pub id: ReplayId,
    pub job: ReplayJobId,
    pub letter: DeadLetterId,
    /// What it sent.
    pub revision: RevisionNumber,
    /// When it was sent; absent where that is not known.
    pub at: Option<Timestamp>,
    pub state: ReplayStateName,
    pub destination: Destination,
    pub attempt: u32,
    /// Where it landed.
    pub landed: Option<RecordPlace>,
}
