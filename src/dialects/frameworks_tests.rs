//! One message a framework, written by hand from its source code, and what must be read from it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::domain::{
    AmqpProperties, AmqpValue, DeathReason, Header, HeaderValue, Offset, Partition, Timestamp,
};

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
    let consumer = found.origin.consumer.as_ref().map(|one| one.as_str());
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
        let meaning = meaning_of_header(system, &message, name.as_bytes());
        assert!(meaning.is_some(), "the page cannot explain {name}");
    }
}

const AT: &str = "2026-11-24T02:00:00.500Z";

#[test]
fn spring_on_kafka_is_understood() {
    check(
        System::Kafka,
        "orders-dlt",
        &[
            ("__TypeId__", "com.acme.Order"),
            ("kafka_original-topic", "orders"),
            ("kafka_original-partition", "b64:AAAAAg=="),
            ("kafka_original-offset", "b64:AAAAAAAAEmc="),
            ("kafka_original-timestamp-type", "CreateTime"),
            ("kafka_dlt-original-consumer-group", "payments"),
            (
                "kafka_exception-fqcn",
                "org.springframework.kafka.listener.ListenerExecutionFailedException",
            ),
            ("kafka_exception-cause-fqcn", "com.acme.PaymentFailed"),
            ("kafka_exception-message", "Listener failed; no"),
            ("retry_topic-attempts", "b64:AAAAAg=="),
            ("retry_topic-attempts", "b64:AAAABA=="),
            ("retry_topic-backoff-timestamp", "b64:AYvP5Wh7"),
            ("retry_topic-original-timestamp", "b64:AYvP5Wh7"),
        ],
        &Expected {
            dialect: "spring-retry-topic",
            from: "orders",
            at: Some((2, 4711)),
            consumer: "payments",
            class: "com.acme.PaymentFailed",
            message: "Listener failed; no",
            // Three tries: the counter is that of the attempt to come.
            attempts: Some((3, AttemptsKind::Deliveries)),
            left: &["__TypeId__"],
            ..Expected::default()
        },
    );
    check(
        System::Kafka,
        "error.orders.payments",
        &[
            ("x-original-topic", "orders"),
            ("x-original-partition", "b64:AAAAAg=="),
            ("x-original-offset", "b64:AAAAAAAAEmc="),
            ("x-exception-fqcn", "com.acme.PaymentFailed"),
            ("x-exception-message", "no"),
            ("eventId", "e"),
        ],
        &Expected {
            dialect: "spring-cloud-stream",
            from: "orders",
            at: Some((2, 4711)),
            consumer: "payments",
            class: "com.acme.PaymentFailed",
            message: "no",
            left: &["eventId"],
            ..Expected::default()
        },
    );
}

#[test]
fn connect_streams_and_share_groups_are_understood() {
    let trace = "org.apache.kafka.connect.errors.DataException: wrapped\n\tat org.apache.X.y(X.java:1)\n\
        Caused by: com.acme.BadJson: unexpected end\n\tat com.acme.P.q(P.java:2)\n";
    check(
        System::Kafka,
        "sink-errors",
        &[
            ("eventId", "e"),
            ("__connect.errors.topic", "orders"),
            ("__connect.errors.partition", "2"),
            ("__connect.errors.offset", "4711"),
            ("__connect.errors.connector.name", "warehouse"),
            ("__connect.errors.task.id", "0"),
            ("__connect.errors.stage", "VALUE_CONVERTER"),
            (
                "__connect.errors.class.name",
                "org.apache.kafka.connect.json.JsonConverter",
            ),
            (
                "__connect.errors.exception.class.name",
                "org.apache.kafka.connect.errors.DataException",
            ),
            ("__connect.errors.exception.message", "wrapped"),
            ("__connect.errors.exception.stacktrace", trace),
        ],
        &Expected {
            dialect: "kafka-connect",
            from: "orders",
            at: Some((2, 4711)),
            consumer: "connect-warehouse",
            endpoint: "warehouse, task 0",
            class: "com.acme.BadJson",
            message: "unexpected end",
            stage: "VALUE_CONVERTER in org.apache.kafka.connect.json.JsonConverter",
            left: &["eventId"],
            ..Expected::default()
        },
    );
    for exception in ["com.acme.Broken", "com.acme.Broken: no stock"] {
        check(
            System::Kafka,
            "streams-dlq",
            &[
                ("__streams.errors.exception", exception),
                ("__streams.errors.message", "no stock"),
                ("__streams.errors.topic", "orders"),
                ("__streams.errors.partition", "2"),
                ("__streams.errors.offset", "4711"),
            ],
            &Expected {
                dialect: "kafka-streams",
                from: "orders",
                at: Some((2, 4711)),
                class: "com.acme.Broken",
                message: "no stock",
                ..Expected::default()
            },
        );
    }
    for (said, reason) in [
        ("Offset rejected by client.", "rejected"),
        (
            "Offset delivery count exceeded the threshold.",
            "delivery_limit",
        ),
    ] {
        check(
            System::Kafka,
            "dlq.orders",
            &[
                ("__dlq.errors.topic", "orders"),
                ("__dlq.errors.partition", "2"),
                ("__dlq.errors.offset", "4711"),
                ("__dlq.errors.group", "payments"),
                ("__dlq.errors.delivery.count", "5"),
                ("__dlq.errors.message", said),
            ],
            &Expected {
                dialect: "share-group",
                from: "orders",
                at: Some((2, 4711)),
                consumer: "payments",
                reason,
                attempts: Some((5, AttemptsKind::Deliveries)),
                ..Expected::default()
            },
        );
    }
}

#[test]
fn the_first_set_of_smallrye_is_the_latest() {
    check(
        System::Kafka,
        "dead-letter-topic-orders",
        &[
            ("dead-letter-exception-class-name", "com.acme.Second"),
            ("dead-letter-cause-class-name", "com.acme.Cause"),
            ("dead-letter-reason", "wrapper"),
            ("dead-letter-cause", "no stock"),
            ("dead-letter-topic", "orders"),
            ("dead-letter-partition", "2"),
            ("dead-letter-offset", "4711"),
            ("eventId", "e"),
            ("dead-letter-exception-class-name", "com.acme.First"),
            ("dead-letter-topic", "invoices"),
        ],
        &Expected {
            dialect: "smallrye",
            from: "orders",
            at: Some((2, 4711)),
            class: "com.acme.Cause",
            message: "no stock",
            left: &["eventId"],
            ..Expected::default()
        },
    );
    check(
        System::Kafka,
        "orders-dlq",
        &[
            ("delayed-retry-count", "2"),
            ("delayed-retry-exception-class-name", "com.acme.Late"),
            ("delayed-retry-reason", "too late"),
            ("delayed-retry-topic", "orders"),
        ],
        &Expected {
            dialect: "smallrye-delayed-retry",
            from: "orders",
            class: "com.acme.Late",
            message: "too late",
            attempts: Some((2, AttemptsKind::Retries)),
            ..Expected::default()
        },
    );
}

#[test]
fn frameworks_of_other_languages_on_kafka_are_understood() {
    for (dialect, separator, prefix) in [
        ("karafka", "_", "source"),
        ("karafka-2", "_", "original"),
        ("karafka-1", "-", "original"),
    ] {
        let name = |rest: &str| format!("{prefix}{separator}{}", rest.replace('_', separator));
        let names = ["topic", "partition", "offset", "consumer_group", "attempts"].map(name);
        let values = ["orders", "2", "4711", "payments", "3"];
        let headers: Vec<_> = names.iter().map(String::as_str).zip(values).collect();
        let expected = Expected {
            dialect,
            from: "orders",
            at: Some((2, 4711)),
            consumer: "payments",
            attempts: Some((3, AttemptsKind::Deliveries)),
            ..Expected::default()
        };
        check(System::Kafka, "dlq", &headers, &expected);
    }
    check(
        System::Kafka,
        "dapr-dlq",
        &[
            ("__topic", "orders"),
            ("__partition", "2"),
            ("__offset", "4711"),
            ("__key", "k"),
        ],
        &Expected {
            dialect: "dapr",
            from: "orders",
            at: Some((2, 4711)),
            ..Expected::default()
        },
    );
    check(
        System::Kafka,
        "dlq",
        &[
            ("x-source-topic", "orders"),
            ("x-source-partition", "2"),
            ("x-source-offset", "4711"),
            ("x-source-consumer-group-id", "payments"),
            ("x-failed-attempts", "3"),
            ("x-failure-reason", "Acme.PaymentFailed in Acme.Payments"),
        ],
        &Expected {
            dialect: "silverback",
            from: "orders",
            at: Some((2, 4711)),
            consumer: "payments",
            class: "Acme.PaymentFailed",
            attempts: Some((3, AttemptsKind::Deliveries)),
            ..Expected::default()
        },
    );
    check(
        System::Kafka,
        "dlq",
        &[
            ("OriginalTopic", "orders"),
            ("RejectionReason", "DeliveryError"),
            ("RejectionMessage", "no stock"),
            ("RejectionTimestamp", "2026-11-24T02:00:00.5000000+00:00"),
            ("HandledCount", "3"),
        ],
        &Expected {
            dialect: "brighter",
            from: "orders",
            message: "no stock",
            reason: "rejected",
            attempts: Some((3, AttemptsKind::Deliveries)),
            failed_at: Some(AT),
            ..Expected::default()
        },
    );
}

#[test]
fn watermill_and_wolverine_are_understood_on_both_brokers() {
    for system in [System::Kafka, System::RabbitMq] {
        check(
            system,
            "poison",
            &[
                ("_watermill_message_uuid", "old"),
                ("reason_poisoned", "no stock"),
                ("topic_poisoned", "orders"),
                ("handler_poisoned", "take"),
                ("subscriber_poisoned", "payments"),
                ("_watermill_message_uuid", "new"),
            ],
            &Expected {
                dialect: "watermill",
                from: "orders",
                consumer: "payments",
                endpoint: "take",
                message: "no stock",
                left: &["_watermill_message_uuid"],
                ..Expected::default()
            },
        );
        check(
            system,
            "wolverine-dead-letter-queue",
            &[
                ("exception-type", "System.TimeoutException"),
                ("exception-message", "no answer"),
                ("failed-at", "1795485600500"),
                ("original-destination", "rabbitmq://queue/orders"),
                ("attempts", "3"),
                ("message-type", "order"),
            ],
            &Expected {
                dialect: "wolverine",
                from: "orders",
                class: "System.TimeoutException",
                message: "no answer",
                attempts: Some((3, AttemptsKind::Deliveries)),
                failed_at: Some(AT),
                left: &["message-type"],
                ..Expected::default()
            },
        );
    }
}

#[test]
fn frameworks_of_dotnet_on_rabbitmq_are_understood() {
    check(
        System::RabbitMq,
        "orders_error",
        &[
            ("MT-Reason", "fault"),
            ("MT-Fault-ExceptionType", "Acme.PaymentFailed"),
            ("MT-Fault-Message", "no"),
            ("MT-Fault-Timestamp", "2026-11-24T02:00:00.5000000Z"),
            (
                "MT-Fault-InputAddress",
                "rabbitmq://host/shop/orders?bind=true",
            ),
            ("MT-Fault-ConsumerType", "Acme.OrderConsumer"),
            ("MT-Fault-RetryCount", "3"),
            ("MT-Host-MachineName", "m"),
            ("MT-Activity-Id", "a"),
        ],
        &Expected {
            dialect: "mass-transit",
            from: "orders",
            endpoint: "Acme.OrderConsumer",
            class: "Acme.PaymentFailed",
            message: "no",
            attempts: Some((3, AttemptsKind::Retries)),
            failed_at: Some(AT),
            left: &["MT-Activity-Id"],
            ..Expected::default()
        },
    );
    check(
        System::RabbitMq,
        "error",
        &[
            ("NServiceBus.FailedQ", "orders"),
            ("NServiceBus.TimeOfFailure", "2026-11-24 02:00:00:500000 Z"),
            ("NServiceBus.ExceptionInfo.ExceptionType", "Acme.Wrapper"),
            (
                "NServiceBus.ExceptionInfo.InnerExceptionType",
                "Acme.PaymentFailed",
            ),
            ("NServiceBus.ExceptionInfo.Message", "no"),
            ("NServiceBus.ExceptionInfo.Data.x", "1"),
            ("NServiceBus.ProcessingEndpoint", "payments"),
            ("NServiceBus.Retries", "2"),
            ("NServiceBus.MessageId", "m"),
        ],
        &Expected {
            dialect: "nservicebus",
            from: "orders",
            consumer: "payments",
            class: "Acme.PaymentFailed",
            message: "no",
            attempts: Some((2, AttemptsKind::Retries)),
            failed_at: Some(AT),
            left: &["NServiceBus.ProcessingEndpoint", "NServiceBus.MessageId"],
            ..Expected::default()
        },
    );
    check(
        System::RabbitMq,
        "error",
        &[
            ("rbs2-source-queue", "orders"),
            (
                "rbs2-error-details",
                "1 unhandled exceptions: System.TimeoutException: no answer\n   at Acme.Orders.Take()",
            ),
            ("rbs2-delivery-count", "5"),
            ("rbs2-msg-id", "m"),
        ],
        &Expected {
            dialect: "rebus",
            from: "orders",
            class: "System.TimeoutException",
            message: "no answer",
            attempts: Some((5, AttemptsKind::Deliveries)),
            left: &["rbs2-msg-id"],
            ..Expected::default()
        },
    );
}

#[test]
fn frameworks_of_other_languages_on_rabbitmq_are_understood() {
    check(
        System::RabbitMq,
        "orders.dlq",
        &[
            ("x-exception-message", "no stock"),
            ("x-original-routingKey", "order.created"),
            ("x-original-exchange", "events"),
            ("retry-count", "2"),
            ("eventId", "e"),
        ],
        &Expected {
            dialect: "spring-amqp",
            message: "no stock",
            attempts: Some((2, AttemptsKind::Retries)),
            left: &["eventId"],
            ..Expected::default()
        },
    );
    let info = r#"[{"error":"exception","num_attempts":3,"failed_at":"2026-11-24T02:00:00.500Z",
        "error_class":"Acme::PaymentFailed","error_message":"no","backtrace":["a.rb:1"]},{"num_attempts":2}]"#;
    check(
        System::RabbitMq,
        "orders-error",
        &[("retry_info", info)],
        &Expected {
            dialect: "sneakers",
            from: "orders",
            class: "Acme::PaymentFailed",
            message: "no",
            attempts: Some((3, AttemptsKind::Deliveries)),
            failed_at: Some(AT),
            ..Expected::default()
        },
    );
    let stamp = |name| format!("X-Message-Stamp-Symfony\\Component\\Messenger\\Stamp\\{name}Stamp");
    let [failed, error, redelivery, bus] = [
        "SentToFailureTransport",
        "ErrorDetails",
        "Redelivery",
        "BusName",
    ]
    .map(stamp);
    check(
        System::RabbitMq,
        "failed",
        &[
            (&failed, r#"[{"originalReceiverName":"async"}]"#),
            (
                &error,
                r#"[{"exceptionClass":"App\\Old"},{"exceptionClass":"App\\NoStock","exceptionMessage":"no"}]"#,
            ),
            (
                &redelivery,
                r#"[{"retryCount":1},{"retryCount":3,"redeliveredAt":"2026-11-24T02:00:00.500Z"}]"#,
            ),
            (&bus, r#"[{"busName":"bus"}]"#),
        ],
        &Expected {
            dialect: "symfony",
            endpoint: "async",
            class: "App\\NoStock",
            message: "no",
            attempts: Some((3, AttemptsKind::Retries)),
            failed_at: Some(AT),
            left: &[&bus],
            ..Expected::default()
        },
    );
}

#[test]
fn rascal_goes_on_without_its_recovery() {
    let text = AmqpValue::long_string;
    let table = |fields: &[(&str, AmqpValue)]| {
        let own = |(name, value): &(&str, AmqpValue)| ((*name).to_owned(), value.clone());
        AmqpValue::Table(fields.iter().map(own).collect())
    };
    let kept = [
        ("originalQueue", text("orders")),
        ("restoreRoutingHeaders", AmqpValue::Boolean(true)),
    ];
    let recovery = table(&[(
        "orders",
        table(&[
            ("republished", AmqpValue::I32(4)),
            ("immediateNack", AmqpValue::Boolean(true)),
        ]),
    )]);
    let mut all = kept.to_vec();
    all.push(("recovery", recovery));
    all.push((
        "error",
        table(&[("message", text("no stock")), ("code", text("E_STOCK"))]),
    ));
    let (position, mut message) = dead(System::RabbitMq, "orders.dlq", &[]);
    message.headers = vec![Header::amqp("rascal", table(&all))];
    let found = decode(&position, &message);
    assert_eq!(found.origin.destination.as_deref(), Some("orders"));
    assert_eq!(found.failure.class.as_deref(), Some("E_STOCK"));
    assert_eq!(found.failure.message.as_deref(), Some("no stock"));
    assert_eq!(found.attempts, Some((4, AttemptsKind::Retries)));
    let stripped = headers_stripped_on_replay(System::RabbitMq, &message);
    assert_eq!(stripped[0].instead, Some(HeaderValue::Amqp(table(&kept))));
}

#[test]
fn a_celery_task_may_be_retried_and_does_not_expire() {
    let (position, mut message) = dead(
        System::RabbitMq,
        "celery.dlq",
        &[("task", "shop.take"), ("id", "i"), ("root_id", "i")],
    );
    message
        .headers
        .push(Header::amqp("retries", AmqpValue::I32(3)));
    message.headers.push(Header::amqp(
        "expires",
        AmqpValue::long_string("2026-01-01T00:00:00Z"),
    ));
    let found = decode(&position, &message);
    assert_eq!(found.attempts, Some((3, AttemptsKind::Retries)));
    assert_eq!(found.origin.endpoint.as_deref(), Some("shop.take"));
    let stripped = headers_stripped_on_replay(System::RabbitMq, &message);
    let instead: Vec<_> = stripped.into_iter().filter_map(|one| one.instead).collect();
    let expected = [AmqpValue::I32(0), AmqpValue::Void].map(HeaderValue::Amqp);
    assert_eq!(instead, expected);
}

#[test]
fn a_record_without_key_and_value_points_to_its_original() {
    let headers = [
        ("__dlq.errors.topic", "orders"),
        ("__dlq.errors.offset", "7"),
    ];
    let (position, mut message) = dead(System::Kafka, "dlq.orders", &headers);
    assert!(
        !decode(&position, &message).payload_absent,
        "the record was copied"
    );
    message.body = None;
    assert!(decode(&position, &message).payload_absent);
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
