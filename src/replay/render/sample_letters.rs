//! Dead letters as they are rendered in tests.

use crate::dialects;
use crate::domain::{
    Custody, DeadLetter, DeadLetterId, DeadLetterStatus, DeadLetterSummary, DeathReason,
    EventIdentity, Message, Offset, Partition, Position, RevisionNumber, Timestamp,
};

fn letter(position: Position, message: Message) -> DeadLetter {
    let decoded = dialects::decode(&position, &message);
    let summary = DeadLetterSummary {
        id: DeadLetterId(1),
        cluster: "c".into(),
        position,
        status: DeadLetterStatus::Open,
        custody: Custody::Broker,
        dead_at: Timestamp(0),
        indexed_at: Timestamp(0),
        reason: DeathReason::Exception,
        source: None,
        consumer: None,
        failure_class: None,
        failure_message: None,
        event: EventIdentity::default(),
        group: "v1:1".into(),
        size: 0,
        attempts: None,
        latest_revision: RevisionNumber(0),
        died_from_replay: None,
        possible_duplicate_of: None,
    };
    DeadLetter {
        summary,
        message,
        body_omitted: None,
        decoded,
        group_title: String::new(),
        group_explanation: String::new(),
    }
}

pub(in crate::replay) fn in_kafka(message: Message) -> DeadLetter {
    let position = Position::Kafka {
        topic: "orders.dlq".into(),
        topic_id: None,
        partition: Partition(0),
        offset: Offset(9),
    };
    letter(position, message)
}

pub(in crate::replay) fn in_rabbitmq(message: Message) -> DeadLetter {
    let position = Position::RabbitMq {
        vhost: "/".into(),
        queue: "orders.dlq".into(),
        fingerprint: "0123456789abcdef0123".to_owned(),
    };
    letter(position, message)
}
