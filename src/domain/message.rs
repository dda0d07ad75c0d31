use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Headers of AMQP in their encoding, at most: they must fit one frame with the other properties, which
/// are at most 255 bytes each, else RabbitMQ closes the connection (rabbitmq4.md 5). A frame has 131,072
/// bytes by default, 8 of them its own.
pub const MOST_AMQP_HEADER_BYTES: usize = 131_072 - 8 - 4096;

/// Arrays and tables in each other, at most. `x-death`, the deepest header that means something, needs
/// three; a level takes three levels of the JSON in which headers are stored, and 128 of those are read.
pub const MOST_HEADER_NESTING: usize = 32;

/// A message exactly as a broker gave it: nothing decoded, nothing reordered, nothing merged.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Kafka record key; `None` is a null key, which is not an empty one. Always `None` on RabbitMQ.
    #[serde(with = "optional_bytes", default)]
    pub key: Option<Bytes>,
    /// `None` is a null Kafka value (a tombstone), which is not an empty one.
    #[serde(with = "optional_bytes", default)]
    pub body: Option<Bytes>,
    /// In the broker's order, duplicates included.
    pub headers: Vec<Header>,
    /// AMQP basic properties; `None` on Kafka.
    #[serde(default)]
    pub properties: Option<Box<AmqpProperties>>,
}

impl Message {
    /// The last header of that name, which is the effective one by the usual convention of producers.
    pub fn header(&self, name: &str) -> Option<&HeaderValue> {
        self.headers
            .iter()
            .rev()
            .find(|header| header.name == name.as_bytes())
            .map(|h| &h.value)
    }

    /// The last header of that name as text, if it is text.
    pub fn header_text(&self, name: &str) -> Option<&str> {
        self.header(name).and_then(HeaderValue::as_text)
    }

    /// Key, body, header names and values together, in bytes.
    pub fn size(&self) -> usize {
        let length = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
        length(&self.key) + length(&self.body) + self.headers_size()
    }

    /// Bytes of the headers in AMQP's encoding.
    pub fn amqp_headers_size(&self) -> usize {
        self.headers.iter().map(Header::amqp_size).sum()
    }

    /// The deepest header: so many arrays and tables in each other.
    pub fn header_nesting(&self) -> usize {
        let nesting = |header: &Header| match &header.value {
            HeaderValue::Amqp(value) => value.nesting(),
            HeaderValue::Null | HeaderValue::Bytes(_) => 0,
        };
        self.headers.iter().map(nesting).max().unwrap_or(0)
    }

    /// Header names and values together, in bytes.
    pub fn headers_size(&self) -> usize {
        let sizes = self
            .headers
            .iter()
            .map(|header| header.name.len() + header.value.size());
        sizes.sum()
    }
}

/// One header. Names are bytes on Kafka's wire and may not be UTF-8.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    #[serde(with = "bytes_or_text")]
    pub name: Bytes,
    pub value: HeaderValue,
}

impl Header {
    pub fn text(name: &str, value: impl Into<String>) -> Self {
        Self {
            name: Bytes::copy_from_slice(name.as_bytes()),
            value: HeaderValue::Bytes(Bytes::from(value.into())),
        }
    }

    pub fn amqp(name: &str, value: AmqpValue) -> Self {
        Self {
            name: Bytes::copy_from_slice(name.as_bytes()),
            value: HeaderValue::Amqp(value),
        }
    }

    /// The name as text, if it is text.
    pub fn name_utf8(&self) -> Option<&str> {
        std::str::from_utf8(&self.name).ok()
    }

    /// Bytes of one field of an AMQP table: the length and the name, then the value.
    fn amqp_size(&self) -> usize {
        let value = match &self.value {
            HeaderValue::Null => 1,
            HeaderValue::Bytes(bytes) => 5 + bytes.len(),
            HeaderValue::Amqp(value) => value.amqp_size(),
        };
        1 + self.name.len() + value
    }

    /// The name for display, with what is not UTF-8 replaced.
    pub fn name_lossy(&self) -> String {
        String::from_utf8_lossy(&self.name).into_owned()
    }
}

/// The value of a header: bytes or null on Kafka, a typed value on RabbitMQ.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeaderValue {
    /// A null Kafka header value, legal and distinct from an empty one.
    Null,
    Bytes(#[serde(with = "bytes_or_text")] Bytes),
    Amqp(AmqpValue),
}

impl HeaderValue {
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Null => None,
            Self::Bytes(bytes) => std::str::from_utf8(bytes).ok(),
            Self::Amqp(value) => value.as_text(),
        }
    }

    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bytes(bytes)
            | Self::Amqp(AmqpValue::LongString(bytes) | AmqpValue::ByteArray(bytes)) => Some(bytes),
            Self::Null | Self::Amqp(_) => None,
        }
    }

    fn size(&self) -> usize {
        match self {
            Self::Null => 0,
            Self::Bytes(bytes) => bytes.len(),
            Self::Amqp(value) => value.size(),
        }
    }
}

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
    LongString(#[serde(with = "bytes_or_text")] Bytes),
    Array(Vec<AmqpValue>),
    /// Seconds since the epoch.
    Timestamp(u64),
    Table(Vec<(String, AmqpValue)>),
    ByteArray(#[serde(with = "bytes_or_text")] Bytes),
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
    fn amqp_size(&self) -> usize {
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

    fn nesting(&self) -> usize {
        match self {
            Self::Array(values) => 1 + values.iter().map(Self::nesting).max().unwrap_or(0),
            Self::Table(fields) => {
                let deepest = fields.iter().map(|(_, value)| value.nesting()).max();
                1 + deepest.unwrap_or(0)
            }
            _ => 0,
        }
    }

    fn size(&self) -> usize {
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

/// AMQP 0-9-1 basic properties without the headers table, which is [`Message::headers`], and with the
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

/// Bytes as a JSON string where they are UTF-8 and as `{"base64": "…"}` where they are not.
mod bytes_or_text {
    use super::{Bytes, Deserialize, Deserializer, Serialize, Serializer};
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::de::Error as _;

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Form {
        Text(String),
        Binary { base64: String },
    }

    pub(super) fn serialize<S: Serializer>(
        bytes: &Bytes,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(bytes) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => Form::Binary {
                base64: STANDARD.encode(bytes),
            }
            .serialize(serializer),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Bytes, D::Error> {
        match Form::deserialize(deserializer)? {
            Form::Text(text) => Ok(Bytes::from(text)),
            Form::Binary { base64 } => STANDARD
                .decode(base64)
                .map(Bytes::from)
                .map_err(D::Error::custom),
        }
    }
}

/// The same for bytes that may be null.
mod optional_bytes {
    use super::{Bytes, Deserialize, Deserializer, Serialize, Serializer, bytes_or_text};

    #[derive(Serialize, Deserialize)]
    struct Wrapped(#[serde(with = "bytes_or_text")] Bytes);

    #[expect(
        clippy::ref_option,
        reason = "serde calls it with a reference to the field"
    )]
    pub(super) fn serialize<S: Serializer>(
        bytes: &Option<Bytes>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        bytes.clone().map(Wrapped).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Bytes>, D::Error> {
        Ok(Option::<Wrapped>::deserialize(deserializer)?.map(|wrapped| wrapped.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_empty_duplicate_and_binary_headers_survive_storage() {
        let message = Message {
            key: Some(Bytes::new()),
            body: None,
            headers: vec![
                Header::text("a", "1"),
                Header {
                    name: Bytes::from_static(b"\xff\x00"),
                    value: HeaderValue::Null,
                },
                Header {
                    name: Bytes::from_static(b"a"),
                    value: HeaderValue::Bytes(Bytes::new()),
                },
                Header::amqp(
                    "t",
                    AmqpValue::Table(vec![("n".into(), AmqpValue::F64(f64::NAN.to_bits()))]),
                ),
                Header::amqp("b", AmqpValue::ByteArray(Bytes::from_static(b"\xfe"))),
                Header::amqp(
                    "d",
                    AmqpValue::Decimal {
                        scale: 2,
                        value: 314,
                    },
                ),
                Header::amqp("v", AmqpValue::Void),
            ],
            properties: Some(Box::default()),
        };
        let stored = serde_json::to_string(&message).unwrap();
        assert_eq!(serde_json::from_str::<Message>(&stored).unwrap(), message);
    }

    /// Tables and arrays in turn, `levels` in all.
    fn nested(levels: usize) -> Message {
        let value = (0..levels).fold(AmqpValue::Void, |inner, level| {
            if level % 2 == 0 {
                AmqpValue::Table(vec![("n".into(), inner)])
            } else {
                AmqpValue::Array(vec![inner])
            }
        });
        Message {
            headers: vec![Header::amqp("deep", value)],
            ..Message::default()
        }
    }

    #[test]
    fn the_deepest_header_that_is_let_in_is_read_back() {
        let table = |inner| AmqpValue::Table(vec![("n".into(), inner)]);
        let tables = (0..MOST_HEADER_NESTING).fold(AmqpValue::Void, |inner, _| table(inner));
        let message = Message {
            headers: vec![Header::amqp("deep", tables)],
            ..Message::default()
        };
        assert_eq!(message.header_nesting(), MOST_HEADER_NESTING);
        let stored = serde_json::to_string(&message).unwrap();
        assert_eq!(serde_json::from_str::<Message>(&stored).unwrap(), message);
        for levels in [0, 1, 7] {
            assert_eq!(nested(levels).header_nesting(), levels);
        }
    }

    #[test]
    fn the_size_of_headers_is_that_of_their_encoding() {
        let check = |header: Header, expected: usize| {
            let message = Message {
                headers: vec![header],
                ..Message::default()
            };
            assert_eq!(message.amqp_headers_size(), expected);
        };
        check(Header::text("name", "12345"), 1 + 4 + 5 + 5);
        check(
            Header::amqp("n", AmqpValue::ShortString("ab".to_owned())),
            2 + 4,
        );
        check(Header::amqp("n", AmqpValue::I64(1)), 2 + 9);
        check(Header::amqp("n", AmqpValue::Void), 2 + 1);
        check(Header::amqp("n", AmqpValue::U8(1)), 2 + 2);
        check(Header::amqp("n", AmqpValue::I16(1)), 2 + 3);
        check(Header::amqp("n", AmqpValue::F32(1)), 2 + 5);
        let decimal = AmqpValue::Decimal { scale: 1, value: 1 };
        check(Header::amqp("n", decimal), 2 + 6);
        let array = AmqpValue::Array(vec![AmqpValue::long_string("ab"); 2]);
        check(Header::amqp("n", array.clone()), 2 + 5 + 2 * 7);
        check(
            Header::amqp("n", AmqpValue::Table(vec![("k".into(), array)])),
            2 + 5 + 2 + 19,
        );
    }

    #[test]
    fn the_last_header_of_a_name_is_the_effective_one() {
        let headers = vec![Header::text("id", "first"), Header::text("id", "last")];
        let message = Message {
            headers,
            ..Message::default()
        };
        assert_eq!(message.header_text("id"), Some("last"));
    }
}
