use super::*;
use crate::domain::{Decoded, Header, HeaderValue, Offset, Partition, Timestamp, TimestampType};

fn binary(name: &str, value: &[u8]) -> Header {
    Header {
        name: name.as_bytes().to_vec().into(),
        value: HeaderValue::Bytes(value.to_vec().into()),
    }
}

/// What the recoverer appends at one hop.
fn originals(topic: &str, partition: i32, offset: i64) -> Vec<Header> {
    vec![
        Header::text(ORIGINAL_TOPIC, topic),
        binary(ORIGINAL_PARTITION, &partition.to_be_bytes()),
        binary(ORIGINAL_OFFSET, &offset.to_be_bytes()),
        binary(ORIGINAL_TIMESTAMP, &1_700_000_000_123_i64.to_be_bytes()),
        Header::text(ORIGINAL_TIMESTAMP_TYPE, "CreateTime"),
        Header::text(ORIGINAL_CONSUMER_GROUP, "payments"),
    ]
}

fn exception(stack_trace: Option<&str>) -> Vec<Header> {
    let mut headers = vec![
        Header::text(
            EXCEPTION_CLASS,
            "org.springframework.kafka.listener.ListenerExecutionFailedException",
        ),
        Header::text(CAUSE_CLASS, "com.acme.PaymentFailed"),
        Header::text(EXCEPTION_MESSAGE, "Listener failed; gateway timed out"),
    ];
    headers.extend(stack_trace.map(|text| Header::text(EXCEPTION_STACK_TRACE, text)));
    headers
}

fn message(parts: &[Vec<Header>]) -> Message {
    Message {
        headers: parts.concat(),
        ..Message::default()
    }
}

fn decoded(message: &Message) -> Decoded {
    decode("orders-dlt", message)
        .map(|account| account.decoded)
        .unwrap_or_default()
}

#[test]
fn one_hop_gives_everything_it_says() {
    let found = decoded(&message(&[originals("orders", 2, 4711), exception(None)]));
    let expected = Origin {
        destination: Some("orders".into()),
        partition: Some(Partition(2)),
        offset: Some(Offset(4711)),
        timestamp: Some(Timestamp(1_700_000_000_123)),
        timestamp_type: Some(TimestampType::CreateTime),
        consumer: Some("payments".into()),
        ..Origin::default()
    };
    assert_eq!(found.origin, expected);
    assert_eq!(found.reason, DeathReason::Exception);
    assert_eq!(
        found.failure.class.as_deref(),
        Some("com.acme.PaymentFailed")
    );
    assert_eq!(
        found.failure.message.as_deref(),
        Some("Listener failed; gateway timed out")
    );
    assert_eq!(found.hops.len(), 1);
}

#[test]
fn the_root_cause_of_the_stack_trace_wins_over_the_class_headers() {
    let stack = "org.springframework.kafka.listener.ListenerExecutionFailedException: Listener failed\n\
        \tat org.springframework.kafka.X.y(X.java:1)\nCaused by: com.acme.PaymentFailed: no\n\
        \tat com.acme.A.b(A.java:1)\nCaused by: java.net.SocketTimeoutException: Read timed out\n\
        \tat java.base/java.net.Socket.read(Socket.java:1)\n\t... 3 more\n";
    let failure = decoded(&message(&[
        originals("orders", 0, 1),
        exception(Some(stack)),
    ]))
    .failure;
    assert_eq!(
        failure.class.as_deref(),
        Some("java.net.SocketTimeoutException")
    );
    assert_eq!(failure.message.as_deref(), Some("Read timed out"));
    assert_eq!(
        failure.wrapper_class.as_deref(),
        Some("org.springframework.kafka.listener.ListenerExecutionFailedException")
    );
    assert_eq!(failure.stack_trace.as_deref(), Some(stack));
}

#[test]
fn appended_originals_are_hops_with_the_latest_last_on_the_wire() {
    let found = decoded(&message(&[
        originals("orders", 1, 10),
        originals("orders-retry-2", 0, 20),
        originals("orders-dlt", 0, 30),
        exception(None),
    ]));
    let topics: Vec<_> = found
        .hops
        .iter()
        .filter_map(|hop| hop.origin.destination.as_deref())
        .collect();
    assert_eq!(topics, ["orders-dlt", "orders-retry-2", "orders"]);
    // Retry topics and DLTs are stations on the way, not where the record belongs.
    assert_eq!(found.origin.destination.as_deref(), Some("orders"));
    assert_eq!(found.origin.offset, Some(Offset(10)));
    assert_eq!(
        found.failure.class.as_deref(),
        Some("com.acme.PaymentFailed")
    );
}

#[test]
fn two_work_topics_name_the_later_one() {
    let found = decoded(&message(&[
        originals("orders", 1, 10),
        originals("invoices", 0, 20),
    ]));
    assert_eq!(found.origin.destination.as_deref(), Some("invoices"));
}

#[test]
fn a_hop_without_a_group_keeps_its_own_headers_together() {
    let mut first = originals("orders", 1, 10);
    first.truncate(2);
    let found = decoded(&message(&[first, originals("invoices", 0, 20)]));
    assert_eq!(found.hops[1].origin.offset, None);
    assert_eq!(found.hops[1].origin.consumer, None);
    assert_eq!(found.hops[0].origin.offset, Some(Offset(20)));
}

#[test]
fn a_key_that_could_not_be_read_is_a_failure_too() {
    let found = decoded(&message(&[
        originals("orders", 0, 1),
        vec![
            Header::text(
                KEY_EXCEPTION_CLASS,
                "org.apache.kafka.common.errors.SerializationException",
            ),
            Header::text(KEY_EXCEPTION_MESSAGE, "bad key"),
        ],
    ]));
    assert_eq!(
        found.failure.class.as_deref(),
        Some("org.apache.kafka.common.errors.SerializationException")
    );
    assert_eq!(found.failure.message.as_deref(), Some("bad key"));
    assert_eq!(found.failure.wrapper_class, None);
}

#[test]
fn numbers_as_digits_are_read_and_broken_ones_are_none() {
    let with = |partition: &[u8], offset: &[u8]| {
        let headers = vec![
            Header::text(ORIGINAL_TOPIC, "orders"),
            binary(ORIGINAL_PARTITION, partition),
            binary(ORIGINAL_OFFSET, offset),
        ];
        let origin = decoded(&message(&[headers])).origin;
        (origin.partition.map(|p| p.0), origin.offset.map(|o| o.0))
    };
    assert_eq!(with(b"1234", b"12345678"), (Some(1234), Some(12_345_678)));
    assert_eq!(with(&[0, 1], &[0, 0, 1]), (None, None));
    assert_eq!(with(&[0xff; 4], &[0xff; 8]), (None, None));
    assert_eq!(with(b"", &[b'9'; 100]), (None, None));
}

#[test]
fn thousands_of_hops_are_cut_to_the_latest() {
    let many: Vec<_> = (0..3_000)
        .map(|offset| originals("orders", 0, offset))
        .collect();
    let found = decoded(&message(&many));
    assert_eq!(found.hops.len(), crate::dialects::MOST_HOPS);
    assert_eq!(found.origin.offset, Some(Offset(2_999)));
    assert!(decode("orders-dlt", &Message::default()).is_none());
}
