use super::*;

#[test]
fn spring_kafka_as_recorded() {
    let exception = DeathReason::Exception;
    check_recorded(
        "spring-kafka",
        &Told {
            dialects: &["spring-kafka"],
            from: "fx-spring",
            at: Some((0, 0)),
            consumer: "fx-payments",
            class: "java.lang.IllegalStateException",
            message: "gateway closed",
            reason: exception,
            ..Told::default()
        },
    );
    check_recorded(
        "spring-kafka-deserializer",
        &Told {
            dialects: &["spring-kafka"],
            from: "fx-spring-number",
            at: Some((0, 0)),
            consumer: "fx-stock",
            class: "org.apache.kafka.common.errors.SerializationException",
            message: "Size of data received by IntegerDeserializer is not 4",
            reason: exception,
            ..Told::default()
        },
    );
    check_recorded(
        "spring-kafka-retry-topic",
        &Told {
            dialects: &["spring-retry-topic"],
            from: "fx-spring-retried",
            at: Some((0, 0)),
            consumer: "fx-shipping",
            class: "java.lang.IllegalStateException",
            message: "gateway closed",
            reason: exception,
            attempts: Some((3, AttemptsKind::Deliveries)),
            ..Told::default()
        },
    );
}

#[test]
fn of_two_deaths_spring_kafka_tells_the_exception_of_the_latter() {
    check_recorded(
        "spring-kafka-twice",
        &Told {
            dialects: &["spring-kafka", "spring-kafka"],
            from: "fx-spring",
            at: Some((0, 0)),
            consumer: "fx-payments",
            class: "java.lang.IllegalArgumentException",
            message: "still no payment for {\"orderId\":\"ord-4711\"}",
            reason: DeathReason::Exception,
            ..Told::default()
        },
    );
    let (_, position, fixture) = recorded("spring-kafka-twice");
    let hops = decode(&position, &fixture.dead).hops;
    let told = hops.iter().map(|hop| {
        let class = hop.failure.class.as_deref();
        (
            hop.origin.destination.as_deref().unwrap_or_default(),
            class.unwrap_or_default(),
        )
    });
    assert_eq!(
        told.collect::<Vec<_>>(),
        [
            ("fx-spring-dlt", "java.lang.IllegalArgumentException"),
            ("fx-spring", "")
        ]
    );
}

#[test]
fn smallrye_as_recorded() {
    let thrown = Told {
        dialects: &["smallrye"],
        from: "fx-smallrye",
        at: Some((0, 0)),
        endpoint: "Orders#pay",
        class: "io.smallrye.reactive.messaging.providers.ProcessingException",
        message: "SRMSG00103: Exception thrown when calling the method Orders#pay",
        reason: DeathReason::Exception,
        ..Told::default()
    };
    check_recorded("smallrye", &thrown);
    check_recorded(
        "smallrye-async",
        &Told {
            from: "fx-smallrye-async",
            endpoint: "",
            class: "java.lang.IllegalStateException",
            message: "gateway closed",
            ..thrown
        },
    );
    let retried = "smallrye-delayed-retry";
    check_recorded(
        retried,
        &Told {
            dialects: &[retried, retried, retried],
            from: "fx-smallrye-retried",
            endpoint: "Orders#ship",
            message: "SRMSG00103: Exception thrown when calling the method Orders#ship",
            attempts: Some((2, AttemptsKind::Retries)),
            ..thrown
        },
    );
}

#[test]
fn kafka_connect_and_streams_as_recorded() {
    let connect = Told {
        dialects: &["kafka-connect"],
        from: "fx-connect",
        at: Some((0, 0)),
        consumer: "connect-fx-warehouse",
        endpoint: "fx-warehouse, task 0",
        class: "com.fasterxml.jackson.core.io.JsonEOFException",
        message: "Unexpected end-of-input within/between Object entries\n at [Source: REDACTED \
             (`StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION` disabled); line: 1, column: 12]",
        stage: "VALUE_CONVERTER in org.apache.kafka.connect.json.JsonConverter",
        reason: DeathReason::Exception,
        ..Told::default()
    };
    check_recorded("kafka-connect", &connect);
    check_recorded(
        "kafka-connect-transformation",
        &Told {
            at: Some((0, 1)),
            class: "java.lang.NumberFormatException",
            message: "For input string: \"heavy\"",
            stage: "TRANSFORMATION in org.apache.kafka.connect.transforms.Cast$Value",
            ..connect
        },
    );
    let streams = Told {
        dialects: &["kafka-streams"],
        from: "fx-streams",
        at: Some((0, 0)),
        class: "java.lang.IllegalStateException",
        message: "warehouse closed",
        reason: DeathReason::Exception,
        ..Told::default()
    };
    check_recorded("kafka-streams", &streams);
    check_recorded(
        "kafka-streams-unreadable",
        &Told {
            from: "fx-streams-unreadable",
            class: "org.apache.kafka.common.errors.SerializationException",
            message: "Size of data received by IntegerDeserializer is not 4",
            ..streams
        },
    );
}

#[test]
fn share_groups_as_recorded() {
    let copied = Told {
        dialects: &["share-group"],
        from: "fx-share-copied",
        at: Some((0, 0)),
        consumer: "fx-share-copied",
        reason: DeathReason::Rejected,
        attempts: Some((1, AttemptsKind::Deliveries)),
        // The broker copies no headers.
        differ: &["tenant"],
        ..Told::default()
    };
    check_recorded("share-group-copied", &copied);
    check_recorded(
        "share-group-pointer",
        &Told {
            from: "fx-share-pointer",
            consumer: "fx-share-pointer",
            reason: DeathReason::DeliveryLimit,
            attempts: Some((5, AttemptsKind::Deliveries)),
            ..copied
        },
    );
    for (name, absent) in [("share-group-copied", false), ("share-group-pointer", true)] {
        let (_, position, fixture) = recorded(name);
        assert_eq!(
            decode(&position, &fixture.dead).payload_absent,
            absent,
            "{name}"
        );
    }
}
