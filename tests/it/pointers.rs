//! Pointer records of share groups (KIP-1191): what they point to is read when they are indexed.

use std::sync::Arc;
use std::time::Duration;

use redrive::brokers::kafka::{KafkaAdmin, ReplayProducer};
use redrive::config::KafkaConfig;
use redrive::dead_letters::{
    FetchReport, IntakeBoard, IntakeContext, Looks, ManagedQueues, Observer, Requester,
};
use redrive::dialects::headers_stripped_on_replay;
use redrive::domain::{
    BulkSelection, Custody, DeadLetter, DeadLetterId, Header, Message, NewDeadLetter, Offset,
    Partition, Position, System, TRIED_AGAIN, TopicName,
};
use redrive::metrics::Metrics;
use redrive::store::{AuditFilter, PageRequest, Store};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::intake::{Redrive, config};
use crate::support::replay_letters::{index, new_letter};
use crate::support::replays::new_store;
use crate::support::{eventually, kafka, unique};

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
    // A topic that no broker knows now may be known to it later.
    let reasons = ["nothing lies there any more", TRIED_AGAIN];
    for (letter, reason) in letters[4..].iter().zip(reasons) {
        assert_eq!(letter.message.body, None);
        let omitted = letter.body_omitted.clone().unwrap();
        let topic = letter.decoded.origin.destination.clone().unwrap();
        assert!(
            omitted.contains(&format!("only a pointer to {topic}, partition 0"))
                && omitted.contains(reason),
            "{omitted}"
        );
    }
}

/// A topic with `events` records.
async fn topic_with(events: i64) -> TopicName {
    let topic = TopicName::new(unique("orders"));
    let admin = KafkaAdmin::new(&kafka()).unwrap();
    admin.create_topic(&topic, 1, &[]).await.unwrap();
    let producer = ReplayProducer::new(&kafka(), Duration::from_secs(10)).unwrap();
    for number in 0..events {
        let message = event(number);
        producer.send(&topic, Partition(0), &message).await.unwrap();
    }
    topic
}

/// Pointers as intake stored them when Kafka did not give what they point to.
async fn not_given(store: &Store, pointers: Vec<Message>) -> Vec<DeadLetterId> {
    let letters: Vec<NewDeadLetter> = (0..)
        .zip(pointers)
        .map(|(offset, message)| {
            let position = Position::Kafka {
                topic: "dlq.orders".into(),
                topic_id: None,
                partition: Partition(0),
                offset: Offset(offset),
            };
            let letter = new_letter(&kafka().name, position, message, Custody::Broker);
            NewDeadLetter {
                body_omitted: Some(format!("Kafka did not give it{TRIED_AGAIN}")),
                ..letter
            }
        })
        .collect();
    index(store, &letters).await
}

/// Who fetches on demand; nothing runs in the background.
fn observer(store: &Store, kafka: KafkaConfig) -> Observer {
    let mut config = config();
    config.kafka = vec![kafka];
    // An original has no other place: it is kept whatever its size.
    config.dead_letters.body_limit_bytes = 1;
    Observer::new(IntakeContext {
        config: Arc::new(config),
        store: store.clone(),
        metrics: Arc::new(Metrics::new(Duration::from_secs(1))),
        snapshots: watch::channel(Arc::default()).1,
        board: IntakeBoard::default(),
        managed: ManagedQueues::default(),
        looks: Looks::default(),
        stop: CancellationToken::new(),
    })
}

async fn fetch(observer: &Observer, ids: &[DeadLetterId]) -> FetchReport {
    let requester = Requester {
        name: "alice".to_owned(),
        address: "192.0.2.1".to_owned(),
    };
    let selection = BulkSelection::DeadLetters(ids.to_vec());
    observer.fetch_bodies(&selection, &requester).await.unwrap()
}

#[tokio::test]
async fn an_original_that_was_not_given_is_fetched_when_somebody_asks() {
    let topic = topic_with(5).await;
    let fixture = new_store().await;
    let store = &fixture.store;
    let ids = not_given(store, vec![pointer(&topic, 3), pointer(&topic, 900)]).await;
    assert!(store.dead_letter(ids[0]).await.unwrap().has_body_in_topic());

    let nowhere = KafkaConfig {
        bootstrap_servers: vec!["127.0.0.1:1".to_owned()],
        ..kafka()
    };
    let report = fetch(&observer(store, nowhere), &ids[..1]).await;
    assert!(report.fetched.is_empty(), "{report:?}");
    let waiting = store.dead_letter(ids[0]).await.unwrap();
    assert!(waiting.has_body_in_topic(), "it is tried again");

    let report = fetch(&observer(store, kafka()), &ids).await;
    assert_eq!(report.fetched, ids[..1]);
    assert!(
        report.refused[0].1.contains("nothing lies there any more"),
        "{report:?}"
    );
    let whole = store.dead_letter(ids[0]).await.unwrap();
    assert_eq!(
        (&whole.message.key, &whole.message.body),
        (&event(3).key, &event(3).body)
    );
    assert_eq!(whole.message.header_text("tenant"), Some("acme"));
    assert_eq!(whole.body_omitted, None);
    assert_eq!(
        whole.summary.event.event_type.as_deref(),
        Some("order.created")
    );
    let gone = store.dead_letter(ids[1]).await.unwrap();
    assert!(!gone.has_body_in_topic(), "it is not tried again");
    let again = fetch(&observer(store, kafka()), &ids).await;
    assert!(again.fetched.is_empty(), "{again:?}");
    let page = PageRequest::first(10);
    let audit = store.audit(&AuditFilter::default(), &page).await.unwrap();
    let fetches = audit
        .items
        .iter()
        .filter(|entry| entry.action == "body.fetch");
    assert_eq!(fetches.count(), 1);
}

#[tokio::test]
async fn an_original_that_was_not_given_is_tried_again_in_the_background() {
    let topic = topic_with(5).await;
    let gone = TopicName::new(unique("gone"));
    let folder = tempfile::tempdir().unwrap();
    let mut settings = config();
    settings.kafka = vec![kafka()];
    settings.dead_letters.kafka_topics = vec![unique("none")];
    let redrive = Redrive::start(settings, &folder).await;
    let pointers = vec![pointer(&topic, 2), pointer(&topic, 900), pointer(&gone, 0)];
    let ids = not_given(&redrive.store, pointers).await;
    let settled = async || {
        let whole = redrive.store.dead_letter(ids[0]).await.unwrap();
        let gone = redrive.store.dead_letter(ids[1]).await.unwrap();
        (whole.body_omitted.is_none() && !gone.has_body_in_topic()).then_some((whole, gone))
    };
    let (whole, gone) = eventually("both are settled", settled).await;
    assert_eq!(whole.message.body, event(2).body);
    assert!(
        gone.body_omitted
            .unwrap()
            .contains("nothing lies there any more")
    );
    let unknown = redrive.store.dead_letter(ids[2]).await.unwrap();
    assert!(
        unknown.has_body_in_topic(),
        "its topic may come to be known"
    );
    redrive.stop().await;
}
