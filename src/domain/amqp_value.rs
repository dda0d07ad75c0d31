use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Timestamp, json_bytes};

/// An AMQP 0-9-1 field-table value. Types matter on replay, so none is merged with another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "value", rename_all = "snake_case")]
pub enum AmqpValue {
    Boolean(bool),
    I8(i8),
    U8(u8),
    I16(i16),
    U16(u16),
    I32(i32),
    U32(u32),
    I64(i64),
    /// The bits of a 32-bit float, so that NaN survives.
    F32(u32),
    /// The bits of a 64-bit float, so that NaN survives.
    F64(u64),
    Decimal {
        scale: u8,
        value: u32,
    },
    ShortString(String),
    LongString(#[serde(with = "json_bytes")] Bytes),
    Array(Vec<AmqpValue>),
    /// Seconds since the epoch.
    Timestamp(u64),
    Table(Vec<(String, AmqpValue)>),
    ByteArray(#[serde(with = "json_bytes")] Bytes),
    Void,
}

impl AmqpValue {
    pub fn long_string(text: impl Into<String>) -> Self {
        Self::LongString(Bytes::from(text.into()))
    }

    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::ShortString(text) => Some(text),
            Self::LongString(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// A scalar in words; `None` for nothing, for nested values and for bytes that are no text.
    pub fn scalar_text(&self) -> Option<String> {
        match self {
            Self::Boolean(value) => Some(value.to_string()),
            Self::F32(bits) => Some(f32::from_bits(*bits).to_string()),
            Self::F64(bits) => Some(f64::from_bits(*bits).to_string()),
            Self::Decimal { scale, value } => Some(format!("{value}e-{scale}")),
            Self::ShortString(text) => Some(text.clone()),
            Self::LongString(bytes) | Self::ByteArray(bytes) => {
                std::str::from_utf8(bytes).ok().map(str::to_owned)
            }
            Self::Timestamp(seconds) => Some(match i64::try_from(*seconds) {
                Ok(seconds) => Timestamp::from_seconds(seconds).to_rfc3339(),
                Err(_) => format!("{seconds} s"),
            }),
            Self::Array(_) | Self::Table(_) | Self::Void => None,
            integer => integer.as_integer().map(|value| value.to_string()),
        }
    }

    /// Any integer type as `i64`; a client library picks the width, not the sender's intent.
    pub fn as_integer(&self) -> Option<i64> {
        match *self {
            Self::I8(value) => Some(value.into()),
            Self::U8(value) => Some(value.into()),
            Self::I16(value) => Some(value.into()),
            Self::U16(value) => Some(value.into()),
            Self::I32(value) => Some(value.into()),
            Self::U32(value) => Some(value.into()),
            Self::I64(value) => Some(value),
            _ => None,
        }
    }

    pub fn as_array(&self) -> Option<&[AmqpValue]> {
        match self {
            Self::Array(values) => Some(values),
            _ => None,
        }
    }

    /// A field of a table value.
    pub fn field(&self, name: &str) -> Option<&AmqpValue> {
        match self {
            Self::Table(fields) => fields
                .iter()
                .find(|(field, _)| field == name)
                .map(|(_, v)| v),
            _ => None,
        }
    }

    /// Bytes in AMQP's encoding, the type included.
    pub(super) fn amqp_size(&self) -> usize {
        match self {
            Self::ShortString(text) => 2 + text.len(),
            Self::LongString(bytes) | Self::ByteArray(bytes) => 5 + bytes.len(),
            Self::Array(values) => 5 + values.iter().map(Self::amqp_size).sum::<usize>(),
            Self::Table(fields) => {
                let field = |(name, value): &(String, Self)| 1 + name.len() + value.amqp_size();
                5 + fields.iter().map(field).sum::<usize>()
            }
            Self::Void => 1,
            Self::Boolean(_) | Self::I8(_) | Self::U8(_) => 2,
            Self::I16(_) | Self::U16(_) => 3,
            Self::I32(_) | Self::U32(_) | Self::F32(_) => 5,
            Self::Decimal { .. } => 6,
            Self::I64(_) | Self::F64(_) | Self::Timestamp(_) => 9,
        }
    }

    pub(super) fn nesting(&self) -> usize {
        match self {
            Self::Array(values) => 1 + values.iter().map(Self::nesting).max().unwrap_or(0),
            Self::Table(fields) => {
                let deepest = fields.iter().map(|(_, value)| value.nesting()).max();
                1 + deepest.unwrap_or(0)
            }
            _ => 0,
        }
    }

    pub(super) fn size(&self) -> usize {
        match self {
            Self::ShortString(text) => text.len(),
            Self::LongString(bytes) | Self::ByteArray(bytes) => bytes.len(),
            Self::Array(values) => values.iter().map(Self::size).sum(),
            Self::Table(fields) => fields
                .iter()
                .map(|(name, value)| name.len() + value.size())
                .sum(),
            _ => 8,
        }
    }
}

/// AMQP 0-9-1 basic properties without the headers table, which is [`Message::headers`](super::Message::headers), and with the
/// exchange and routing key of the delivery.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AmqpProperties {
    pub exchange: String,
    pub routing_key: String,
    pub content_type: Option<String>,
    pub content_encoding: Option<String>,
    pub delivery_mode: Option<u8>,
    pub priority: Option<u8>,
    pub correlation_id: Option<String>,
    pub reply_to: Option<String>,
    pub expiration: Option<String>,
    pub message_id: Option<String>,
    /// Seconds since the epoch.
    pub timestamp: Option<u64>,
    pub kind: Option<String>,
    pub user_id: Option<String>,
    pub app_id: Option<String>,
    pub cluster_id: Option<String>,
}

impl AmqpProperties {
    /// Whether RabbitMQ takes a text as the expiration of a message: milliseconds. With another it closes
    /// the channel.
    pub fn is_expiration(text: &str) -> bool {
        text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u32>().is_ok()
    }
}
