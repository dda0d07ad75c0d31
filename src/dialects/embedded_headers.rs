//! Headers in front of the payload, as Spring Cloud Stream writes them with `headerMode =
//! embeddedHeaders`: the byte 0xff, the number of headers, then for each its name behind a length of one
//! byte and its value as JSON behind a length of four.
//!
//! Its consumers want to find them there, so a replay carries them on, without those of the error.

use bytes::{BufMut as _, Bytes, BytesMut};
use serde_json::Value;

use super::dialect::{Dialect, Sign};
use super::{Account, spring_cloud_stream};
use crate::domain::{Envelope, Header, Message, System};

const MARK: u8 = 0xff;
const NAME: &str = "spring-cloud-stream-embedded";

pub(super) const DIALECT: Dialect = Dialect {
    name: NAME,
    title: "Spring Cloud Stream, embedded headers",
    system: Some(System::Kafka),
    sign: Sign::Test(is_dead_letter),
    headers: &[],
    decode,
};

fn decode(dlq: &str, message: &Message) -> Option<Account> {
    let mut account = spring_cloud_stream::decode_as(NAME, dlq, &with_headers(message)?)?;
    account.decoded.envelope = Some(Envelope::SpringEmbeddedHeaders);
    Some(account)
}

struct Embedded<'a> {
    /// Names and values, which are JSON.
    headers: Vec<(&'a str, &'a [u8])>,
    payload: &'a [u8],
}

/// What is embedded in the body of a dead letter of Spring Cloud Stream; any other body is left alone.
fn embedded(message: &Message) -> Option<Embedded<'_>> {
    let rest = message.body.as_deref()?.strip_prefix(&[MARK])?;
    let (&count, mut after) = rest.split_first()?;
    let mut headers = Vec::with_capacity(count.into());
    for _ in 0..count {
        let (&length, from_name) = after.split_first()?;
        let (name, from_length) = from_name.split_at_checked(length.into())?;
        let (length, from_value) = from_length.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (value, left) = from_value.split_at_checked(length)?;
        headers.push((std::str::from_utf8(name).ok()?, value));
        after = left;
    }
    let is_death = |(name, _): &(&str, &[u8])| spring_cloud_stream::is_error_header(name);
    headers.iter().any(is_death).then_some(Embedded {
        headers,
        payload: after,
    })
}

fn is_dead_letter(message: &Message) -> bool {
    embedded(message).is_some()
}

/// The message as an application sees it: the embedded headers behind its own, the payload alone.
pub(super) fn with_headers(message: &Message) -> Option<Message> {
    let Embedded { headers, payload } = embedded(message)?;
    let text = |value: &[u8]| match serde_json::from_slice(value) {
        Ok(Value::String(text)) => text,
        _ => String::from_utf8_lossy(value).into_owned(),
    };
    let embedded = headers
        .iter()
        .map(|(name, value)| Header::text(name, text(value)));
    Some(Message {
        body: Some(Bytes::copy_from_slice(payload)),
        headers: message.headers.iter().cloned().chain(embedded).collect(),
        ..message.clone()
    })
}

/// The message in its own form without what the dead-lettering embedded.
pub(super) fn without_error(message: &Message) -> Option<Message> {
    let Embedded { headers, payload } = embedded(message)?;
    let is_kept = |(name, _): &&(&str, &[u8])| !spring_cloud_stream::is_error_header(name);
    let kept: Vec<_> = headers.iter().filter(is_kept).collect();
    let mut body = BytesMut::with_capacity(message.body.as_ref().map_or(0, Bytes::len));
    body.put_u8(MARK);
    body.put_u8(u8::try_from(kept.len()).ok()?);
    for (name, value) in kept {
        body.put_u8(u8::try_from(name.len()).ok()?);
        body.put_slice(name.as_bytes());
        body.put_u32(u32::try_from(value.len()).ok()?);
        body.put_slice(value);
    }
    body.put_slice(payload);
    Some(Message {
        body: Some(body.freeze()),
        ..message.clone()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Partition, Position};

    fn body(headers: &[(&str, &str)], payload: &[u8]) -> Message {
        let mut body = vec![MARK, u8::try_from(headers.len()).unwrap()];
        for (name, value) in headers {
            body.push(u8::try_from(name.len()).unwrap());
            body.extend(name.as_bytes());
            body.extend(u32::try_from(value.len()).unwrap().to_be_bytes());
            body.extend(value.as_bytes());
        }
        body.extend(payload);
        Message {
            body: Some(body.into()),
            ..Message::default()
        }
    }

    const KEPT: (&str, &str) = ("tenant", "\"acme\"");

    #[test]
    fn embedded_headers_tell_the_death_and_a_replay_leaves_them_out() {
        let error = [
            ("x-original-topic", "\"orders\""),
            ("x-original-partition", "2"),
            ("x-exception-message", "\"no stock\""),
        ];
        let dead = body(&[KEPT, error[0], error[1], error[2]], b"{}");
        let position = Position::Kafka {
            topic: "error.orders.payments".into(),
            topic_id: None,
            partition: Partition(0),
            offset: crate::domain::Offset(0),
        };
        let found = super::super::decode(&position, &dead);
        assert_eq!(found.origin.destination.as_deref(), Some("orders"));
        assert_eq!(found.origin.partition, Some(Partition(2)));
        assert_eq!(found.origin.consumer, Some("payments".into()));
        assert_eq!(found.failure.message.as_deref(), Some("no stock"));
        assert_eq!(found.envelope, Some(Envelope::SpringEmbeddedHeaders));
        assert_eq!(without_error(&dead), Some(body(&[KEPT], b"{}")));
        let readable = with_headers(&dead).unwrap();
        assert_eq!(readable.body.as_deref(), Some(b"{}".as_slice()));
        assert_eq!(readable.header_text("tenant"), Some("acme"));
    }

    #[test]
    fn any_other_body_is_left_alone() {
        let whole = body(&[KEPT, ("x-exception-message", "\"no\"")], b"");
        let bytes = whole.body.unwrap();
        for end in 0..bytes.len() {
            let cut = Message {
                body: Some(bytes.slice(..end)),
                ..Message::default()
            };
            assert!(embedded(&cut).is_none(), "{end} bytes");
        }
        assert!(embedded(&body(&[KEPT], b"{}")).is_none(), "tells no death");
        assert!(embedded(&Message::default()).is_none());
    }
}
