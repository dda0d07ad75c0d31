//! What each step of a trace is as a span: name, kind, time, attributes. Names are those of OpenTelemetry's semantic
//! conventions for messaging 1.44; what they do not know, such as a DLQ, is in the namespace `redrive`.

use opentelemetry_proto::tonic::trace::v1::span::{Event, Link, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{Span, Status};

use super::attributes::{Attributes, cut};
use super::ids::{SpanId, TraceId};
use super::new_spans::Story;
use crate::domain::{
    Destination, EventPlace, ReplayStateName, RoutedPlace, Timestamp, TracedEvent, TracedLetter,
    TracedReplay,
};
use crate::traces::{Cause, Node, Repeat, Step, Trace};

/// A span without its IDs, and the service that it is of.
pub(super) struct Described {
    pub(super) service: String,
    pub(super) span: Span,
}

/// The whole trace, from its first to its last publish.
pub(super) fn root(
    story: &Story<'_>,
    trace: &Trace,
    (first, last): (Timestamp, Timestamp),
) -> Described {
    let count = |is_such: fn(&Step) -> bool| {
        let such = trace.nodes.iter().filter(|node| is_such(&node.step));
        i64::try_from(such.count()).unwrap_or(i64::MAX)
    };
    let mut attributes = Attributes::new()
        .text("messaging.message.conversation_id", story.correlation_id)
        .number(
            "redrive.events",
            count(|step| matches!(step, Step::Event(_))),
        )
        .number(
            "redrive.dead_letters",
            count(|step| matches!(step, Step::Letter(_))),
        );
    if trace.left_out > 0 {
        let left_out = i64::try_from(trace.left_out).unwrap_or(i64::MAX);
        attributes = attributes.number("redrive.events_left_out", left_out);
    }
    let kinds = trace.nodes.iter().filter_map(|node| match &node.step {
        Step::Event(event) => event.event.event_type.as_deref(),
        Step::Letter(letter) => letter.event.event_type.as_deref(),
        Step::Edit(_) | Step::Replay(_) | Step::Missing(_) => None,
    });
    Described {
        service: story.own_service.to_owned(),
        span: Span {
            name: cut(kinds.into_iter().next().unwrap_or("events")),
            ..span(SpanKind::Internal, (first, last), attributes)
        },
    }
}

/// The publish of an event: a point in time.
pub(super) fn message(story: &Story<'_>, node: &Node, event: &TracedEvent) -> Described {
    let destination = destination(&event.place);
    let attributes = messaging(story, event.place.system().as_str(), "send", &destination)
        .optional("messaging.message.id", event.event.event_id.as_deref());
    let attributes = placed(attributes, &event.place)
        .optional("redrive.event.type", event.event.event_type.as_deref())
        .optional(
            "redrive.event.causation_id",
            event.event.causation_id.as_deref(),
        )
        .optional(
            "redrive.event.aggregate_id",
            event.event.aggregate_id.as_deref(),
        )
        .text("redrive.timestamp_basis", event.basis.as_str())
        .optional("redrive.repeat", node.repeat.map(Repeat::as_str))
        .text(
            "redrive.replay.id",
            &event.replay.map(|id| id.to_string()).unwrap_or_default(),
        )
        .optional("redrive.evidence", node.cause.as_str());
    Described {
        service: publisher(story, event),
        span: Span {
            name: cut(&format!("send {destination}")),
            links: link_to_application(story, event).into_iter().collect(),
            ..span(SpanKind::Producer, (event.at, event.at), attributes)
        },
    }
}

/// From the publish of an event to that of the one it caused: all that is known of how long it took.
pub(super) fn hop(story: &Story<'_>, above: &TracedEvent, below: &TracedEvent) -> Described {
    let destination = destination(&above.place);
    let system = above.place.system().as_str();
    let attributes = messaging(story, system, "process", &destination)
        .optional("messaging.message.id", above.event.event_id.as_deref());
    let attributes = placed(attributes, &above.place)
        .optional("redrive.event.type", above.event.event_type.as_deref())
        .text("redrive.basis", "publish_to_publish")
        .optional("redrive.evidence", Cause::CausationId.as_str());
    Described {
        service: publisher(story, below),
        span: Span {
            name: cut(&format!("process {destination}")),
            ..span(SpanKind::Consumer, (above.at, below.at), attributes)
        },
    }
}

/// A death: a point in time, and an error.
pub(super) fn dead_letter(story: &Story<'_>, node: &Node, letter: &TracedLetter) -> Described {
    let destination = letter.consumed_from.as_deref();
    let destination = destination.unwrap_or_else(|| letter.position.dlq());
    let system = letter.position.system().as_str();
    let class = letter.failure_class.as_deref();
    let mut attributes = messaging(story, system, "process", destination)
        .optional("messaging.consumer.group.name", letter.consumer.as_deref())
        .optional("messaging.message.id", letter.event.event_id.as_deref())
        .text(
            "error.type",
            class.unwrap_or_else(|| letter.reason.as_str()),
        )
        .text("redrive.cluster", letter.cluster.as_str())
        .text("redrive.dlq", letter.position.dlq())
        .number("redrive.dead_letter.id", letter.id.0)
        .text("redrive.reason", letter.reason.as_str())
        .optional("redrive.event.type", letter.event.event_type.as_deref())
        .optional("redrive.evidence", node.cause.as_str());
    if let Some(original) = &letter.original {
        attributes = record(attributes, original.partition.0, original.offset.0);
    }
    let exception = Event {
        time_unix_nano: nanoseconds(letter.at),
        name: "exception".to_owned(),
        attributes: Attributes::new()
            .optional("exception.type", class)
            .optional("exception.message", letter.failure_message.as_deref())
            .into_list(),
        ..Event::default()
    };
    let cluster = letter.cluster.as_str();
    Described {
        service: letter.consumer.as_deref().unwrap_or(cluster).to_owned(),
        span: Span {
            name: cut(&format!("process {destination}")),
            // Without type and message the conventions know no exception.
            events: (!exception.attributes.is_empty())
                .then_some(exception)
                .into_iter()
                .collect(),
            status: Some(error(&letter.failure())),
            ..span(SpanKind::Consumer, (letter.at, letter.at), attributes)
        },
    }
}

/// What Redrive sent again.
pub(super) fn replay(
    story: &Story<'_>,
    node: &Node,
    replay: &TracedReplay,
    at: Timestamp,
) -> Described {
    let (system, destination) = match &replay.destination {
        Destination::Kafka { topic, .. } => ("kafka", topic.to_string()),
        Destination::RabbitMq {
            exchange,
            routing_key,
            ..
        } => ("rabbitmq", joined(&[exchange.as_str(), routing_key])),
    };
    let mut attributes = messaging(story, system, "send", &destination)
        .text("redrive.cluster", replay.destination.cluster().as_str())
        .text("redrive.replay.id", &replay.id.to_string())
        .text("redrive.replay.job", &replay.job.to_string())
        .number("redrive.replay.attempt", i64::from(replay.attempt))
        .number("redrive.revision", i64::from(replay.revision.0))
        .number("redrive.dead_letter.id", replay.letter.0)
        .optional("redrive.evidence", node.cause.as_str());
    if let Some(landed) = &replay.landed {
        attributes = record(attributes, landed.partition.0, landed.offset.0);
    }
    let failed = replay.state == ReplayStateName::Failed;
    if failed {
        attributes = attributes.text("error.type", "replay_failed");
    }
    Described {
        service: story.own_service.to_owned(),
        span: Span {
            name: cut(&format!("send {destination}")),
            status: failed.then(|| error("nothing reached the destination")),
            ..span(SpanKind::Producer, (at, at), attributes)
        },
    }
}

/// A link to a span of the same trace that was exported before the one that it belongs below.
pub(super) fn late_link(trace: TraceId, span: SpanId) -> Link {
    link(trace.0.to_vec(), span.0.to_vec(), "caused")
}

/// A link to what caused an event whose span hangs in the application's trace.
pub(super) fn cause_link(trace: TraceId, span: SpanId) -> Link {
    link(trace.0.to_vec(), span.0.to_vec(), "cause")
}

/// The application's own span that published an event.
pub(super) fn application_span(event: &TracedEvent) -> Option<(TraceId, SpanId)> {
    let application = event.application.as_ref()?;
    let trace = bytes(&application.trace)?;
    let span = bytes(application.span.as_deref()?)?;
    Some((TraceId(trace), SpanId(span)))
}

fn link_to_application(story: &Story<'_>, event: &TracedEvent) -> Option<Link> {
    let (trace, span) = application_span(event).filter(|_| story.joined(event).is_none())?;
    Some(link(trace.0.to_vec(), span.0.to_vec(), "application"))
}

fn link(trace_id: Vec<u8>, span_id: Vec<u8>, why: &str) -> Link {
    Link {
        trace_id,
        span_id,
        attributes: Attributes::new().text("redrive.link", why).into_list(),
        ..Link::default()
    }
}

/// The bytes of so many pairs of hex digits.
fn bytes<const LENGTH: usize>(hex: &str) -> Option<[u8; LENGTH]> {
    let pairs = hex.as_bytes().chunks(2);
    let bytes: Option<Vec<u8>> = pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect();
    bytes?.try_into().ok()
}

fn span(kind: SpanKind, (start, end): (Timestamp, Timestamp), attributes: Attributes) -> Span {
    Span {
        kind: kind.into(),
        start_time_unix_nano: nanoseconds(start),
        end_time_unix_nano: nanoseconds(end),
        attributes: attributes.into_list(),
        ..Span::default()
    }
}

fn messaging(story: &Story<'_>, system: &str, operation: &str, destination: &str) -> Attributes {
    Attributes::new()
        .text("messaging.system", system)
        .text("messaging.operation.name", operation)
        .text("messaging.operation.type", operation)
        .text("messaging.destination.name", destination)
        .text("messaging.message.conversation_id", story.correlation_id)
}

fn placed(attributes: Attributes, place: &EventPlace) -> Attributes {
    let attributes = attributes.text("redrive.cluster", place.cluster().as_str());
    match place {
        EventPlace::Record(at) => record(attributes, at.partition.0, at.offset.0),
        EventPlace::Routed(RoutedPlace {
            vhost, routing_key, ..
        }) => attributes
            .text("messaging.rabbitmq.destination.routing_key", routing_key)
            .text("redrive.vhost", vhost.as_str()),
    }
}

fn record(attributes: Attributes, partition: i32, offset: i64) -> Attributes {
    attributes
        .text("messaging.destination.partition.id", &partition.to_string())
        .number("messaging.kafka.offset", offset)
}

fn destination(place: &EventPlace) -> String {
    match place {
        EventPlace::Record(record) => record.topic.to_string(),
        EventPlace::Routed(routed) => joined(&[routed.exchange.as_str(), &routed.routing_key]),
    }
}

/// `{exchange}:{routing key}`, without the one that is empty.
fn joined(parts: &[&str]) -> String {
    let given: Vec<&str> = parts
        .iter()
        .copied()
        .filter(|part| !part.is_empty())
        .collect();
    if given.is_empty() {
        return "amq.default".to_owned();
    }
    given.join(":")
}

/// The copy that a replay made was published by Redrive, whatever its headers say.
fn publisher(story: &Story<'_>, event: &TracedEvent) -> String {
    let service = match (event.replay, event.source.as_deref()) {
        (Some(_), _) => story.own_service,
        (None, Some(source)) if !source.is_empty() => source,
        (None, _) => event.place.cluster().as_str(),
    };
    service.to_owned()
}

fn error(message: &str) -> Status {
    Status {
        message: cut(message),
        code: StatusCode::Error.into(),
    }
}

fn nanoseconds(at: Timestamp) -> u64 {
    u64::try_from(at.as_millis())
        .unwrap_or(0)
        .saturating_mul(1_000_000)
}
