//! Replays on the real Kafka: what arrives, where, and in which order.

use std::time::Duration;

use bytes::Bytes;
use redrive::brokers::kafka::{KafkaAdmin, KafkaRecord};
use redrive::domain::conventions as names;
use redrive::domain::{
    Header, Landing, Message, Offset, Partition, ReplayState, ReplayStateName, RevisionNumber,
    Timestamp, TopicName, sha256_hex,
};
use redrive::store::NewRevision;

use crate::support::replay_letters::{audit_entry, index, kafka_letters, text};
use crate::support::replays::{
    ORIGINAL, Running, impatient_kafka, new_store, new_topic, records_in,
};
use crate::support::{kafka, unique};

fn bodies(records: &[KafkaRecord]) -> Vec<String> {
    let bodies = records
        .iter()
        .map(|record| record.message.body.clone().unwrap());
    bodies
        .map(|body| String::from_utf8(body.to_vec()).unwrap())
        .collect()
}

#[tokio::test]
async fn a_replay_lands_in_its_original_partition_without_the_story_of_its_death() {
    let topic = new_topic("replay", 3, &[]).await;
    let fixture = new_store().await;
    let ids = index(
        &fixture.store,
        &kafka_letters(&topic, 2, &[Some("order-1")]),
    )
    .await;
    let running = Running::engines(impatient_kafka(), &fixture.store);
    let replay = running.replay(&ids, ORIGINAL).await[0];

    let sent = running.reaches(replay, ReplayStateName::Sent).await;
    let landing = Landing {
        partition: Partition(2),
        offset: Offset(0),
    };
    assert!(
        matches!(sent.state, ReplayState::Sent { landing: Some(known), .. } if known == landing)
    );
    let records = records_in(&topic, Partition(2)).await;
    assert_eq!(records.len(), 1);
    let message = &records[0].message;
    assert_eq!(message.key.as_deref(), Some(b"order-1".as_slice()));
    assert_eq!(message.body.as_deref(), Some(b"{\"number\":0}".as_slice()));
    let source = format!("kafka:kafka/{topic}.dlq/0@0");
    let expected = [
        Header::text("eventId", "event-0"),
        Header::text("trace", "first"),
        Header::text("trace", "second"),
        Header::text(names::REPLAY_ID, replay.to_string()),
        Header::text(names::REPLAY_JOB_ID, sent.job.to_string()),
        Header::text(names::REPLAY_ATTEMPT, "1"),
        Header::text(names::REPLAY_SOURCE, source),
        Header::text(names::REPLAY_ORIGINAL_TIMESTAMP, "1700000000000"),
    ];
    assert_eq!(message.headers[..expected.len()], expected);
    let error = text(message, names::REPLAY_PREV_ERROR);
    assert!(
        error.contains("PaymentTimeout") && error.len() <= 2048,
        "{error}"
    );
    assert_eq!(message.headers.len(), expected.len() + 1);
    running.stop().await;
}

#[tokio::test]
async fn an_edit_is_sent_with_the_digest_of_what_it_replaced() {
    let topic = new_topic("replay", 1, &[]).await;
    let fixture = new_store().await;
    let letters = kafka_letters(&topic, 0, &[Some("order-1")]);
    let ids = index(&fixture.store, &letters).await;
    let message = Message {
        body: Some(Bytes::from_static(b"repaired")),
        ..letters[0].message.clone()
    };
    let revision = NewRevision {
        dead_letter: ids[0],
        builds_on: RevisionNumber(0),
        message,
        author: "alice".to_owned(),
        note: None,
        at: Timestamp::now(),
    };
    fixture
        .store
        .add_revision(&revision, &audit_entry())
        .await
        .unwrap();
    let running = Running::engines(impatient_kafka(), &fixture.store);
    let replay = running.replay(&ids, ORIGINAL).await[0];
    running.reaches(replay, ReplayStateName::Sent).await;
    let sent = &records_in(&topic, Partition(0)).await[0].message;
    assert_eq!(sent.body.as_deref(), Some(b"repaired".as_slice()));
    assert_eq!(text(sent, names::REPLAY_EDITED), "true");
    assert_eq!(
        text(sent, names::REPLAY_ORIGINAL_SHA256),
        sha256_hex(b"{\"number\":0}")
    );
    running.stop().await;
}

#[tokio::test]
async fn the_order_of_a_key_is_kept_whatever_the_order_of_the_selection() {
    let topic = new_topic("replay", 1, &[]).await;
    let fixture = new_store().await;
    let keys: Vec<_> = ["a", "b", "c"]
        .into_iter()
        .cycle()
        .take(60)
        .map(Some)
        .collect();
    let mut letters = kafka_letters(&topic, 0, &keys);
    letters.reverse();
    let ids = index(&fixture.store, &letters).await;
    let running = Running::engines(impatient_kafka(), &fixture.store);
    for id in running.replay(&ids, ORIGINAL).await {
        running.reaches(id, ReplayStateName::Sent).await;
    }
    let records = records_in(&topic, Partition(0)).await;
    assert_eq!(records.len(), 60);
    for key in ["a", "b", "c"] {
        let of_key = records
            .iter()
            .filter(|r| r.message.key.as_deref() == Some(key.as_bytes()));
        let offsets: Vec<i64> = of_key
            .map(|r| {
                text(&r.message, "eventId")
                    .trim_start_matches("event-")
                    .parse()
                    .unwrap()
            })
            .collect();
        assert!(
            offsets.is_sorted() && offsets.len() == 20,
            "{key}: {offsets:?}"
        );
    }
    running.stop().await;
}

#[tokio::test]
async fn what_the_broker_refuses_fails_and_later_events_of_its_key_do_not_overtake_it() {
    let topic = new_topic("replay", 1, &[("max.message.bytes", "2000")]).await;
    let fixture = new_store().await;
    let mut letters = kafka_letters(&topic, 0, &[Some("a"), Some("b"), Some("a"), None]);
    letters[0].message.body = Some(Bytes::from(vec![b'x'; 5000]));
    let ids = index(&fixture.store, &letters).await;
    let running = Running::engines(impatient_kafka(), &fixture.store);
    let replays = running.replay(&ids, ORIGINAL).await;
    let reason = async |index: usize| match running
        .reaches(replays[index], ReplayStateName::Failed)
        .await
        .state
    {
        ReplayState::Failed { reason, .. } => reason,
        state => panic!("{state:?}"),
    };
    assert!(
        reason(0).await.to_lowercase().contains("size"),
        "{}",
        reason(0).await
    );
    assert_eq!(reason(2).await, "an earlier event of the same key failed");
    running.reaches(replays[1], ReplayStateName::Sent).await;
    running.reaches(replays[3], ReplayStateName::Sent).await;
    let arrived = bodies(&records_in(&topic, Partition(0)).await);
    assert_eq!(arrived, ["{\"number\":1}", "{\"number\":3}"]);
    let open = fixture.store.dead_letter_summary(ids[0]).await.unwrap();
    assert_eq!(open.status.as_str(), "open");
    running.stop().await;
}

#[tokio::test]
async fn a_topic_that_does_not_exist_is_not_made_by_a_replay() {
    let topic = TopicName::new(unique("never-made"));
    let fixture = new_store().await;
    let ids = index(&fixture.store, &kafka_letters(&topic, 0, &[None])).await;
    let running = Running::engines(impatient_kafka(), &fixture.store);
    let replay = running.replay(&ids, ORIGINAL).await[0];
    let failed = running.reaches(replay, ReplayStateName::Failed).await;
    let expected = format!("topic {topic} does not exist");
    assert!(matches!(failed.state, ReplayState::Failed { reason, .. } if reason == expected));
    let admin = KafkaAdmin::new(&kafka()).unwrap();
    assert_eq!(admin.topic(&topic).await.unwrap(), None);
    running.stop().await;
}

#[tokio::test]
async fn a_broker_that_is_down_delays_replays_and_loses_none() {
    let topic = new_topic("replay", 1, &[]).await;
    let fixture = new_store().await;
    let ids = index(&fixture.store, &kafka_letters(&topic, 0, &[None])).await;
    let gate = Gate::shut().await;
    let mut config = impatient_kafka();
    config.kafka[0].bootstrap_servers = vec![gate.address.clone()];
    let running = Running::engines(config, &fixture.store);
    let replay = running.replay(&ids, ORIGINAL).await[0];
    tokio::time::timeout(
        Duration::from_secs(2),
        running.reaches(replay, ReplayStateName::Sending),
    )
    .await
    .expect_err("nothing is being sent while the broker does not answer");
    running.reaches(replay, ReplayStateName::Planned).await;
    gate.open();
    running.reaches(replay, ReplayStateName::Sent).await;
    assert_eq!(records_in(&topic, Partition(0)).await.len(), 1);
    running.stop().await;
}

/// A port in front of Kafka that accepts nobody until it is opened.
struct Gate {
    address: String,
    open: tokio::sync::oneshot::Sender<()>,
}

impl Gate {
    async fn shut() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (open, opened) = tokio::sync::oneshot::channel();
        tokio::spawn(async move {
            opened.await.unwrap();
            loop {
                let (mut client, _) = listener.accept().await.unwrap();
                let broker = kafka().bootstrap_servers[0].clone();
                tokio::spawn(async move {
                    let mut broker = tokio::net::TcpStream::connect(broker).await.unwrap();
                    tokio::io::copy_bidirectional(&mut client, &mut broker)
                        .await
                        .ok();
                });
            }
        });
        Self { address, open }
    }

    fn open(self) {
        self.open.send(()).unwrap();
    }
}
