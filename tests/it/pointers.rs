//! Pointer records of share groups (KIP-1191): what they point to is read when they are indexed.

use std::time::Duration;

use redrive::brokers::kafka::{KafkaAdmin, ReplayProducer};
use redrive::dialects::headers_stripped_on_replay;
use redrive::domain::{DeadLetter, Header, Message, Partition, System, TopicName};

use crate::intake::{Redrive, config};
use crate::support::{kafka, unique};

/// What a share group of Kafka 4.4 writes about the record at an offset.
fn pointer(topic: &TopicName, offset: i64) -> Message {
    let headers = [
        ("__dlq.errors.topic", topic.to_string()),
        ("__dlq.errors.partition", "0".to_owned()),
        ("__dlq.errors.offset", offset.to_string()),
        ("__dlq.errors.group", "payments".to_owned()),
        ("__dlq.errors.delivery.count", "5".to_owned()),
    ];
    Message {
        headers: headers
            .iter()
            .map(|(name, value)| Header::text(name, value))
            .collect(),
        ..Message::default()
    }
}

fn event(number: i64) -> Message {
    Message {
        key: Some(format!("key {number}").into()),
        body: Some(format!(r#"{{"eventType":"order.created","number":{number}}}"#).into()),
        headers: vec![Header::text("tenant", "acme")],
        properties: None,
    }
}

/// The dead letters of pointers to `offsets` of a topic with `events` records and to one that is gone.
async fn indexed(events: i64, offsets: &[i64]) -> Vec<DeadLetter> {
    let admin = KafkaAdmin::new(&kafka()).unwrap();
    let topic = TopicName::new(unique("orders"));
    let dlq = TopicName::new(format!("dlq.{topic}"));
    for name in [&topic, &dlq] {
        admin.create_topic(name, 1, &[]).await.unwrap();
    }
    let producer = ReplayProducer::new(&kafka(), Duration::from_secs(10)).unwrap();
    for number in 0..events {
        let message = event(number);
        producer.send(&topic, Partition(0), &message).await.unwrap();
    }
    let gone = TopicName::new(unique("gone"));
    for message in offsets
        .iter()
        .map(|offset| pointer(&topic, *offset))
        .chain([pointer(&gone, 0)])
    {
        producer.send(&dlq, Partition(0), &message).await.unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let mut settings = config();
    settings.kafka = vec![kafka()];
    settings.dead_letters.kafka_topics = vec![dlq.to_string()];
    let redrive = Redrive::start(settings, &folder).await;
    let mut summaries = redrive.await_dead_letters(offsets.len() + 1).await;
    summaries.sort_by_key(|summary| summary.id);
    let mut letters = Vec::new();
    for summary in summaries {
        letters.push(redrive.store.dead_letter(summary.id).await.unwrap());
    }
    redrive.stop().await;
    letters
}

#[tokio::test]
async fn the_original_of_a_pointer_is_read_where_it_still_lies() {
    // Offsets that lie apart, not in order, twice, and beyond the end.
    let offsets = [3, 900, 1, 3, 5_000];
    let letters = indexed(1_000, &offsets).await;
    for (letter, offset) in letters.iter().zip(offsets).take(4) {
        let mut message = letter.message.clone();
        for stripped in headers_stripped_on_replay(System::Kafka, &message)
            .iter()
            .rev()
        {
            message.headers.remove(stripped.index);
        }
        assert_eq!(message, event(offset));
        assert_eq!(letter.body_omitted, None);
        assert!(letter.decoded.payload_absent, "the DLQ has only a pointer");
        let kind = letter.summary.event.event_type.as_deref();
        assert_eq!(kind, Some("order.created"));
    }
    for letter in &letters[4..] {
        assert_eq!(letter.message.body, None);
        let omitted = letter.body_omitted.clone().unwrap();
        let topic = letter.decoded.origin.destination.clone().unwrap();
        assert!(
            omitted.contains(&format!("only a pointer to {topic}, partition 0"))
                && omitted.contains("nothing lies there any more"),
            "{omitted}"
        );
    }
}
