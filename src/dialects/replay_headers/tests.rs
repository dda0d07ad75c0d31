use super::*;
use crate::domain::{AmqpValue, DeathReason, Decoded, Failure, Header, Hop};

fn message(names: &[&str]) -> Message {
    Message {
        headers: names.iter().map(|name| Header::text(name, "1")).collect(),
        ..Message::default()
    }
}

/// The names that stay.
fn carried(system: System, names: &[&str]) -> Vec<String> {
    let message = message(names);
    let stripped = headers_stripped_on_replay(system, &message);
    let stays = |index: &usize| stripped.iter().all(|header| header.index != *index);
    (0..names.len())
        .filter(stays)
        .map(|index| message.headers[index].name_lossy())
        .collect()
}

#[test]
fn the_story_of_the_death_stays_behind_and_the_event_goes() {
    let cases: [(System, &[&str], &[&str]); 7] = [
        (
            System::RabbitMq,
            &[
                "eventId",
                "x-death",
                "x-first-death-queue",
                "x-first-death-reason",
                "x-first-death-exchange",
                "x-last-death-queue",
                "x-delivery-count",
                "x-acquired-count",
                "x-stream-offset",
                "CC",
                "BCC",
                "x-delay",
                "x-retry-count",
                "retry-count",
                "x-original-routing-key",
                "traceparent",
            ],
            &["eventId", "x-original-routing-key", "traceparent"],
        ),
        // RabbitMQ's names mean nothing on Kafka.
        (
            System::Kafka,
            &["x-death", "CC", "x-delay"],
            &["x-death", "CC", "x-delay"],
        ),
        (
            System::Kafka,
            &[
                "eventId",
                "x-error-class",
                "x-original-topic",
                "x-consumer-group",
                "eventType",
                "x-failed-at",
                "x-attempts",
                "eventId",
            ],
            &["eventId", "eventType", "eventId"],
        ),
        // Without an error beside it, the application may mean something else.
        (
            System::Kafka,
            &["x-consumer-group", "x-attempts"],
            &["x-consumer-group", "x-attempts"],
        ),
        (
            System::Kafka,
            &[
                "__TypeId__",
                "kafka_dlt-original-topic",
                "kafka_dlt-exception-fqcn",
                "kafka_original-topic",
                "retry_topic-attempts",
                "springDeserializerExceptionValue",
                "ce_id",
            ],
            &["__TypeId__", "ce_id"],
        ),
        (
            System::Kafka,
            &["x-replay-id", "x-replay-prev-error", "x-replayed"],
            &["x-replayed"],
        ),
        (System::RabbitMq, &["cc", "X-Death"], &["cc", "X-Death"]),
    ];
    for (system, names, expected) in cases {
        assert_eq!(carried(system, names), expected, "{system} {names:?}");
    }
}

#[test]
fn every_stripped_header_has_its_place_and_a_reason() {
    let message = message(&["a", "x-death", "b", "x-retry-count", "x-replay-id"]);
    let stripped = headers_stripped_on_replay(System::RabbitMq, &message);
    let found: Vec<_> = stripped.iter().map(|header| header.index).collect();
    assert_eq!(found, [1, 3, 4]);
    assert!(stripped.iter().all(|header| !header.reason.is_empty()));
}

#[test]
fn values_of_any_type_are_stripped_by_name() {
    let message = Message {
        headers: vec![
            Header::amqp("x-death", AmqpValue::Void),
            Header {
                name: bytes::Bytes::from_static(b"\xff"),
                value: HeaderValue::Null,
            },
            Header {
                name: bytes::Bytes::from_static(b"x-replay-id"),
                value: HeaderValue::Null,
            },
        ],
        ..Message::default()
    };
    let stripped = headers_stripped_on_replay(System::RabbitMq, &message);
    assert_eq!(
        stripped
            .iter()
            .map(|header| header.index)
            .collect::<Vec<_>>(),
        [0, 2]
    );
}

#[test]
fn properties_that_the_broker_would_refuse_or_expire_are_left_out() {
    let original = AmqpProperties {
        exchange: "events.dlx".into(),
        user_id: Some("shop".into()),
        reply_to: Some("amq.rabbitmq.reply-to".into()),
        expiration: Some("1000".into()),
        delivery_mode: Some(1),
        priority: Some(9),
        message_id: Some("m".into()),
        timestamp: Some(7),
        ..AmqpProperties::default()
    };
    let (sent, changes) = properties_on_replay(&original, "redrive");
    let expected = AmqpProperties {
        user_id: None,
        reply_to: None,
        expiration: None,
        delivery_mode: Some(2),
        ..original.clone()
    };
    assert_eq!(sent, expected);
    let properties: Vec<_> = changes.iter().map(|change| change.property).collect();
    assert_eq!(
        properties,
        ["user-id", "reply-to", "expiration", "delivery-mode"]
    );

    let harmless = AmqpProperties {
        user_id: Some("redrive".into()),
        reply_to: Some("replies".into()),
        delivery_mode: Some(2),
        ..AmqpProperties::default()
    };
    assert_eq!(
        properties_on_replay(&harmless, "redrive"),
        (harmless.clone(), Vec::new())
    );
}

#[test]
fn the_previous_error_fits_its_header_whatever_it_holds() {
    assert_eq!(previous_error(&LastDeath::default()), None);
    let hop = |failure: &Failure| Hop {
        dialect: "x-error".into(),
        failure: failure.clone(),
        reason: DeathReason::Exception,
        ..Hop::default()
    };
    for text in [
        "short",
        &"long ".repeat(2_000),
        &"\u{1}".repeat(9_000),
        &"\u{1f600}".repeat(2_000),
    ] {
        let failure = Failure {
            class: Some(text.into()),
            message: Some(text.into()),
            ..Failure::default()
        };
        let decoded = Decoded {
            hops: vec![hop(&failure)],
            failure,
            reason: DeathReason::Exception,
            last_failed_at: Some(Timestamp(0)),
            ..Decoded::default()
        };
        let json = previous_error(&LastDeath::from(&decoded)).unwrap();
        assert!(json.len() <= 2_048, "{} bytes", json.len());
        let parsed: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(parsed["reason"], "exception");
        assert_eq!(parsed["failed_at"], "1970-01-01T00:00:00.000Z");
    }
}
