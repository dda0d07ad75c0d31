use super::*;
use crate::domain::{AmqpProperties, DeathReason};

/// The body is as Dramatiq 2.2.1 encoded it.
#[test]
fn the_body_of_dramatiq_names_actor_retries_and_error() {
    let (position, mut message) = dead(System::RabbitMq, "default.XQ", &[]);
    let body = r#"{"queue_name":"default","actor_name":"take","args":[1],"kwargs":{},"options":{"retries":3,"traceback":"Traceback (most recent call last):\n  File \"/app/shop.py\", line 3, in take\n    raise ValueError(\"no stock\")\nValueError: no stock\n"},"message_id":"49499e70-d94d-4b2e-87fe-15425e71e0e3","message_timestamp":1795612112750}"#;
    message.body = Some(body.into());
    let found = decode(&position, &message);
    assert_eq!(found.origin.endpoint.as_deref(), Some("take"));
    assert_eq!(found.failure.class.as_deref(), Some("ValueError"));
    assert_eq!(found.failure.message.as_deref(), Some("no stock"));
    assert_eq!(found.attempts, Some((3, AttemptsKind::Retries)));
    let first_death = r#"{"queue_name":"default","actor_name":"take","options":{}}"#;
    message.body = Some(first_death.into());
    let found = decode(&position, &message);
    assert_eq!(found.origin.endpoint.as_deref(), Some("take"));
    assert!(found.hops.is_empty());
}

#[test]
fn the_envelope_of_easynetq_tells_the_death() {
    let (position, mut message) = dead(System::RabbitMq, "EasyNetQ_Default_Error_Queue", &[]);
    let body = r#"{"RoutingKey":"order.created","Exchange":"events","Queue":"orders",
        "Exception":"System.TimeoutException: no answer\n   at Acme.Orders.Take()","Message":"{\"a\":1}",
        "DateTime":"2026-11-24T02:00:00.5Z","BasicProperties":{"ContentType":"application/json"}}"#;
    message.body = Some(body.into());
    assert_eq!(
        decode(&position, &message),
        Decoded::default(),
        "only its own type is opened"
    );
    message.properties = Some(Box::new(AmqpProperties {
        kind: Some("EasyNetQ.SystemMessages.Error, EasyNetQ".to_owned()),
        ..AmqpProperties::default()
    }));
    let found = decode(&position, &message);
    assert_eq!(found.origin.destination.as_deref(), Some("orders"));
    assert_eq!(
        found.failure.class.as_deref(),
        Some("System.TimeoutException")
    );
    assert_eq!(found.failure.message.as_deref(), Some("no answer"));
    assert_eq!(found.envelope, Some(crate::domain::Envelope::EasyNetQ));
    assert_eq!(found.reason, DeathReason::Exception);
    let (original, _) = unwrapped(&message).unwrap();
    assert_eq!(original.body.as_deref(), Some(br#"{"a":1}"#.as_slice()));
    let properties = original.properties.unwrap();
    assert_eq!(properties.content_type.as_deref(), Some("application/json"));
    assert_eq!(
        properties.kind, None,
        "the type of the envelope stays behind"
    );
}

#[test]
fn sneakers_gives_the_properties_back() {
    let info = r#"{"error":"reject","properties":{"content_type":"text/plain","message_id":"m","delivery_mode":2,
        "headers":{"tenant":"a","tries":3,"x-death":[{"queue":"orders"}]}}}"#;
    let (position, message) = dead(System::RabbitMq, "orders-error", &[("retry_info", info)]);
    let found = decode(&position, &message);
    assert_eq!(found.envelope, Some(crate::domain::Envelope::Sneakers));
    let (original, _) = unwrapped(&message).unwrap();
    assert_eq!(original.header_text("tenant"), Some("a"));
    assert_eq!(
        original.header("tries"),
        Some(&HeaderValue::Amqp(AmqpValue::I64(3)))
    );
    assert_eq!(names_left(System::RabbitMq, &original), ["tenant", "tries"]);
    let properties = original.properties.unwrap();
    assert_eq!(properties.content_type.as_deref(), Some("text/plain"));
    assert_eq!(properties.message_id.as_deref(), Some("m"));
    let plain = dead(System::RabbitMq, "orders.dlq", &[("retry_info", "{")]).1;
    assert_eq!(unwrapped(&plain), None);
}
