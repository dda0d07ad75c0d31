//! One message a framework and what must be read from it. `recorded` holds what the frameworks
//! themselves wrote; the others were written by hand from their source code.

mod envelopes;
mod kafka;
mod rabbitmq;
mod recorded;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::domain::{AmqpValue, ConsumerGroup, Header, HeaderValue, Offset, Partition, Timestamp};

/// A message as it lies in a DLQ: text values; what begins with `b64:` is bytes.
fn dead(system: System, dlq: &str, headers: &[(&str, &str)]) -> (Position, Message) {
    let value = |text: &str| match text.strip_prefix("b64:") {
        Some(base64) => HeaderValue::Bytes(STANDARD.decode(base64).unwrap().into()),
        None if system == System::RabbitMq => HeaderValue::Amqp(AmqpValue::long_string(text)),
        None => HeaderValue::Bytes(text.to_owned().into()),
    };
    let header = |(name, text): &(&str, &str)| Header {
        name: name.as_bytes().to_vec().into(),
        value: value(text),
    };
    let message = Message {
        body: Some("{}".into()),
        headers: headers.iter().map(header).collect(),
        properties: (system == System::RabbitMq).then(Box::default),
        ..Message::default()
    };
    let position = match system {
        System::Kafka => Position::Kafka {
            topic: dlq.into(),
            topic_id: None,
            partition: Partition(0),
            offset: Offset(0),
        },
        System::RabbitMq => Position::RabbitMq {
            vhost: "/".into(),
            queue: dlq.into(),
            fingerprint: "f".into(),
        },
    };
    (position, message)
}

fn names_left(system: System, message: &Message) -> Vec<String> {
    let stripped = headers_stripped_on_replay(system, message);
    let left_out = |index| {
        let mut stripped = stripped.iter();
        stripped.any(|one| one.index == index && one.instead.is_none())
    };
    let headers = message.headers.iter().enumerate();
    headers
        .filter(|(index, _)| !left_out(*index))
        .map(|(_, header)| header.name_lossy())
        .collect()
}

/// What a case expects, as far as the framework tells it.
#[derive(Debug, Default, PartialEq)]
struct Expected<'a> {
    dialect: &'a str,
    from: &'a str,
    at: Option<(i32, i64)>,
    consumer: &'a str,
    endpoint: &'a str,
    class: &'a str,
    message: &'a str,
    stage: &'a str,
    reason: &'a str,
    attempts: Option<(u64, AttemptsKind)>,
    failed_at: Option<&'a str>,
    /// Headers that a replay carries.
    left: &'a [&'a str],
}

fn check(system: System, dlq: &str, headers: &[(&str, &str)], expected: &Expected<'_>) {
    let (position, message) = dead(system, dlq, headers);
    let found = decode(&position, &message);
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let consumer = found.origin.consumer.as_ref().map(ConsumerGroup::as_str);
    let left = names_left(system, &message);
    let left: Vec<&str> = left.iter().map(String::as_str).collect();
    let failed_at = expected.failed_at.and_then(Timestamp::parse_rfc3339);
    assert_eq!(found.hops[0].dialect, expected.dialect);
    assert_eq!(
        (
            text(&found.origin.destination).as_str(),
            found
                .origin
                .partition
                .map(|p| p.0)
                .zip(found.origin.offset.map(|o| o.0)),
            consumer.unwrap_or_default(),
            text(&found.origin.endpoint).as_str(),
        ),
        (
            expected.from,
            expected.at,
            expected.consumer,
            expected.endpoint
        ),
        "{}",
        expected.dialect
    );
    assert_eq!(
        (
            text(&found.failure.class).as_str(),
            text(&found.failure.message).as_str(),
            text(&found.failure.stage).as_str(),
            found.reason.as_str(),
            found.attempts,
            found.last_failed_at,
        ),
        (
            expected.class,
            expected.message,
            expected.stage,
            if expected.reason.is_empty() {
                "exception"
            } else {
                expected.reason
            },
            expected.attempts,
            failed_at,
        ),
        "{}",
        expected.dialect
    );
    assert_eq!(left, expected.left, "{}", expected.dialect);
    for (name, _) in headers
        .iter()
        .filter(|(name, _)| !expected.left.contains(name))
    {
        let meaning = HeaderMeanings::on(system, &message).of(name.as_bytes());
        assert!(meaning.is_some(), "the page cannot explain {name}");
    }
}

const AT: &str = "2026-11-24T02:00:00.500Z";
