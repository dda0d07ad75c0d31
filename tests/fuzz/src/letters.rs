//! Dead letters as text that any bytes are, so that a fuzzer changes values and structure alike:
//!
//! ```text
//! rabbitmq orders.dlq
//! @content-type: application/json
//! tenant: acme
//! x-death:=[{Squeue=Sorders,count=i3,time=T1700000000}]
//! nothing
//!
//! {"orderId":1}
//! ```
//!
//! The first line names system and DLQ. `@` begins the key (`@key`) or an AMQP property; a line without a
//! colon is a header of null; `:=` gives an AMQP type. `\n` and `\xff` stand for bytes in names and
//! values. After an empty line comes the body; without one it is null. A recorded dead letter, which is
//! JSON, is read as well.

use bytes::Bytes;
use redrive::domain::{
    AmqpProperties, AmqpValue, Header, HeaderValue, MOST_HEADER_NESTING, Message, Offset,
    Partition, Position, System,
};
use serde::Deserialize;

/// A file of `tests/fixtures/dialects/recorded`.
#[derive(Deserialize)]
struct Recorded {
    system: String,
    dlq: String,
    dead: Message,
}

/// Where a dead letter lies, and its message.
pub(crate) fn read(input: &[u8]) -> (Position, Message) {
    if let Ok(recorded) = serde_json::from_slice::<Recorded>(input) {
        let system = system_of(recorded.system.as_bytes());
        return (position(system, recorded.dlq), recorded.dead);
    }
    let (first, rest) = split(input, b'\n');
    let (system, dlq) = split(first, b' ');
    let system = system_of(system);
    let dlq = String::from_utf8_lossy(dlq).into_owned();
    (position(system, dlq), message(system, rest))
}

fn system_of(word: &[u8]) -> System {
    if word == b"rabbitmq" {
        System::RabbitMq
    } else {
        System::Kafka
    }
}

fn position(system: System, dlq: String) -> Position {
    let dlq = if dlq.is_empty() {
        "dlq".to_owned()
    } else {
        dlq
    };
    match system {
        System::Kafka => Position::Kafka {
            topic: dlq.into(),
            topic_id: None,
            partition: Partition(3),
            offset: Offset(4711),
        },
        System::RabbitMq => Position::RabbitMq {
            vhost: "/".into(),
            queue: dlq.into(),
            fingerprint: "0".repeat(64),
        },
    }
}

fn message(system: System, mut rest: &[u8]) -> Message {
    let mut message = Message {
        properties: (system == System::RabbitMq).then(Box::default),
        ..Message::default()
    };
    while !rest.is_empty() {
        let (line, after) = split(rest, b'\n');
        if line.is_empty() {
            message.body = Some(Bytes::copy_from_slice(after));
            break;
        }
        add_line(system, &mut message, line);
        rest = after;
    }
    message
}

fn add_line(system: System, message: &mut Message, line: &[u8]) {
    let colon = line.iter().position(|byte| *byte == b':');
    let (name, value) = match colon {
        Some(at) => (&line[..at], Some(&line[at + 1..])),
        None => (line, None),
    };
    if let Some(property) = name.strip_prefix(b"@") {
        let value = unescaped(value.unwrap_or_default().trim_ascii_start());
        set_property(message, property, &value);
        return;
    }
    let header = Header {
        name: header_name(system, name),
        value: header_value(system, value),
    };
    message.headers.push(header);
}

/// AMQP's client gives names as text only.
fn header_name(system: System, name: &[u8]) -> Bytes {
    let name = unescaped(name);
    match system {
        System::Kafka => name.into(),
        System::RabbitMq => text(&name).into(),
    }
}

fn header_value(system: System, value: Option<&[u8]>) -> HeaderValue {
    let typed = value.and_then(|value| value.strip_prefix(b"="));
    match (system, value, typed) {
        (System::Kafka, None, _) => HeaderValue::Null,
        (System::RabbitMq, None, _) => HeaderValue::Amqp(AmqpValue::Void),
        (System::RabbitMq, _, Some(typed)) => {
            let mut reader = TypedReader { rest: typed };
            HeaderValue::Amqp(reader.value(0))
        }
        (_, Some(value), _) => {
            let bytes = Bytes::from(unescaped(value.strip_prefix(b" ").unwrap_or(value)));
            match system {
                System::Kafka => HeaderValue::Bytes(bytes),
                System::RabbitMq => HeaderValue::Amqp(AmqpValue::LongString(bytes)),
            }
        }
    }
}

fn set_property(message: &mut Message, name: &[u8], value: &[u8]) {
    let Some(properties) = message.properties.as_deref_mut() else {
        if name == b"key" {
            message.key = Some(Bytes::copy_from_slice(value));
        }
        return;
    };
    let value = text(value);
    let AmqpProperties {
        exchange,
        routing_key,
        ..
    } = properties;
    let place = match name {
        b"exchange" => return *exchange = value,
        b"routing-key" => return *routing_key = value,
        b"delivery-mode" => return properties.delivery_mode = value.parse().ok(),
        b"priority" => return properties.priority = value.parse().ok(),
        b"timestamp" => return properties.timestamp = value.parse().ok(),
        b"content-type" => &mut properties.content_type,
        b"content-encoding" => &mut properties.content_encoding,
        b"correlation-id" => &mut properties.correlation_id,
        b"reply-to" => &mut properties.reply_to,
        b"expiration" => &mut properties.expiration,
        b"message-id" => &mut properties.message_id,
        b"type" => &mut properties.kind,
        b"user-id" => &mut properties.user_id,
        b"app-id" => &mut properties.app_id,
        _ => &mut properties.cluster_id,
    };
    *place = Some(value);
}

/// `[a,b]` and `{name=value,…}`, and scalars that begin with a letter for their type: `S` long string,
/// `s` short string, `i` 64-bit and `j` 32-bit integer, `b` boolean, `d` double, `T` time, `x` bytes, `D`
/// decimal, `V` void.
struct TypedReader<'a> {
    rest: &'a [u8],
}

impl TypedReader<'_> {
    fn value(&mut self, depth: usize) -> AmqpValue {
        let is_deep = depth >= MOST_HEADER_NESTING;
        match self.next() {
            None => AmqpValue::Void,
            Some(b'[') if !is_deep => {
                let mut items = Vec::new();
                while !self.is_end(b']') {
                    items.push(self.value(depth + 1));
                    self.pass(b',');
                }
                AmqpValue::Array(items)
            }
            Some(b'{') if !is_deep => {
                let mut fields = Vec::new();
                while !self.is_end(b'}') {
                    let name = text(&self.until(b"="));
                    self.pass(b'=');
                    fields.push((name, self.value(depth + 1)));
                    self.pass(b',');
                }
                AmqpValue::Table(fields)
            }
            Some(kind) => scalar(kind, self.until(b",]}")),
        }
    }

    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn is_end(&mut self, closing: u8) -> bool {
        self.rest.is_empty() || self.pass(closing)
    }

    fn pass(&mut self, byte: u8) -> bool {
        let after = self.rest.strip_prefix(&[byte]);
        self.rest = after.unwrap_or(self.rest);
        after.is_some()
    }

    fn until(&mut self, ends: &[u8]) -> Vec<u8> {
        let end = self.rest.iter().position(|byte| ends.contains(byte));
        let (taken, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        unescaped(taken)
    }
}

fn scalar(kind: u8, value: Vec<u8>) -> AmqpValue {
    let number = || str::from_utf8(&value).ok()?.parse::<i64>().ok();
    match kind {
        b's' => AmqpValue::ShortString(text(&value)),
        b'i' => AmqpValue::I64(number().unwrap_or(0)),
        b'j' => AmqpValue::I32(number().and_then(|n| i32::try_from(n).ok()).unwrap_or(-1)),
        b'b' => AmqpValue::Boolean(value == b"1"),
        b'd' => AmqpValue::F64(text(&value).parse().unwrap_or(f64::NAN).to_bits()),
        b'T' => AmqpValue::Timestamp(text(&value).parse().unwrap_or(u64::MAX)),
        b'x' => AmqpValue::ByteArray(value.into()),
        b'D' => AmqpValue::Decimal {
            scale: 2,
            value: text(&value).parse().unwrap_or(u32::MAX),
        },
        b'V' => AmqpValue::Void,
        _ => AmqpValue::LongString(value.into()),
    }
}

/// `\n`, `\r`, `\0`, `\xff` and `\\`; other bytes stand for themselves.
fn unescaped(written: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(written.len());
    let mut rest = written;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'\\' {
            bytes.push(*first);
            continue;
        }
        let (byte, after) = match after {
            [b'n', after @ ..] => (b'\n', after),
            [b'r', after @ ..] => (b'\r', after),
            [b'0', after @ ..] => (0, after),
            [b'\\', after @ ..] => (b'\\', after),
            [b'x', after @ ..] => hexadecimal(after).unwrap_or((b'\\', rest)),
            _ => (b'\\', after),
        };
        bytes.push(byte);
        rest = after;
    }
    bytes
}

/// The byte that two digits stand for, and what follows them.
fn hexadecimal(text: &[u8]) -> Option<(u8, &[u8])> {
    let (digits, after) = text.split_at_checked(2)?;
    let byte = u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?;
    Some((byte, after))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Before and after the first `separator`; all of it before, if there is none.
fn split(bytes: &[u8], separator: u8) -> (&[u8], &[u8]) {
    let at = bytes.iter().position(|byte| *byte == separator);
    at.map_or((bytes, &[]), |at| (&bytes[..at], &bytes[at + 1..]))
}
