//! What a JSON body says of its event, read without building it.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::id;
use crate::domain::{EventIdentity, Message};

/// A larger body is not searched; its headers have to do.
pub(super) const LARGEST_BODY: usize = 1024 * 1024;

/// What the body says beside what is known.
pub(super) fn body_fields<'k>(message: &Message, known: &'k EventIdentity) -> BodyFields<'k> {
    let mut fields = BodyFields {
        known,
        named: EventIdentity::default(),
        id: None,
        kind: None,
        is_cloud_event: false,
        context: BodyContext::default(),
    };
    if let Some(body) = json_body(message) {
        // A body that breaks off half-way keeps what came before: it may have died for just that.
        let _ = fields.deserialize(&mut serde_json::Deserializer::from_slice(body));
    }
    fields
}

/// The body if it may be a JSON object that is small enough to be searched.
pub(super) fn json_body(message: &Message) -> Option<&[u8]> {
    let body = message.body.as_deref()?;
    let is_object = body.trim_ascii_start().starts_with(b"{");
    (is_object && body.len() <= LARGEST_BODY).then_some(body)
}

/// The top-level fields of a body that may identify it.
pub(super) struct BodyFields<'k> {
    /// What need not be read.
    known: &'k EventIdentity,
    named: EventIdentity,
    /// `id` and `type` mean the event only in a `CloudEvent`; elsewhere they mean the entity.
    id: Option<String>,
    kind: Option<String>,
    is_cloud_event: bool,
    pub(super) context: BodyContext,
}

impl BodyFields<'_> {
    pub(super) fn into_identity(self) -> EventIdentity {
        let mut identity = self.named;
        if self.is_cloud_event {
            identity.event_id = identity.event_id.or(self.id);
            identity.event_type = identity.event_type.or(self.kind);
        }
        identity
    }

    fn slot(&mut self, name: &str) -> Option<&mut Option<String>> {
        let (known, named) = (self.known, &mut self.named);
        let (known, slot) = match name {
            "eventId" | "event_id" => (&known.event_id, &mut named.event_id),
            "eventType" | "event_type" => (&known.event_type, &mut named.event_type),
            "correlationId" | "correlation_id" | "correlationid" => {
                (&known.correlation_id, &mut named.correlation_id)
            }
            "causationId" | "causation_id" | "causationid" => {
                (&known.causation_id, &mut named.causation_id)
            }
            "aggregateId" | "aggregate_id" => (&known.aggregate_id, &mut named.aggregate_id),
            "id" => (&known.event_id, &mut self.id),
            "type" => (&known.event_type, &mut self.kind),
            _ => return None,
        };
        known.is_none().then_some(slot)
    }
}

impl<'de> DeserializeSeed<'de> for &mut BodyFields<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for &mut BodyFields<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key_seed(FieldName)? {
            if name == "specversion" {
                self.is_cloud_event = true;
            }
            match self.slot(&name) {
                Some(slot) => *slot = map.next_value_seed(BodyId)?,
                None => self.context.read(&name, &mut map)?,
            }
        }
        Ok(())
    }
}

/// Who published the event and in which span, wherever in the body producers put it.
#[derive(Clone, Debug, Default)]
pub(super) struct BodyContext {
    pub(super) source: Option<String>,
    pub(super) traceparent: Option<String>,
}

impl BodyContext {
    /// Reads the value of a field.
    fn read<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "source" => self.source = map.next_value_seed(BodyId)?,
            "traceparent" => self.traceparent = map.next_value_seed(BodyId)?,
            "metadata" | "traceContext" | "trace_context" => map.next_value_seed(self)?,
            _ => {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for &mut BodyContext {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

/// Anything but an object tells nothing.
impl<'de> Visitor<'de> for &mut BodyContext {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("any JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key_seed(FieldName)? {
            self.read(&name, &mut map)?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// The name of a field, which is in the body as it is if it has no escapes.
pub(super) struct FieldName;

impl<'de> DeserializeSeed<'de> for FieldName {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for FieldName {
    type Value = Cow<'de, str>;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("the name of a field")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(name.to_owned()))
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
