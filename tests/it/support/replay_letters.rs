//! Dead letters that a test makes by itself.

use bytes::Bytes;
use redrive::dialects;
use redrive::domain::conventions as names;
use redrive::domain::{
    AmqpProperties, AmqpValue, Classification, ClusterName, Custody, DeadLetterId, EventIdentity,
    Header, Message, NewDeadLetter, Offset, Partition, Position, QueueName, Timestamp, TopicName,
    VhostName,
};
use redrive::store::{NewAuditEntry, Store};

use super::kafka;

/// One dead letter for each key, which failed one after the other.
pub(crate) fn kafka_letters(
    topic: &TopicName,
    partition: i32,
    keys: &[Option<&str>],
) -> Vec<NewDeadLetter> {
    let numbered = (0..).zip(keys);
    numbered
        .map(|(number, key)| kafka_letter(&kafka().name, (topic, partition), number, *key))
        .collect()
}

pub(crate) fn audit_entry() -> NewAuditEntry {
    NewAuditEntry {
        at: Timestamp::now(),
        actor: "alice".to_owned(),
        address: String::new(),
        action: "test".to_owned(),
        detail: serde_json::json!({}),
    }
}

/// A header that must be there.
pub(crate) fn text<'a>(message: &'a Message, name: &str) -> &'a str {
    message
        .header_text(name)
        .unwrap_or_else(|| panic!("no header {name}: {message:?}"))
}

/// A dead letter of the sample workload's kind: event `number` of `key` failed in `partition` of `topic`.
pub(crate) fn kafka_letter(
    cluster: &ClusterName,
    (topic, partition): (&TopicName, i32),
    number: i64,
    key: Option<&str>,
) -> NewDeadLetter {
    let message = Message {
        key: key.map(|key| Bytes::copy_from_slice(key.as_bytes())),
        body: Some(Bytes::from(format!("{{\"number\":{number}}}"))),
        headers: vec![
            Header::text("eventId", format!("event-{number}")),
            Header::text("trace", "first"),
            Header::text(names::ERROR_CLASS, "PaymentTimeout"),
            Header::text(names::ERROR_MESSAGE, "the gateway did not answer"),
            Header::text(names::ORIGINAL_TOPIC, topic.as_str()),
            Header::text(names::ORIGINAL_PARTITION, partition.to_string()),
            Header::text(names::ORIGINAL_OFFSET, number.to_string()),
            Header::text(names::ORIGINAL_TIMESTAMP, "1700000000000"),
            Header::text(names::CONSUMER_GROUP, "payment-consumers"),
            Header::text("trace", "second"),
        ],
        properties: None,
    };
    let position = Position::Kafka {
        topic: format!("{topic}.dlq").as_str().into(),
        topic_id: None,
        partition: Partition(0),
        offset: Offset(number),
    };
    new_letter(cluster, position, message, Custody::Broker)
}

pub(crate) fn new_letter(
    cluster: &ClusterName,
    position: Position,
    message: Message,
    custody: Custody,
) -> NewDeadLetter {
    NewDeadLetter {
        cluster: cluster.clone(),
        decoded: dialects::decode(&position, &message),
        position,
        message,
        body_omitted: None,
        dead_at: Timestamp::now(),
        event: EventIdentity::default(),
        classification: Classification {
            group: "v1:test".into(),
            title: "test".to_owned(),
            explanation: "grouped by test".to_owned(),
        },
        custody,
        replay_id: None,
        redelivered: false,
    }
}

/// Stores dead letters of Kafka and answers their IDs in order.
pub(crate) async fn index(store: &Store, letters: &[NewDeadLetter]) -> Vec<DeadLetterId> {
    let cluster = letters[0].cluster.clone();
    let now = Timestamp::now();
    let indexed = store
        .index_kafka_batch(&cluster, letters, &[], &[], now)
        .await;
    indexed
        .unwrap()
        .into_iter()
        .map(|indexed| indexed.id)
        .collect()
}

/// A dead letter that a consumer of `queue` rejected, as RabbitMQ 3.10 delivers it from the DLQ.
pub(crate) fn queue_letter(
    cluster: &ClusterName,
    (vhost, queue): (&VhostName, &QueueName),
    number: i64,
) -> NewDeadLetter {
    let death = AmqpValue::Table(vec![
        ("count".to_owned(), AmqpValue::I64(1)),
        ("reason".to_owned(), AmqpValue::long_string("rejected")),
        ("queue".to_owned(), AmqpValue::long_string(queue.as_str())),
        ("time".to_owned(), AmqpValue::Timestamp(1_700_000_000)),
        ("exchange".to_owned(), AmqpValue::long_string("events")),
        (
            "routing-keys".to_owned(),
            AmqpValue::Array(vec![AmqpValue::long_string("order.created")]),
        ),
    ]);
    let properties = AmqpProperties {
        exchange: "dlx".to_owned(),
        routing_key: "dead".to_owned(),
        content_type: Some("application/json".to_owned()),
        message_id: Some(format!("message-{number}")),
        user_id: Some("somebody-else".to_owned()),
        expiration: Some("60000".to_owned()),
        reply_to: Some("amq.rabbitmq.reply-to".to_owned()),
        priority: Some(3),
        ..AmqpProperties::default()
    };
    let message = Message {
        key: None,
        body: Some(Bytes::from(format!("{{\"number\":{number}}}"))),
        headers: vec![
            Header::amqp(
                "CC",
                AmqpValue::Array(vec![AmqpValue::long_string("copies")]),
            ),
            Header::amqp("tenant", AmqpValue::I32(7)),
            Header::amqp("x-death", AmqpValue::Array(vec![death])),
            Header::amqp(
                "x-first-death-queue",
                AmqpValue::long_string(queue.as_str()),
            ),
            Header::amqp("x-retry-count", AmqpValue::I32(3)),
        ],
        properties: Some(Box::new(properties)),
    };
    let position = Position::RabbitMq {
        vhost: vhost.clone(),
        queue: QueueName::new(format!("{queue}.dlq")),
        fingerprint: format!("{queue}-{number}"),
    };
    new_letter(cluster, position, message, Custody::Store)
}

/// Stores dead letters of RabbitMQ and answers their IDs in order.
pub(crate) async fn take(store: &Store, letters: &[NewDeadLetter]) -> Vec<DeadLetterId> {
    let session = store.begin_custody().await.unwrap();
    let taken = store.take_custody(&session, letters, Timestamp::now());
    let taken = taken.await.unwrap();
    taken.into_iter().map(|indexed| indexed.id).collect()
}
