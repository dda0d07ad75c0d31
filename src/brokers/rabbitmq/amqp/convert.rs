//! Between lapin's types and the domain's. Types of header values are kept; order and duplicates of
//! headers are not, because lapin reads a table into a sorted map.

use bytes::Bytes;
use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::types::{AMQPValue, DecimalValue, FieldArray, FieldTable, LongString, ShortString};

use crate::domain::{
    AmqpProperties, AmqpValue, Header, HeaderValue, MOST_AMQP_HEADER_BYTES, Message,
};

pub(super) fn message_of(delivery: &Delivery) -> Message {
    let properties = &delivery.properties;
    let headers = properties
        .headers()
        .as_ref()
        .map(headers_of)
        .unwrap_or_default();
    Message {
        key: None,
        body: Some(Bytes::copy_from_slice(&delivery.data)),
        headers,
        properties: Some(Box::new(AmqpProperties {
            exchange: delivery.exchange.to_string(),
            routing_key: delivery.routing_key.to_string(),
            content_type: text(properties.content_type().as_ref()),
            content_encoding: text(properties.content_encoding().as_ref()),
            delivery_mode: *properties.delivery_mode(),
            priority: *properties.priority(),
            correlation_id: text(properties.correlation_id().as_ref()),
            reply_to: text(properties.reply_to().as_ref()),
            expiration: text(properties.expiration().as_ref()),
            message_id: text(properties.message_id().as_ref()),
            timestamp: *properties.timestamp(),
            kind: text(properties.kind().as_ref()),
            user_id: text(properties.user_id().as_ref()),
            app_id: text(properties.app_id().as_ref()),
            cluster_id: text(properties.cluster_id().as_ref()),
        })),
    }
}

fn text(value: Option<&ShortString>) -> Option<String> {
    value.map(ToString::to_string)
}

pub(super) fn headers_of(table: &FieldTable) -> Vec<Header> {
    let header = |(name, value): (&ShortString, &AMQPValue)| {
        Header::amqp(name.as_str(), domain_value(value))
    };
    table.inner().iter().map(header).collect()
}

fn domain_value(value: &AMQPValue) -> AmqpValue {
    match value {
        AMQPValue::Boolean(value) => AmqpValue::Boolean(*value),
        AMQPValue::ShortShortInt(value) => AmqpValue::I8(*value),
        AMQPValue::ShortShortUInt(value) => AmqpValue::U8(*value),
        AMQPValue::ShortInt(value) => AmqpValue::I16(*value),
        AMQPValue::ShortUInt(value) => AmqpValue::U16(*value),
        AMQPValue::LongInt(value) => AmqpValue::I32(*value),
        AMQPValue::LongUInt(value) => AmqpValue::U32(*value),
        AMQPValue::LongLongInt(value) => AmqpValue::I64(*value),
        AMQPValue::Float(value) => AmqpValue::F32(value.to_bits()),
        AMQPValue::Double(value) => AmqpValue::F64(value.to_bits()),
        AMQPValue::DecimalValue(value) => AmqpValue::Decimal {
            scale: value.scale,
            value: value.value,
        },
        AMQPValue::ShortString(value) => AmqpValue::ShortString(value.to_string()),
        AMQPValue::LongString(value) => {
            AmqpValue::LongString(Bytes::copy_from_slice(value.as_bytes()))
        }
        AMQPValue::FieldArray(values) => {
            AmqpValue::Array(values.as_slice().iter().map(domain_value).collect())
        }
        AMQPValue::Timestamp(value) => AmqpValue::Timestamp(*value),
        AMQPValue::FieldTable(table) => {
            let fields = table.inner().iter();
            AmqpValue::Table(
                fields
                    .map(|(name, value)| (name.to_string(), domain_value(value)))
                    .collect(),
            )
        }
        AMQPValue::ByteArray(value) => {
            AmqpValue::ByteArray(Bytes::copy_from_slice(value.as_slice()))
        }
        AMQPValue::Void => AmqpValue::Void,
    }
}

/// The properties for publishing. The error says what AMQP cannot carry.
pub(super) fn properties_of(message: &Message) -> Result<BasicProperties, String> {
    let properties = BasicProperties::default().with_headers(header_table(message)?);
    match &message.properties {
        Some(source) => with_properties(properties, source),
        None => Ok(properties),
    }
}

fn header_table(message: &Message) -> Result<FieldTable, String> {
    if message.amqp_headers_size() > MOST_AMQP_HEADER_BYTES {
        return Err(format!(
            "its headers are larger than the {MOST_AMQP_HEADER_BYTES} bytes of one frame"
        ));
    }
    let mut table = FieldTable::default();
    for header in &message.headers {
        let name = header.name_utf8().ok_or("a header name is not UTF-8")?;
        table.insert(short(name)?, lapin_value(&header.value)?);
    }
    Ok(table)
}

fn with_properties(
    mut properties: BasicProperties,
    source: &AmqpProperties,
) -> Result<BasicProperties, String> {
    type Setter = fn(BasicProperties, ShortString) -> BasicProperties;
    let texts: [(&Option<String>, Setter); 10] = [
        (&source.content_type, BasicProperties::with_content_type),
        (
            &source.content_encoding,
            BasicProperties::with_content_encoding,
        ),
        (&source.correlation_id, BasicProperties::with_correlation_id),
        (&source.reply_to, BasicProperties::with_reply_to),
        (&source.expiration, BasicProperties::with_expiration),
        (&source.message_id, BasicProperties::with_message_id),
        (&source.kind, BasicProperties::with_type),
        (&source.user_id, BasicProperties::with_user_id),
        (&source.app_id, BasicProperties::with_app_id),
        (&source.cluster_id, BasicProperties::with_cluster_id),
    ];
    for (text, set) in texts {
        if let Some(text) = text {
            properties = set(properties, short(text)?);
        }
    }
    if let Some(mode) = source.delivery_mode {
        properties = properties.with_delivery_mode(mode);
    }
    if let Some(priority) = source.priority {
        properties = properties.with_priority(priority);
    }
    if let Some(timestamp) = source.timestamp {
        properties = properties.with_timestamp(timestamp);
    }
    Ok(properties)
}

fn short(text: &str) -> Result<ShortString, String> {
    ShortString::try_new(text)
        .map_err(|_| format!("{:?} … is longer than 255 bytes", start_of(text)))
}

fn start_of(text: &str) -> String {
    text.chars().take(40).collect()
}

fn lapin_value(value: &HeaderValue) -> Result<AMQPValue, String> {
    match value {
        HeaderValue::Null => Ok(AMQPValue::Void),
        HeaderValue::Bytes(bytes) => Ok(AMQPValue::LongString(LongString::from(bytes.to_vec()))),
        HeaderValue::Amqp(value) => lapin_amqp_value(value),
    }
}

pub(super) fn lapin_amqp_value(value: &AmqpValue) -> Result<AMQPValue, String> {
    Ok(match value {
        AmqpValue::Boolean(value) => AMQPValue::Boolean(*value),
        AmqpValue::I8(value) => AMQPValue::ShortShortInt(*value),
        AmqpValue::U8(value) => AMQPValue::ShortShortUInt(*value),
        AmqpValue::I16(value) => AMQPValue::ShortInt(*value),
        AmqpValue::U16(value) => AMQPValue::ShortUInt(*value),
        AmqpValue::I32(value) => AMQPValue::LongInt(*value),
        AmqpValue::U32(value) => AMQPValue::LongUInt(*value),
        AmqpValue::I64(value) => AMQPValue::LongLongInt(*value),
        AmqpValue::F32(bits) => AMQPValue::Float(f32::from_bits(*bits)),
        AmqpValue::F64(bits) => AMQPValue::Double(f64::from_bits(*bits)),
        AmqpValue::Decimal { scale, value } => AMQPValue::DecimalValue(DecimalValue {
            scale: *scale,
            value: *value,
        }),
        AmqpValue::ShortString(text) => AMQPValue::ShortString(short(text)?),
        AmqpValue::LongString(bytes) => AMQPValue::LongString(LongString::from(bytes.to_vec())),
        AmqpValue::Array(values) => {
            let values: Result<Vec<_>, _> = values.iter().map(lapin_amqp_value).collect();
            AMQPValue::FieldArray(FieldArray::from(values?))
        }
        AmqpValue::Timestamp(seconds) => AMQPValue::Timestamp(*seconds),
        AmqpValue::Table(fields) => AMQPValue::FieldTable(table_of(fields)?),
        AmqpValue::ByteArray(bytes) => AMQPValue::ByteArray(bytes.to_vec().into()),
        AmqpValue::Void => AMQPValue::Void,
    })
}

pub(super) fn table_of(fields: &[(String, AmqpValue)]) -> Result<FieldTable, String> {
    let mut table = FieldTable::default();
    for (name, value) in fields {
        table.insert(short(name)?, lapin_amqp_value(value)?);
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_header_type_survives_both_ways() {
        let values = vec![
            AmqpValue::Boolean(true),
            AmqpValue::I8(-1),
            AmqpValue::U8(200),
            AmqpValue::I16(-300),
            AmqpValue::U16(40_000),
            AmqpValue::I32(-70_000),
            AmqpValue::U32(3_000_000_000),
            AmqpValue::I64(i64::MIN),
            AmqpValue::F32(1.5_f32.to_bits()),
            AmqpValue::F64(f64::NAN.to_bits()),
            AmqpValue::Decimal {
                scale: 2,
                value: 314,
            },
            AmqpValue::ShortString("short".to_owned()),
            AmqpValue::LongString(Bytes::from_static(b"\xff\x00")),
            AmqpValue::Timestamp(1),
            AmqpValue::ByteArray(Bytes::from_static(b"\x01")),
            AmqpValue::Void,
            AmqpValue::Table(vec![("n".to_owned(), AmqpValue::I8(1))]),
        ];
        let nested = AmqpValue::Array(values);
        assert_eq!(domain_value(&lapin_amqp_value(&nested).unwrap()), nested);
    }

    #[test]
    fn what_amqp_cannot_carry_is_said_instead_of_closing_the_connection() {
        let check = |header: Header, expected: &str| {
            let message = Message {
                headers: vec![header],
                ..Message::default()
            };
            let error = properties_of(&message).unwrap_err();
            assert!(error.contains(expected), "{error}");
        };
        check(Header::text(&"n".repeat(256), "v"), "longer than 255 bytes");
        check(Header::text("n", "v".repeat(130_000)), "one frame");
        let binary = Header {
            name: Bytes::from_static(b"\xff"),
            value: HeaderValue::Null,
        };
        check(binary, "not UTF-8");
    }
}
