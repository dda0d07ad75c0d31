use super::*;

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
            ("NServiceBus.ExceptionInfo.Message", "cannot take the order"),
            (
                "NServiceBus.ExceptionInfo.StackTrace",
                "Acme.Wrapper: cannot take the order\n ---> Acme.PaymentFailed: no\n   at Acme.Orders.Take()",
            ),
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
