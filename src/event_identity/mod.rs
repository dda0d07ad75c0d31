//! Which event a message is: its own ID, type, correlation, cause and entity.
//!
//! Each is taken from the first place that names it: headers by the usual convention, AMQP properties,
//! `CloudEvents` attributes, the JSON body, and at last what a framework calls the type. The body is read without building it, so its size and depth
//! cost nothing but the pass over it.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use uuid::Uuid;

use crate::dialects::event_type_of_framework;
use crate::domain::conventions as header;
use crate::domain::{EventIdentity, HeaderValue, Message};

/// A larger body is not searched; its headers have to do.
const LARGEST_BODY: usize = 1024 * 1024;
/// A longer text identifies nothing that a person would look for.
const LONGEST_ID: usize = 256;

/// The identity of the event in a message, as far as it says.
pub(crate) fn event_identity(message: &Message) -> EventIdentity {
    let mut found = from_headers(message);
    fill(&mut found, from_properties(message));
    fill(&mut found, from_cloud_event_headers(message));
    let is_complete = found.event_id.is_some()
        && found.event_type.is_some()
        && found.correlation_id.is_some()
        && found.causation_id.is_some()
        && found.aggregate_id.is_some();
    if !is_complete {
        fill(&mut found, from_body(message));
    }
    if found.event_type.is_none() {
        found.event_type = event_type_of_framework(message).and_then(id);
    }
    found
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
    let named = |name| {
        let exact = message.header(name).and_then(header_id);
        exact.or_else(|| respelled(message, name))
    };
    EventIdentity {
        event_id: named(header::EVENT_ID),
        event_type: named(header::EVENT_TYPE),
        correlation_id: named(header::CORRELATION_ID),
        causation_id: named(header::CAUSATION_ID),
        aggregate_id: named(header::AGGREGATE_ID),
    }
}

/// The last header that is called so in another spelling: `event_type`, `X-Correlation-Id`.
fn respelled(message: &Message, name: &str) -> Option<String> {
    let is_same = |written: &[u8]| {
        let written = written
            .strip_prefix(b"x-")
            .or_else(|| written.strip_prefix(b"X-"))
            .unwrap_or(written);
        let letters = written
            .iter()
            .filter(|byte| !matches!(byte, b'-' | b'_'))
            .map(u8::to_ascii_lowercase);
        letters.eq(name.bytes().map(|byte| byte.to_ascii_lowercase()))
    };
    let mut headers = message.headers.iter().rev();
    headers
        .find(|header| is_same(&header.name))
        .and_then(|header| header_id(&header.value))
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

/// Binary mode: `ce_id` on Kafka; `cloudEvents:id` or, where a colon is no option, `cloudEvents_id` on
/// AMQP.
fn from_cloud_event_headers(message: &Message) -> EventIdentity {
    let attribute = |name: &str| {
        ["ce_", "ce-", "cloudEvents:", "cloudEvents_"]
            .into_iter()
            .find_map(|prefix| {
                message
                    .header(&format!("{prefix}{name}"))
                    .and_then(header_id)
            })
    };
    EventIdentity {
        event_id: attribute("id"),
        event_type: attribute("type"),
        correlation_id: attribute("correlationid"),
        causation_id: attribute("causationid"),
        aggregate_id: None,
    }
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
    let is_null = ["null", "nil", "none", "undefined", "nan"]
        .iter()
        .any(|word| text.eq_ignore_ascii_case(word));
    let is_nil_uuid = Uuid::try_parse(text).is_ok_and(|uuid| uuid.is_nil());
    let is_readable =
        !text.is_empty() && text.len() <= LONGEST_ID && !text.contains(char::is_control);
    (is_readable && !is_null && !is_nil_uuid).then(|| text.to_owned())
}

fn from_body(message: &Message) -> EventIdentity {
    let mut fields = BodyFields::default();
    let body = message.body.as_deref().unwrap_or_default();
    let is_object = body.trim_ascii_start().starts_with(b"{");
    if is_object && body.len() <= LARGEST_BODY {
        // A body that breaks off half-way keeps what came before: it may have died for just that.
        let _ = fields.deserialize(&mut serde_json::Deserializer::from_slice(body));
    }
    fields.into_identity()
}

/// The top-level fields of a body that may identify it.
#[derive(Default)]
struct BodyFields {
    named: EventIdentity,
    /// `id` and `type` mean the event only in a `CloudEvent`; elsewhere they mean the entity.
    id: Option<String>,
    kind: Option<String>,
    is_cloud_event: bool,
}

impl BodyFields {
    fn into_identity(self) -> EventIdentity {
        let mut identity = self.named;
        if self.is_cloud_event {
            identity.event_id = identity.event_id.or(self.id);
            identity.event_type = identity.event_type.or(self.kind);
        }
        identity
    }

    fn slot(&mut self, name: &str) -> Option<&mut Option<String>> {
        Some(match name {
            "eventId" | "event_id" => &mut self.named.event_id,
            "eventType" | "event_type" => &mut self.named.event_type,
            "correlationId" | "correlation_id" | "correlationid" => &mut self.named.correlation_id,
            "causationId" | "causation_id" | "causationid" => &mut self.named.causation_id,
            "aggregateId" | "aggregate_id" => &mut self.named.aggregate_id,
            "id" => &mut self.id,
            "type" => &mut self.kind,
            _ => return None,
        })
    }
}

impl<'de> DeserializeSeed<'de> for &mut BodyFields {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for &mut BodyFields {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            if name == "specversion" {
                self.is_cloud_event = true;
            }
            match self.slot(&name) {
                Some(slot) => *slot = map.next_value_seed(BodyId)?,
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// The value of a field as an ID: text or a whole number.
struct BodyId;

impl<'de> DeserializeSeed<'de> for BodyId {
    type Value = Option<String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for BodyId {
    type Value = Option<String>;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("any JSON value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(id(text))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Some(number.to_string()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Some(number.to_string()))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

#[cfg(test)]
mod tests;
