//! What a store of the tests holds: dead letters of several kinds, edits, replays in every state.

use bytes::Bytes;
use redrive::domain::*;
use redrive::store::{
    Gap, GapKind, KafkaCursor, NewAuditEntry, NewReplay, NewReplayJob, NewRevision, Store,
};
use serde_json::json;
use uuid::Uuid;

use super::snapshots::ago;

/// What a new dead letter of a test is made of.
pub(crate) struct Letter<'a> {
    pub(crate) offset: i64,
    pub(crate) event_type: &'a str,
    pub(crate) class: &'a str,
    pub(crate) message: &'a str,
    pub(crate) body: &'a [u8],
    pub(crate) age: u64,
}

pub(crate) fn kafka_letter(letter: &Letter<'_>) -> NewDeadLetter {
    let position = Position::Kafka {
        topic: "orders.dlq".into(),
        topic_id: Some(Uuid::nil()),
        partition: Partition(0),
        offset: Offset(letter.offset),
    };
    new_letter("kafka", position, letter)
}

pub(crate) fn queue_letter(letter: &Letter<'_>) -> NewDeadLetter {
    let position = Position::RabbitMq {
        vhost: "/".into(),
        queue: "orders.dlq".into(),
        fingerprint: format!("{:064x}", letter.offset),
    };
    let mut new = new_letter("rabbitmq", position, letter);
    new.custody = Custody::Store;
    new.message.properties = Some(Box::new(AmqpProperties {
        exchange: "events.dlx".to_owned(),
        routing_key: "orders.dead".to_owned(),
        content_type: Some("application/json".to_owned()),
        delivery_mode: Some(2),
        message_id: Some(Uuid::from_u128(letter.offset.unsigned_abs().into()).to_string()),
        ..AmqpProperties::default()
    }));
    let death = AmqpValue::Table(vec![
        ("queue".to_owned(), AmqpValue::long_string("orders.queue")),
        ("reason".to_owned(), AmqpValue::long_string("rejected")),
        ("count".to_owned(), AmqpValue::I64(1)),
        ("exchange".to_owned(), AmqpValue::long_string("events")),
        (
            "routing-keys".to_owned(),
            AmqpValue::Array(vec![AmqpValue::long_string("order.created")]),
        ),
        ("time".to_owned(), AmqpValue::Timestamp(1_795_484_400)),
    ]);
    new.message.headers = vec![
        Header::amqp("x-death", AmqpValue::Array(vec![death])),
        Header::amqp("x-retry-count", AmqpValue::I32(3)),
        Header::amqp(
            "correlationId",
            AmqpValue::long_string("9f0c2a41-55aa-4c1e-8f00-1234567890ab"),
        ),
    ];
    new.decoded.reason = DeathReason::Rejected;
    new.decoded.origin.destination = Some("orders.queue".to_owned());
    new
}

fn new_letter(cluster: &str, position: Position, letter: &Letter<'_>) -> NewDeadLetter {
    let failure = Failure {
        class: Some(letter.class.to_owned()),
        wrapper_class: Some("ListenerExecutionFailedException".to_owned()),
        message: Some(letter.message.to_owned()),
        stack_trace: Some(format!(
            "{}: {}\n\tat com.acme.payments.Gateway.charge(Gateway.java:87)\n\tat com.acme.payments.PaymentConsumer.onOrder(PaymentConsumer.java:41)\n\tat org.springframework.kafka.listener.KafkaMessageListenerContainer.run(KafkaMessageListenerContainer.java:1312)\n\tat java.base/java.lang.Thread.run(Thread.java:1583)\nCaused by: java.net.SocketTimeoutException: Read timed out\n\t... 12 more",
            letter.class, letter.message
        )),
        ..Failure::default()
    };
    let origin = Origin {
        destination: Some("orders".to_owned()),
        partition: Some(Partition(1)),
        offset: Some(Offset(4_711 + letter.offset)),
        consumer: Some("payment-consumers".into()),
        ..Origin::default()
    };
    let hop = Hop {
        dialect: "x-error".to_owned(),
        origin: origin.clone(),
        failure: failure.clone(),
        reason: DeathReason::Exception,
        attempts: Some((3, AttemptsKind::Deliveries)),
        last_failed_at: Some(ago(letter.age)),
        ..Hop::default()
    };
    NewDeadLetter {
        cluster: cluster.into(),
        position,
        message: Message {
            key: Some(Bytes::from_static(b"order-1042")),
            body: Some(Bytes::copy_from_slice(letter.body)),
            headers: vec![
                Header::text("eventId", "0197f3a2-1111-7abc-8def-0123456789ab"),
                Header::text("eventType", letter.event_type),
                Header::text("correlationId", "9f0c2a41-55aa-4c1e-8f00-1234567890ab"),
                Header::text("x-error-class", letter.class),
                Header::text("x-error-message", letter.message),
                Header::text("x-original-topic", "orders"),
                Header {
                    name: Bytes::from_static(b"trace"),
                    value: HeaderValue::Null,
                },
            ],
            properties: None,
        },
        body_omitted: None,
        dead_at: ago(letter.age),
        decoded: Decoded {
            origin,
            failure,
            reason: DeathReason::Exception,
            attempts: Some((3, AttemptsKind::Deliveries)),
            last_failed_at: Some(ago(letter.age)),
            hops: vec![hop],
            ..Decoded::default()
        },
        event: EventIdentity {
            event_id: Some(format!("0197f3a2-1111-7abc-8def-{:012x}", letter.offset)),
            event_type: Some(letter.event_type.to_owned()),
            correlation_id: Some("9f0c2a41-55aa-4c1e-8f00-1234567890ab".to_owned()),
            causation_id: None,
            aggregate_id: Some("order-1042".to_owned()),
        },
        classification: Classification {
            group: format!(
                "v1:{:016x}",
                letter.class.len() * 31 + usize::from(letter.class.as_bytes()[0])
            )
            .into(),
            title: format!("{}: {}", letter.class, letter.message),
            explanation: "grouped by exception class and message".to_owned(),
        },
        custody: Custody::Broker,
        replay_id: None,
        redelivered: false,
    }
}

const ORDER: &[u8] = br#"{"eventId":"0197f3a2-1111-7abc-8def-0123456789ab","eventType":"OrderCreated","timestamp":"2026-11-24T02:14:07.112Z","aggregateId":"order-1042","version":1,"correlationId":"9f0c2a41-55aa-4c1e-8f00-1234567890ab","causationId":null,"data":{"customerId":"cust-17","items":[{"sku":"A-100","quantity":2,"price":19.90},{"sku":"B-7","quantity":1,"price":5.00}],"totalAmount":44.80},"metadata":{"source":"shop","schema":3}}"#;

/// Failures of several kinds, an edit, replays in every state, an audit, a gap.
pub(crate) async fn fill(store: &Store) {
    let now = Timestamp::now();
    super::traced::fill(store, now).await;
    let mut batch = Vec::new();
    for offset in 0..40 {
        let letter = match offset % 5 {
            0 | 1 => Letter {
                offset,
                event_type: "OrderCreated",
                class: "PaymentGatewayTimeout",
                message: "gateway did not answer within 2000 ms",
                body: ORDER,
                age: 60 + 600 * offset.unsigned_abs(),
            },
            2 => Letter {
                offset,
                event_type: "OrderCreated",
                class: "MissingField",
                message: "data.customerId is required",
                body: br#"{"eventType":"OrderCreated","data":{"items":[],"totalAmount":44.80}}"#,
                age: 3_000 + 60 * offset.unsigned_abs(),
            },
            3 => Letter {
                offset,
                event_type: "PaymentAuthorised",
                class: "MalformedJson",
                message: "expected `,` or `}` at line 1 column 31",
                body: br#"{"eventType":"PaymentAuthorised"  "data":{}}"#,
                age: 90_000,
            },
            _ => Letter {
                offset,
                event_type: "OrderCreated",
                class: "DuplicateEvent",
                message: "event was handled before",
                body: b"\x00\x01\xfe\xffbinary",
                age: 1_000,
            },
        };
        batch.push(kafka_letter(&letter));
    }
    let cursor = KafkaCursor {
        topic: "orders.dlq".into(),
        topic_id: Some(Uuid::nil()),
        partition: Partition(0),
        next_offset: Offset(40),
    };
    let gap = Gap {
        topic: "orders.dlq".into(),
        partition: Partition(2),
        from: Offset(10),
        to: Offset(25),
        kind: GapKind::Retention,
    };
    store
        .index_kafka_batch(&"kafka".into(), &batch, &[cursor], &[gap], now)
        .await
        .unwrap();
    let rabbit: Vec<_> = (1..=6)
        .map(|n| {
            queue_letter(&Letter {
                offset: n,
                event_type: "OrderCreated",
                class: "rejected",
                message: "orders.queue",
                body: ORDER,
                age: 30 * n.unsigned_abs(),
            })
        })
        .collect();
    let session = store.begin_custody().await.unwrap();
    store.take_custody(&session, &rabbit, now).await.unwrap();
    edit(store, DeadLetterId(3), now).await;
    replay_in_every_state(store).await;
}

async fn edit(store: &Store, id: DeadLetterId, at: Timestamp) {
    let mut message = store.message(id, RevisionNumber(0)).await.unwrap();
    message.body = Some(Bytes::from_static(
        br#"{"eventType":"OrderCreated","data":{"customerId":"cust-17","items":[],"totalAmount":44.80}}"#,
    ));
    let revision = NewRevision {
        dead_letter: id,
        builds_on: RevisionNumber(0),
        message,
        author: "anonymous".to_owned(),
        note: Some("add the customer".to_owned()),
        at,
    };
    let entry = audit_entry(
        "revision.create",
        json!({ "dead_letter": id, "builds_on": 0 }),
    );
    store.add_revision(&revision, &entry).await.unwrap();
}

fn audit_entry(action: &str, detail: serde_json::Value) -> NewAuditEntry {
    NewAuditEntry {
        at: Timestamp::now(),
        actor: "anonymous".to_owned(),
        address: "127.0.0.1".to_owned(),
        action: action.to_owned(),
        detail,
    }
}

/// A job with one replay in each state that a page shows.
async fn replay_in_every_state(store: &Store) {
    let destination = Destination::Kafka {
        cluster: "kafka".into(),
        topic: "orders".into(),
        partition: Some(Partition(1)),
    };
    let replays: Vec<_> = (1..=9)
        .map(|letter| NewReplay {
            id: ReplayId(Uuid::now_v7()),
            dead_letter: DeadLetterId(letter),
            revision: RevisionNumber(u32::from(letter == 3)),
            destination: destination.clone(),
        })
        .collect();
    let job = NewReplayJob {
        id: ReplayJobId(Uuid::now_v7()),
        created_at: ago(90),
        created_by: "anonymous".to_owned(),
        selection: "source:orders error:Timeout".to_owned(),
        options: ReplayOptions::default(),
        replays,
    };
    let entry = audit_entry(
        "replay.create",
        json!({ "job": job.id, "dead_letters": [1, 2, 3] }),
    );
    let planned = store.create_job(&job, &entry).await.unwrap().planned;
    let landing = Landing {
        partition: Partition(1),
        offset: Offset(12_001),
    };
    let sending = ReplayEvent::Sending {
        at: ago(80),
        high_watermark: Some(landing),
        topic_id: None,
    };
    let sent = ReplayEvent::Confirmed {
        at: ago(79),
        landing: Some(landing),
    };
    let passed = ReplayEvent::PassedBy(PassedBy {
        group: "payment-consumers".into(),
        at: ago(60),
    });
    let paths: [&[ReplayEvent]; 9] = [
        &[
            sending.clone(),
            sent.clone(),
            passed.clone(),
            ReplayEvent::Settled { at: ago(30) },
        ],
        &[
            sending.clone(),
            sent.clone(),
            passed.clone(),
            ReplayEvent::Settled { at: ago(28) },
        ],
        &[sending.clone(), sent.clone(), passed],
        &[sending.clone(), sent.clone()],
        &[
            sending.clone(),
            sent.clone(),
            ReplayEvent::SeenInDlq {
                at: ago(40),
                dead_letter: DeadLetterId(12),
            },
        ],
        &[sending.clone(), sent, ReplayEvent::Silence { at: ago(10) }],
        &[
            sending.clone(),
            ReplayEvent::Refused {
                at: ago(70),
                reason: "the topic orders has no leader for partition 1".to_owned(),
            },
        ],
        &[
            sending,
            ReplayEvent::Unprovable {
                at: ago(50),
                reason: "the process ended while it was being sent".to_owned(),
            },
        ],
        &[],
    ];
    for (id, path) in planned.into_iter().zip(paths) {
        for event in path {
            store
                .advance_replay(id, event.clone(), ago(20))
                .await
                .unwrap();
        }
    }
}
