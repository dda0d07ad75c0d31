//! Which event a message is: its own ID, type, correlation, cause and entity.
//!
//! Each is taken from the first place that names it: the names of the configuration, headers by the usual convention,
//! AMQP properties, `CloudEvents` attributes, the JSON body, and at last what a framework calls the type. The body is
//! read without building it, so its size and depth cost nothing but the pass over it. What is masked is not read.

use uuid::Uuid;

use crate::config::Config;
use crate::dialects::event_type_of_framework;
use crate::domain::conventions as header;
use crate::domain::{ApplicationSpan, EventIdentity, HeaderValue, Message};

mod application_span;
mod body;
mod configured;

use application_span::{application_span, w3c};
use body::body_fields;
use configured::Configured;

/// A longer text identifies nothing that a person would look for.
const LONGEST_ID: usize = 256;

/// Of the words for nothing.
const LONGEST_NULL: usize = "undefined".len();

/// What a message says of its event.
#[derive(Clone, Debug, Default)]
pub(crate) struct EventFacts {
    pub event: EventIdentity,
    /// The service that published it.
    pub source: Option<String>,
    pub application: Option<ApplicationSpan>,
}

/// The identity of the event in a message, as far as it says.
pub(crate) fn event_identity(message: &Message, config: &Config) -> EventIdentity {
    if config.traces.join_application_traces {
        return event_facts(message, config).event;
    }
    let message = &*config.masking.without(message);
    let configured = Configured::of(message, &config.event_names);
    let mut found = configured.event;
    fill(&mut found, outside_the_body(message));
    let is_complete = found.event_id.is_some()
        && found.event_type.is_some()
        && found.correlation_id.is_some()
        && found.causation_id.is_some()
        && found.aggregate_id.is_some();
    if !is_complete {
        let in_body = body_fields(message, &found).into_identity();
        fill(&mut found, in_body);
    }
    with_type_of_framework(found, message)
}

/// As [`event_identity`], with who published it and in which span.
pub(crate) fn event_facts(message: &Message, config: &Config) -> EventFacts {
    let message = &*config.masking.without(message);
    let configured = Configured::of(message, &config.event_names);
    let mut event = configured.event;
    fill(&mut event, outside_the_body(message));
    let mut body = body_fields(message, &event);
    let context = std::mem::take(&mut body.context);
    let in_body = body.into_identity();
    fill(&mut event, in_body);
    let named = configured.traceparent.as_deref().and_then(w3c);
    let in_body = || context.traceparent.as_deref().and_then(w3c);
    let application = named.or_else(|| application_span(message)).or_else(in_body);
    if event.correlation_id.is_none() && config.traces.join_application_traces {
        event.correlation_id = application.as_ref().map(|span| span.trace.clone());
    }
    EventFacts {
        event: with_type_of_framework(event, message),
        source: configured
            .source
            .or_else(|| source_outside_the_body(message))
            .or(context.source),
        application,
    }
}

fn outside_the_body(message: &Message) -> EventIdentity {
    let mut found = from_headers(message);
    fill(&mut found, from_properties(message));
    fill(&mut found, from_cloud_event_headers(message));
    found
}

fn with_type_of_framework(mut found: EventIdentity, message: &Message) -> EventIdentity {
    if found.event_type.is_none() {
        found.event_type = event_type_of_framework(message).and_then(id);
    }
    found
}

/// `CloudEvents` require a source; `app_id` is what AMQP has for it.
fn source_outside_the_body(message: &Message) -> Option<String> {
    let properties = message.properties.as_deref();
    let app_id = || properties.and_then(|properties| properties.app_id.as_deref().and_then(id));
    let header = || message.header("source").and_then(header_id);
    let attribute = has_cloud_event_headers(message)
        .then(|| cloud_event_attribute(message, "source"))
        .flatten();
    attribute.or_else(header).or_else(app_id)
}

fn fill(found: &mut EventIdentity, other: EventIdentity) {
    let fill_one = |slot: &mut Option<String>, value: Option<String>| {
        if slot.is_none() {
            *slot = value;
        }
    };
    fill_one(&mut found.event_id, other.event_id);
    fill_one(&mut found.event_type, other.event_type);
    fill_one(&mut found.correlation_id, other.correlation_id);
    fill_one(&mut found.causation_id, other.causation_id);
    fill_one(&mut found.aggregate_id, other.aggregate_id);
}

fn from_headers(message: &Message) -> EventIdentity {
    let named = |name| named_header(message, name);
    EventIdentity {
        event_id: named(header::EVENT_ID),
        event_type: named(header::EVENT_TYPE),
        correlation_id: named(header::CORRELATION_ID),
        causation_id: named(header::CAUSATION_ID),
        aggregate_id: named(header::AGGREGATE_ID),
    }
}

/// The last header of that name, else the last that is called so in another spelling: `event_type`,
/// `X-Correlation-Id`.
fn named_header(message: &Message, name: &str) -> Option<String> {
    let exact = message.header(name).and_then(header_id);
    exact.or_else(|| {
        let mut headers = message.headers.iter().rev();
        headers
            .find(|header| letters(&header.name).eq(letters(name.as_bytes())))
            .and_then(|header| header_id(&header.value))
    })
}

/// What of the name of a header does not depend on its spelling.
fn letters(name: &[u8]) -> impl Iterator<Item = u8> {
    let name = name
        .strip_prefix(b"x-")
        .or_else(|| name.strip_prefix(b"X-"))
        .unwrap_or(name);
    let letters = name.iter().filter(|byte| !matches!(byte, b'-' | b'_'));
    letters.map(u8::to_ascii_lowercase)
}

fn from_properties(message: &Message) -> EventIdentity {
    let Some(properties) = message.properties.as_deref() else {
        return EventIdentity::default();
    };
    let given = |text: &Option<String>| text.as_deref().and_then(id);
    EventIdentity {
        event_id: given(&properties.message_id),
        event_type: given(&properties.kind),
        correlation_id: given(&properties.correlation_id),
        ..EventIdentity::default()
    }
}

fn from_cloud_event_headers(message: &Message) -> EventIdentity {
    if !has_cloud_event_headers(message) {
        return EventIdentity::default();
    }
    let attribute = |name| cloud_event_attribute(message, name);
    EventIdentity {
        event_id: attribute("id"),
        event_type: attribute("type"),
        correlation_id: attribute("correlationid"),
        causation_id: attribute("causationid"),
        aggregate_id: None,
    }
}

/// Most messages have none, and need not be searched for each.
fn has_cloud_event_headers(message: &Message) -> bool {
    let mut names = message.headers.iter().map(|header| &header.name);
    names.any(|name| name.starts_with(b"ce") || name.starts_with(b"cloudEvents"))
}

/// Binary mode: `ce_id` on Kafka; `cloudEvents:id` or, where a colon is no option, `cloudEvents_id` on
/// AMQP.
fn cloud_event_attribute(message: &Message, name: &str) -> Option<String> {
    let prefixes = ["ce_", "ce-", "cloudEvents:", "cloudEvents_"];
    prefixes.into_iter().find_map(|prefix| {
        let value = message.header(&format!("{prefix}{name}"));
        value.and_then(header_id)
    })
}

fn header_id(value: &HeaderValue) -> Option<String> {
    match value {
        HeaderValue::Amqp(value) => match value.as_integer() {
            Some(number) => Some(number.to_string()),
            None => value.as_text().and_then(id),
        },
        _ => value.as_text().and_then(id),
    }
}

/// The ID, unless it is one that unrelated events would share: empty, a nil UUID, a null in writing.
fn id(text: &str) -> Option<String> {
    let text = text.trim();
    if text.is_empty() || text.len() > LONGEST_ID {
        return None;
    }
    let is_null = text.len() <= LONGEST_NULL
        && ["null", "nil", "none", "undefined", "nan"]
            .iter()
            .any(|word| text.eq_ignore_ascii_case(word));
    // However it is written; parsing what ends otherwise costs more than all the rest.
    let ends_as_nil = text.trim_end_matches('}').ends_with("000000000000");
    let is_nil_uuid = ends_as_nil && Uuid::try_parse(text).is_ok_and(|uuid| uuid.is_nil());
    let is_readable = if text.is_ascii() {
        !text.bytes().any(|byte| byte.is_ascii_control())
    } else {
        !text.contains(char::is_control)
    };
    (is_readable && !is_null && !is_nil_uuid).then(|| text.to_owned())
}

#[cfg(test)]
mod tests;
