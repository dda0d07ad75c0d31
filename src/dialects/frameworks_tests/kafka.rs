use super::*;

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
                ("subscriber_poisoned", "kafka.Subscriber"),
                ("_watermill_message_uuid", "new"),
            ],
            &Expected {
                dialect: "watermill",
                from: "orders",
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
