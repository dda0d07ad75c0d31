use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::json_bytes;
use super::{AmqpProperties, AmqpValue};

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
    #[serde(with = "json_bytes::optional", default)]
    pub key: Option<Bytes>,
    /// `None` is a null Kafka value (a tombstone), which is not an empty one.
    #[serde(with = "json_bytes::optional", default)]
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
    #[serde(with = "json_bytes")]
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
    Bytes(#[serde(with = "json_bytes")] Bytes),
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
