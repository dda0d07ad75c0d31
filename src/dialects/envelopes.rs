//! Takes the original message out of what a framework wrapped around it, as a replay sends it. The
//! stored original stays as it is.

use serde_json::{Map, Value};

use super::easynetq::{self, ErrorMessage};
use super::{embedded_headers, sneakers};
use crate::domain::{AmqpProperties, AmqpValue, Envelope, Header, Message};

/// A deeper value in a header is none that AMQP libraries write.
const DEEPEST: usize = 32;

/// The original message and what was around it; `None` if the message is the original itself.
pub fn unwrapped(message: &Message) -> Option<(Message, Envelope)> {
    let Some(properties) = message.properties.as_deref() else {
        let original = embedded_headers::without_error(message)?;
        return Some((original, Envelope::SpringEmbeddedHeaders));
    };
    if let Some(error) = easynetq::error_message(message) {
        return Some((from_easynetq(error), Envelope::EasyNetQ));
    }
    let restored = sneakers::original_properties(message)?;
    let (own, headers) = properties_of(&restored);
    let mut headers = headers;
    headers.extend(message.headers.iter().cloned());
    let restored = Message {
        headers,
        properties: Some(Box::new(AmqpProperties {
            exchange: properties.exchange.clone(),
            routing_key: properties.routing_key.clone(),
            ..own
        })),
        ..message.clone()
    };
    Some((restored, Envelope::Sneakers))
}

/// The message as its application reads it, which is what tells of the event; `None` if it is that
/// already.
pub fn readable(message: &Message) -> Option<Message> {
    embedded_headers::with_headers(message)
        .or_else(|| unwrapped(message).map(|(original, _)| original))
}

fn from_easynetq(error: ErrorMessage) -> Message {
    let (own, headers) = properties_of(&error.basic_properties);
    Message {
        key: None,
        body: Some(error.message.into()),
        headers,
        properties: Some(Box::new(AmqpProperties {
            exchange: error.exchange.unwrap_or_default(),
            routing_key: error.routing_key.unwrap_or_default(),
            ..own
        })),
    }
}

/// Basic properties as JSON, in .NET's or Ruby's spelling, with the headers among them.
fn properties_of(json: &Map<String, Value>) -> (AmqpProperties, Vec<Header>) {
    let named = |wanted: &str| {
        let is_it = |name: &str| name.replace('_', "").eq_ignore_ascii_case(wanted);
        json.iter()
            .find(|(name, value)| is_it(name) && !value.is_null())
            .map(|(_, value)| value)
    };
    // AMQP's short strings; a longer one cannot have been a property.
    let text = |name| {
        let text = named(name)?.as_str()?;
        (!text.is_empty() && text.len() <= 255).then(|| text.to_owned())
    };
    let octet = |name| u8::try_from(named(name)?.as_u64()?).ok();
    let properties = AmqpProperties {
        content_type: text("contenttype"),
        content_encoding: text("contentencoding"),
        delivery_mode: octet("deliverymode").filter(|mode| matches!(mode, 1 | 2)),
        priority: octet("priority").filter(|priority| *priority > 0),
        correlation_id: text("correlationid"),
        reply_to: text("replyto"),
        expiration: text("expiration"),
        message_id: text("messageid"),
        timestamp: named("timestamp")
            .and_then(Value::as_u64)
            .filter(|at| *at > 0),
        kind: text("type"),
        user_id: text("userid"),
        app_id: text("appid"),
        cluster_id: text("clusterid"),
        ..AmqpProperties::default()
    };
    let headers = named("headers").and_then(Value::as_object);
    let headers = headers.into_iter().flatten();
    let fits = |(name, _): &(&String, &Value)| name.len() <= 255;
    let headers = headers
        .filter(fits)
        .map(|(name, value)| Header::amqp(name, amqp_value(value, 0)))
        .collect();
    (properties, headers)
}

fn amqp_value(json: &Value, depth: usize) -> AmqpValue {
    match json {
        _ if depth > DEEPEST => AmqpValue::Void,
        Value::Null => AmqpValue::Void,
        Value::Bool(value) => AmqpValue::Boolean(*value),
        Value::Number(number) => match number.as_i64() {
            Some(integer) => AmqpValue::I64(integer),
            None => AmqpValue::F64(number.as_f64().unwrap_or_default().to_bits()),
        },
        Value::String(text) => AmqpValue::long_string(text.clone()),
        Value::Array(values) => AmqpValue::Array(
            values
                .iter()
                .map(|value| amqp_value(value, depth + 1))
                .collect(),
        ),
        Value::Object(fields) => AmqpValue::Table(
            fields
                .iter()
                .filter(|(name, _)| name.len() <= 255)
                .map(|(name, value)| (name.clone(), amqp_value(value, depth + 1)))
                .collect(),
        ),
    }
}
