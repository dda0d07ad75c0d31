use proptest::prelude::*;

use super::*;
use crate::domain::{
    AmqpValue, AttemptsKind, DeathReason, Header, HeaderValue, LastDeath, Offset, Partition,
    Timestamp, conventions as c,
};

fn kafka() -> Position {
    Position::Kafka {
        topic: "orders.dlq".into(),
        topic_id: None,
        partition: Partition(0),
        offset: Offset(0),
    }
}

fn rabbitmq() -> Position {
    Position::RabbitMq {
        vhost: "/".into(),
        queue: "orders.dlq".into(),
        fingerprint: "f".into(),
    }
}

fn message(headers: Vec<Header>) -> Message {
    Message {
        headers,
        ..Message::default()
    }
}

fn sample_workload() -> Vec<Header> {
    vec![
        Header::text(c::EVENT_ID, "e"),
        Header::text(c::ERROR_CLASS, "PaymentGatewayTimeout"),
        Header::text(c::ERROR_MESSAGE, "no answer within 3000 ms"),
        Header::text(c::ORIGINAL_TOPIC, "orders"),
        Header::text(c::ORIGINAL_PARTITION, "2"),
        Header::text(c::ORIGINAL_OFFSET, "4711"),
        Header::text(c::ORIGINAL_TIMESTAMP, "1700000000000"),
        Header::text(c::CONSUMER_GROUP, "payment-consumers"),
        Header::text(c::FAILED_AT, "2026-11-24T02:00:00.5Z"),
        Header::text(c::ATTEMPTS, "3"),
    ]
}

fn rejected_at(queue: &str, time: u64) -> Header {
    died_at(queue, "rejected", time)
}

fn died_at(queue: &str, reason: &str, time: u64) -> Header {
    let text = AmqpValue::long_string;
    let element = AmqpValue::Table(vec![
        ("queue".into(), text(queue)),
        ("reason".into(), text(reason)),
        ("count".into(), AmqpValue::I64(1)),
        ("time".into(), AmqpValue::Timestamp(time)),
        ("exchange".into(), text("events")),
        (
            "routing-keys".into(),
            AmqpValue::Array(vec![text("retried")]),
        ),
    ]);
    Header::amqp("x-death", AmqpValue::Array(vec![element]))
}

#[test]
fn headers_tell_that_it_was_tried_before() {
    let check = |system, headers: &[(&str, &str)], expected| {
        let header = |(name, value): &(&str, &str)| Header::text(name, *value);
        let message = Message {
            headers: headers.iter().map(header).collect(),
            ..Message::default()
        };
        assert_eq!(was_tried_before(system, &message), expected, "{headers:?}");
    };
    check(System::RabbitMq, &[("x-retry-count", "2")], true);
    check(System::RabbitMq, &[("x-retry-count", "0")], false);
    check(System::Kafka, &[("x-error-class", "Timeout")], true);
    check(System::Kafka, &[("eventId", "e")], false);
}

#[test]
fn what_the_sample_workload_writes_is_understood_whole() {
    let found = decode(&kafka(), &message(sample_workload()));
    let failed_at = Timestamp::parse_rfc3339("2026-11-24T02:00:00.500Z");
    assert_eq!(found.origin.destination.as_deref(), Some("orders"));
    assert_eq!(found.origin.partition, Some(Partition(2)));
    assert_eq!(found.origin.offset, Some(Offset(4711)));
    assert_eq!(found.origin.timestamp, Some(Timestamp(1_700_000_000_000)));
    assert_eq!(found.origin.consumer, Some("payment-consumers".into()));
    assert_eq!(
        found.failure.class.as_deref(),
        Some("PaymentGatewayTimeout")
    );
    assert_eq!(
        found.failure.message.as_deref(),
        Some("no answer within 3000 ms")
    );
    assert_eq!(found.reason, DeathReason::Exception);
    assert_eq!(found.attempts, Some((3, AttemptsKind::Deliveries)));
    assert_eq!(
        (found.first_failed_at, found.last_failed_at),
        (failed_at, failed_at)
    );
}

#[test]
fn headers_of_a_second_death_come_first_and_the_first_is_kept() {
    let mut headers = sample_workload();
    headers.extend(vec![
        Header::text(c::ERROR_CLASS, "Duplicate"),
        Header::text(c::ORIGINAL_TOPIC, "payments"),
    ]);
    let found = decode(&kafka(), &message(headers));
    assert_eq!(found.failure.class.as_deref(), Some("Duplicate"));
    assert_eq!(found.origin.destination.as_deref(), Some("payments"));
    assert_eq!(
        found.origin.offset, None,
        "an offset belongs to its own topic"
    );
    assert_eq!(found.hops.len(), 2);
}

#[test]
fn a_rejection_after_counted_retries_joins_both_accounts() {
    let headers = vec![
        rejected_at("orders.queue", 1_800_000_000),
        Header::amqp(c::RETRY_COUNT, AmqpValue::I32(3)),
        Header::amqp(
            c::ORIGINAL_ROUTING_KEY,
            AmqpValue::long_string("order.created"),
        ),
        Header::amqp(c::ERROR_CLASS, AmqpValue::long_string("StockMissing")),
        Header::amqp(c::FAILED_AT, AmqpValue::long_string("2026-11-24T02:00:00Z")),
    ];
    let found = decode(&rabbitmq(), &message(headers));
    assert_eq!(found.reason, DeathReason::Rejected);
    assert_eq!(found.origin.destination.as_deref(), Some("orders.queue"));
    assert_eq!(found.origin.exchange, Some("events".into()));
    assert_eq!(found.origin.routing_keys, ["order.created"]);
    assert_eq!(found.failure.class.as_deref(), Some("StockMissing"));
    assert_eq!(found.attempts, Some((3, AttemptsKind::Retries)));
    assert_eq!(
        found.last_failed_at,
        Some(Timestamp::from_seconds(1_800_000_000))
    );
    let dialects: Vec<_> = found.hops.iter().map(|hop| hop.dialect.as_str()).collect();
    assert_eq!(dialects, [x_death::DIALECT.name, x_error::DIALECT.name]);
}

#[test]
fn a_message_that_its_consumer_parked_died_of_the_error_and_not_of_the_retry() {
    let headers = vec![
        died_at("orders.retry.3", "expired", 1_700_000_000),
        Header::amqp(c::ERROR_CLASS, AmqpValue::long_string("StockMissing")),
    ];
    let found = decode(&rabbitmq(), &message(headers));
    assert_eq!(found.reason, DeathReason::Exception);
    assert_eq!(found.origin.destination, None);
}

#[test]
fn times_tell_which_account_of_a_rabbitmq_message_is_the_latest() {
    let order = |rejected_at_second: u64| {
        let headers = vec![
            rejected_at("orders.queue", rejected_at_second),
            Header::amqp(c::ERROR_CLASS, AmqpValue::long_string("StockMissing")),
            Header::amqp(c::FAILED_AT, AmqpValue::long_string("1970-01-01T00:01:40Z")),
        ];
        let found = decode(&rabbitmq(), &message(headers));
        (found.hops[0].dialect.clone(), found.reason)
    };
    assert_eq!(
        order(99),
        (x_error::DIALECT.name.to_owned(), DeathReason::Exception)
    );
    assert_eq!(
        order(101),
        (x_death::DIALECT.name.to_owned(), DeathReason::Rejected)
    );
}

#[test]
fn a_retry_count_alone_is_no_death() {
    let headers = vec![Header::amqp(c::RETRY_COUNT, AmqpValue::I64(2))];
    let found = decode(&rabbitmq(), &message(headers));
    assert_eq!(found.attempts, Some((2, AttemptsKind::Retries)));
    assert!(found.hops.is_empty());
    assert_eq!(found.reason, DeathReason::Unknown);
}

#[test]
fn the_dialect_that_was_written_last_is_the_latest() {
    let spring = vec![
        Header::text("kafka_dlt-original-topic", "shipments"),
        Header::text("kafka_dlt-exception-fqcn", "com.acme.Late"),
    ];
    let found = decode(
        &kafka(),
        &message([spring.clone(), sample_workload()].concat()),
    );
    assert_eq!(
        found.failure.class.as_deref(),
        Some("PaymentGatewayTimeout")
    );
    let found = decode(&kafka(), &message([sample_workload(), spring].concat()));
    assert_eq!(found.failure.class.as_deref(), Some("com.acme.Late"));
    assert_eq!(found.origin.destination.as_deref(), Some("shipments"));
    assert_eq!(
        found.origin.offset, None,
        "an offset belongs to its own topic"
    );
    assert_eq!(found.hops.len(), 2);
}

#[test]
fn common_words_without_an_error_are_left_to_the_application() {
    let headers = vec![
        Header::text(c::ORIGINAL_TOPIC, "t"),
        Header::text(c::CONSUMER_GROUP, "g"),
    ];
    assert_eq!(decode(&kafka(), &message(headers)), Decoded::default());
}

#[test]
fn stack_traces_of_many_hops_stay_small_in_sum() {
    let stack = "x".repeat(60_000);
    let headers = (0..500).flat_map(|_| {
        [
            Header::text(c::ERROR_CLASS, "E"),
            Header::text(c::ERROR_STACKTRACE, stack.clone()),
        ]
    });
    let found = decode(&kafka(), &message(headers.collect()));
    assert_eq!(found.hops.len(), MOST_HOPS);
    let stored = serde_json::to_vec(&found).unwrap();
    assert!(stored.len() < 600_000, "{} bytes", stored.len());
}

fn any_name() -> impl Strategy<Value = Vec<u8>> {
    let known: Vec<&str> = [
        "x-death",
        "x-first-death-queue",
        "x-first-death-reason",
        "x-last-death-queue",
        "kafka_dlt-original-topic",
        "kafka_dlt-original-partition",
        "kafka_dlt-original-offset",
        "kafka_dlt-original-timestamp",
        "kafka_dlt-exception-stacktrace",
        "kafka_dlt-exception-fqcn",
        c::RETRY_COUNT,
        c::ORIGINAL_ROUTING_KEY,
    ]
    .into_iter()
    .chain(DIALECTS.iter().flat_map(|dialect| {
        let names = dialect.headers.iter().map(|known| known.name);
        names.map(|name| name.trim_end_matches('*'))
    }))
    .collect();
    prop_oneof![
        4 => proptest::sample::select(known).prop_map(|name| name.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..8),
    ]
}

fn any_amqp() -> impl Strategy<Value = AmqpValue> {
    let leaf = prop_oneof![
        any::<i64>().prop_map(AmqpValue::I64),
        any::<u64>().prop_map(AmqpValue::F64),
        any::<u32>().prop_map(AmqpValue::F32),
        any::<u64>().prop_map(AmqpValue::Timestamp),
        "\\PC{0,20}".prop_map(AmqpValue::ShortString),
        "(orders|retry|rejected|expired|[0-9]{1,3}){0,2}".prop_map(AmqpValue::long_string),
        proptest::collection::vec(any::<u8>(), 0..20)
            .prop_map(|bytes| AmqpValue::LongString(bytes.into())),
        Just(AmqpValue::Void),
    ];
    leaf.prop_recursive(3, 40, 6, |inner| {
        let field = "(queue|reason|count|time|exchange|routing-keys|x)";
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(AmqpValue::Array),
            proptest::collection::vec((field, inner), 0..6).prop_map(AmqpValue::Table),
        ]
    })
}

fn any_message() -> impl Strategy<Value = Message> {
    let value = prop_oneof![
        Just(HeaderValue::Null),
        proptest::collection::vec(any::<u8>(), 0..20)
            .prop_map(|bytes| HeaderValue::Bytes(bytes.into())),
        "(Caused by: |\\n\\tat |a\\.B: |\\(|File \"|[a-z.:/$ ]){0,12}"
            .prop_map(|text| HeaderValue::Bytes(text.into())),
        any_amqp().prop_map(HeaderValue::Amqp),
    ];
    let header = (any_name(), value).prop_map(|(name, value)| Header {
        name: name.into(),
        value,
    });
    proptest::collection::vec(header, 0..30).prop_map(message)
}

proptest! {
    #[test]
    fn no_headers_make_a_decoder_panic(message in any_message()) {
        for position in [kafka(), rabbitmq()] {
            let found = decode(&position, &message);
            prop_assert!(found.hops.len() <= MOST_HOPS);
            prop_assert_eq!(&found, &decode(&position, &message));
            let stripped = headers_stripped_on_replay(position.system(), &message);
            prop_assert!(stripped.iter().all(|header| header.index < message.headers.len()));
            if let Some(json) = previous_error(&LastDeath::from(&found)) {
                prop_assert!(json.len() <= 2_048);
            }
        }
    }

    #[test]
    fn no_text_makes_the_stack_trace_reader_panic(
        text in "(Caused by: |\\n|\\tat |\\(|\\)|File \"|\", line |, in |java\\.|com\\.acme\\.|\\$|\\PC){0,40}"
    ) {
        let _ = stack_trace::root_cause(&text);
        let _ = stack_trace::top_application_frame(&text);
    }
}
