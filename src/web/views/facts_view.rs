//! The summary of a dead letter: where it lies, where it came from, who it is.

use askama::filters::Safe;

use super::dead_letter_list::list_of;
use crate::domain::{
    AttemptsKind, ConsumerGroup, DeadLetter, DeadLetterSummary, Envelope, FilterField, Position,
    Timestamp,
};
use crate::web::escape::{Markup, escaped};
use crate::web::markup;
use crate::web::parameters::path;

/// A line of the summary.
pub(super) struct Fact {
    pub(super) name: &'static str,
    pub(super) value: Markup,
}

/// What is known, in the order in which a person asks.
pub(super) fn facts(letter: &DeadLetter, now: Timestamp) -> Vec<Fact> {
    let summary = &letter.summary;
    let event = &summary.event;
    let consumer = summary.consumer.as_ref().map(ConsumerGroup::as_str);
    let id = |id: &Option<String>, field| linked(id.as_deref(), field);
    let known = [
        ("Lies in", Some(place(letter))),
        ("Came from", Some(came_from(letter))),
        ("Failed in", linked(consumer, FilterField::Consumer)),
        ("Event ID", id(&event.event_id, FilterField::Event)),
        (
            "Correlation",
            id(&event.correlation_id, FilterField::Correlation),
        ),
        ("Aggregate", id(&event.aggregate_id, FilterField::Aggregate)),
        ("Died", Some(markup::ago(summary.dead_at, now))),
        ("Tried", attempts(summary)),
        ("May repeat", twin(summary)),
    ];
    let known = known
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)));
    known.map(|(name, value)| Fact { name, value }).collect()
}

/// A value as a link to everything that shares it.
fn linked(value: Option<&str>, field: FilterField) -> Option<Markup> {
    value.map(|value| markup::linked_identifier(value, &list_of(field, value)))
}

pub(super) fn attempts(summary: &DeadLetterSummary) -> Option<Markup> {
    let (count, kind) = summary.attempts?;
    let word = match kind {
        AttemptsKind::Deliveries => "deliveries",
        AttemptsKind::Retries => "retries",
        AttemptsKind::Deaths => "deaths",
    };
    Some(Safe(format!("{} {word}", markup::thousands(count))))
}

fn twin(summary: &DeadLetterSummary) -> Option<Markup> {
    let first = summary.possible_duplicate_of?;
    let href = format!("/dead-letters/{first}");
    Some(markup::linked_identifier(&first.to_string(), &href))
}

fn place(letter: &DeadLetter) -> Markup {
    let cluster = letter.summary.cluster.as_str();
    match &letter.summary.position {
        Position::Kafka {
            topic,
            partition,
            offset,
            ..
        } => Safe(format!(
            "{}, partition {partition}, offset {offset} <span class=\"meta\">{}</span>",
            escaped(topic.as_str()),
            escaped(cluster)
        )),
        Position::RabbitMq { vhost, queue, .. } => Safe(format!(
            "<a href=\"{}\">{}</a> <span class=\"meta\">{}</span>",
            escaped(&path(["queues", cluster, vhost.as_str(), queue.as_str()])),
            escaped(queue.as_str()),
            escaped(cluster)
        )),
    }
}

fn came_from(letter: &DeadLetter) -> Markup {
    let origin = &letter.decoded.origin;
    let Some(destination) = &origin.destination else {
        return markup::absent("its headers do not tell");
    };
    let exchange = origin
        .exchange
        .as_ref()
        .filter(|name| !name.as_str().is_empty());
    let keys = (!origin.routing_keys.is_empty()).then(|| origin.routing_keys.join(", "));
    let parts = [
        Some(destination.clone()),
        origin
            .partition
            .map(|partition| format!("partition {partition}")),
        origin.offset.map(|offset| format!("offset {offset}")),
        exchange.map(|exchange| format!("exchange {exchange}")),
        keys.map(|keys| format!("key {keys}")),
    ];
    let text = parts.into_iter().flatten().collect::<Vec<_>>().join(", ");
    let guessed = if origin.guessed {
        " <span class=\"meta\">guessed by the name of the DLQ</span>"
    } else {
        ""
    };
    Safe(format!(
        "<a href=\"{}\">{}</a>{guessed}",
        escaped(&list_of(FilterField::Source, destination)),
        escaped(&text)
    ))
}

/// What is wrapped around the original message, and what a replay does with that; empty for nothing.
pub(super) fn about_envelope(envelope: Option<Envelope>) -> String {
    let Some(envelope) = envelope else {
        return String::new();
    };
    let framework = envelope.framework();
    match envelope {
        Envelope::EasyNetQ => format!(
            "The message is stored in an envelope of {framework}. Shown is the original that is inside, which a replay sends; \
             Stored and the download have the envelope."
        ),
        Envelope::Sneakers => format!(
            "The message is stored in an envelope of {framework}. A replay sends the original that is inside."
        ),
        Envelope::SpringEmbeddedHeaders => format!(
            "The body begins with headers of {framework}. Shown is what follows them; Stored and the download have all of it. A \
             replay sends it without those of the error."
        ),
    }
}
