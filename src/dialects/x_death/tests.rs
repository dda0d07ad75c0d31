use super::*;
use crate::domain::{Header, Timestamp};

fn text(value: &str) -> AmqpValue {
    AmqpValue::long_string(value)
}

/// An element as 3.10 writes it.
fn death(queue: &str, reason: &str, count: i64, time: u64) -> AmqpValue {
    AmqpValue::Table(vec![
        ("count".into(), AmqpValue::I64(count)),
        ("reason".into(), text(reason)),
        ("queue".into(), text(queue)),
        ("time".into(), AmqpValue::Timestamp(time)),
        ("exchange".into(), text("events")),
        (
            "routing-keys".into(),
            AmqpValue::Array(vec![text("order.created")]),
        ),
    ])
}

fn message(elements: Vec<AmqpValue>, flat: &[(&str, &str)]) -> Message {
    let mut headers = vec![Header::amqp(NAME, AmqpValue::Array(elements))];
    headers.extend(
        flat.iter()
            .map(|(name, value)| Header::amqp(name, text(value))),
    );
    Message {
        headers,
        ..Message::default()
    }
}

fn decoded(message: &Message) -> Decoded {
    decode("orders.dlq", message)
        .map(|account| account.decoded)
        .unwrap_or_default()
}

#[test]
fn the_origin_is_the_queue_that_a_consumer_read() {
    let first = |queue| {
        [
            ("x-first-death-queue", queue),
            ("x-first-death-reason", "expired"),
        ]
    };
    let cases = [
        // what happened, elements, x-first-death-queue, origin, reason
        (
            "rejected",
            vec![death("orders.queue", "rejected", 1, 9)],
            "orders.queue",
            Some("orders.queue"),
            "rejected",
        ),
        (
            "a chain of retry queues by TTL, rejected at last",
            vec![
                death("orders.queue", "rejected", 1, 9),
                death("orders.retry.1", "expired", 1, 1),
                death("orders.retry.3", "expired", 1, 5),
            ],
            "orders.retry.1",
            Some("orders.queue"),
            "rejected",
        ),
        (
            "a loop by rejection, parked by hand after the last expiry",
            vec![
                death("orders.retry", "expired", 3, 2),
                death("orders.queue", "rejected", 3, 1),
            ],
            "orders.queue",
            Some("orders.queue"),
            "rejected",
        ),
        (
            "expired in the DLQ before, delivery limit at its source",
            vec![
                death("orders.dlq", "expired", 1, 9),
                death("orders.queue", "delivery_limit", 1, 1),
            ],
            "orders.queue",
            Some("orders.queue"),
            "delivery_limit",
        ),
        (
            "rejected by a reader of the DLQ and routed back to it",
            vec![
                death("orders.dlq", "rejected", 1, 9),
                death("orders.queue", "rejected", 1, 1),
            ],
            "orders.queue",
            Some("orders.queue"),
            "rejected",
        ),
        (
            "expired while nobody read",
            vec![death("orders.queue", "expired", 1, 9)],
            "orders.queue",
            Some("orders.queue"),
            "expired",
        ),
        (
            "pushed out",
            vec![death("orders.queue", "maxlen", 1, 9)],
            "orders.queue",
            Some("orders.queue"),
            "maxlen",
        ),
        (
            "retry queues alone name no origin",
            vec![
                death("orders.retry.2", "expired", 1, 9),
                death("orders.retry.1", "expired", 1, 1),
            ],
            "orders.retry.1",
            None,
            "expired",
        ),
        (
            "a first death that has no element",
            vec![death("orders-delay", "expired", 1, 9)],
            "orders.queue",
            Some("orders.queue"),
            "expired",
        ),
        (
            "an unknown reason",
            vec![death("orders.queue", "eaten", 1, 9)],
            "orders.queue",
            Some("orders.queue"),
            "unknown",
        ),
    ];
    for (what, elements, first_queue, destination, reason) in cases {
        let found = decoded(&message(elements, &first(first_queue)));
        assert_eq!(found.origin.destination.as_deref(), destination, "{what}");
        assert_eq!(found.reason.as_str(), reason, "{what}");
    }
}

/// Recorded on 3.10.8: a consumer republished a message, with the headers it had, to two retry queues
/// in turn and then rejected it. The expiries are not in the order of their times.
#[test]
fn the_history_that_a_real_broker_wrote_is_understood() {
    let retried = |queue: &str, time| {
        AmqpValue::Table(vec![
            ("count".into(), AmqpValue::I64(1)),
            ("exchange".into(), text("")),
            ("queue".into(), text(queue)),
            ("reason".into(), text("expired")),
            ("routing-keys".into(), AmqpValue::Array(vec![text(queue)])),
            ("time".into(), AmqpValue::Timestamp(time)),
        ])
    };
    let recorded = message(
        vec![
            death("orders.queue", "rejected", 1, 1_795_488_508),
            retried("orders.retry.1", 1_795_488_507),
            retried("orders.retry.2", 1_795_488_508),
        ],
        &[
            ("x-first-death-exchange", ""),
            ("x-first-death-queue", "orders.retry.1"),
            ("x-first-death-reason", "expired"),
            ("x-original-routing-key", "order.created"),
        ],
    );
    let found = decoded(&recorded);
    assert_eq!(found.origin.destination.as_deref(), Some("orders.queue"));
    assert_eq!(found.origin.exchange, Some("events".into()));
    assert_eq!(found.origin.routing_keys, ["order.created"]);
    assert_eq!(found.reason, DeathReason::Rejected);
    assert_eq!(
        found.first_failed_at,
        Some(Timestamp::from_seconds(1_795_488_507))
    );
    let queues = found
        .hops
        .iter()
        .filter_map(|hop| hop.origin.destination.as_deref());
    assert_eq!(
        queues.collect::<Vec<_>>(),
        ["orders.queue", "orders.retry.2", "orders.retry.1"]
    );
}

#[test]
fn one_element_gives_everything_it_says() {
    let found = decoded(&message(
        vec![death("orders.queue", "rejected", 1, 1_700_000_000)],
        &[],
    ));
    let time = Some(Timestamp::from_seconds(1_700_000_000));
    assert_eq!(found.origin.exchange, Some("events".into()));
    assert_eq!(found.origin.routing_keys, ["order.created"]);
    assert_eq!(found.attempts, Some((1, AttemptsKind::Deaths)));
    assert_eq!((found.first_failed_at, found.last_failed_at), (time, time));
}

#[test]
fn the_time_of_a_repeated_death_is_that_of_the_first() {
    let found = decoded(&message(vec![death("orders.queue", "rejected", 3, 7)], &[]));
    assert_eq!(found.attempts, Some((3, AttemptsKind::Deaths)));
    assert_eq!(found.first_failed_at, Some(Timestamp(7_000)));
    assert_eq!(found.last_failed_at, None);
}

#[test]
fn the_head_stays_first_and_the_rest_is_sorted_by_time() {
    let elements = vec![
        death("head", "rejected", 2, 1),
        death("early", "expired", 1, 3),
        death("late", "expired", 1, 8),
    ];
    let hops = decoded(&message(elements, &[])).hops;
    let queues: Vec<_> = hops
        .iter()
        .filter_map(|hop| hop.origin.destination.as_deref())
        .collect();
    assert_eq!(queues, ["head", "late", "early"]);
}

#[test]
fn types_that_a_client_changed_are_still_read() {
    let element = AmqpValue::Table(vec![
        (
            "routing-keys".into(),
            AmqpValue::Array(vec![AmqpValue::ShortString("k".into()), AmqpValue::Void]),
        ),
        ("time".into(), AmqpValue::I64(5)),
        (
            "queue".into(),
            AmqpValue::ShortString("orders.queue".into()),
        ),
        ("count".into(), AmqpValue::F64(2.0_f64.to_bits())),
        (
            "reason".into(),
            AmqpValue::ByteArray(bytes::Bytes::from_static(b"rejected")),
        ),
        ("exchange".into(), text("")),
    ]);
    let found = decoded(&message(vec![element], &[]));
    assert_eq!(found.origin.exchange, Some(ExchangeName::default()));
    assert_eq!(found.origin.routing_keys, ["k"]);
    assert_eq!(found.attempts, Some((2, AttemptsKind::Deaths)));
    assert_eq!(found.first_failed_at, Some(Timestamp(5_000)));
    assert_eq!(found.reason, DeathReason::Unknown);
}

#[test]
fn flat_headers_stand_in_for_a_lost_x_death() {
    let mut lost = message(
        Vec::new(),
        &[
            ("x-first-death-queue", "first.queue"),
            ("x-last-death-queue", "orders.queue"),
            ("x-last-death-reason", "rejected"),
            ("x-last-death-exchange", "events"),
        ],
    );
    let found = decoded(&lost);
    assert_eq!(found.origin.destination.as_deref(), Some("orders.queue"));
    assert_eq!(found.origin.exchange, Some("events".into()));
    assert_eq!(found.reason, DeathReason::Rejected);
    lost.headers.truncate(2);
    let found = decoded(&lost);
    assert_eq!(found.origin.destination.as_deref(), Some("first.queue"));
}

#[test]
fn nonsense_gives_nothing_and_costs_little() {
    let long = "q".repeat(300);
    let nonsense = [
        Message::default(),
        message(Vec::new(), &[]),
        message(
            vec![
                AmqpValue::Void,
                text("rejected"),
                AmqpValue::Table(Vec::new()),
            ],
            &[],
        ),
        message(
            vec![AmqpValue::Table(vec![("queue".into(), text(&long))])],
            &[],
        ),
        Message {
            headers: vec![
                Header::text(NAME, "rejected"),
                Header::amqp(NAME, text("rejected")),
            ],
            ..Message::default()
        },
    ];
    for message in nonsense {
        assert!(decode("orders.dlq", &message).is_none(), "{message:?}");
    }
    let many = vec![death("orders.queue", "rejected", -1, u64::MAX); 10_000];
    let found = decoded(&message(many, &[]));
    assert_eq!(found.hops.len(), MOST_HOPS);
    assert_eq!((found.attempts, found.first_failed_at), (None, None));
}
