//! What becomes of replays that a dead process was sending to Kafka.

use std::time::Duration;

use bytes::Bytes;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use redrive::brokers::kafka::{KafkaAdmin, ReplayProducer};
use redrive::domain::conventions as names;
use redrive::domain::{
    DeadLetterId, Destination, Header, Landing, Message, Offset, Partition, Replay, ReplayEvent,
    ReplayId, ReplayJobId, ReplayOptions, ReplayState, ReplayStateName, RevisionNumber, Timestamp,
    TopicName,
};
use redrive::replay::{Decision, ReplayError};
use redrive::store::{NewReplay, NewReplayJob, Store};
use uuid::Uuid;

use crate::support::replay_letters::{audit_entry, index, kafka_letters, text};
use crate::support::replays::{
    Running, alice, impatient_kafka, new_store, new_topic, records_in, request,
};
use crate::support::{kafka, unique};

/// Replays as a process left them that died while it was sending.
pub(crate) async fn left_sending(
    store: &Store,
    ids: &[DeadLetterId],
    topic: &TopicName,
) -> Vec<Replay> {
    let replay = |id: &DeadLetterId| NewReplay {
        id: ReplayId(Uuid::now_v7()),
        dead_letter: *id,
        revision: RevisionNumber(0),
        destination: Destination::Kafka {
            cluster: kafka().name,
            topic: topic.clone(),
            partition: Some(Partition(0)),
        },
    };
    let job = NewReplayJob {
        id: ReplayJobId(Uuid::now_v7()),
        created_at: Timestamp::now(),
        created_by: "alice".to_owned(),
        selection: "test".to_owned(),
        options: ReplayOptions::default(),
        replays: ids.iter().map(replay).collect(),
    };
    let created = store.create_job(&job, &audit_entry()).await.unwrap();
    let admin = KafkaAdmin::new(&kafka()).unwrap();
    let offset = admin.watermarks(topic, Partition(0)).await.unwrap().high;
    let partition = Partition(0);
    let mut replays = Vec::new();
    for id in created.planned {
        let at = Timestamp::now();
        let high_watermark = Some(Landing { partition, offset });
        let sending = ReplayEvent::Sending {
            at,
            high_watermark,
            topic_id: None,
        };
        replays.push(store.advance_replay(id, sending, at).await.unwrap());
    }
    replays
}

#[tokio::test]
async fn what_a_dead_process_sent_is_found_and_the_rest_is_sent_once() {
    let topic = new_topic("replay", 1, &[]).await;
    let fixture = new_store().await;
    let letters = kafka_letters(&topic, 0, &[Some("a"), Some("b")]);
    let ids = index(&fixture.store, &letters).await;
    let producer = ReplayProducer::new(&kafka(), Duration::from_secs(5)).unwrap();
    let other = Message {
        body: Some(Bytes::from_static(b"before")),
        ..Message::default()
    };
    producer.send(&topic, Partition(0), &other).await.unwrap();
    let replays = left_sending(&fixture.store, &ids, &topic).await;
    let mut arrived = letters[0].message.clone();
    arrived
        .headers
        .push(Header::text(names::REPLAY_ID, replays[0].id.to_string()));
    producer.send(&topic, Partition(0), &other).await.unwrap();
    producer.send(&topic, Partition(0), &arrived).await.unwrap();

    let running = Running::engines(impatient_kafka(), &fixture.store);
    let found = running.reaches(replays[0].id, ReplayStateName::Sent).await;
    let landing = Landing {
        partition: Partition(0),
        offset: Offset(2),
    };
    assert!(
        matches!(found.state, ReplayState::Sent { landing: Some(known), .. } if known == landing)
    );
    running.reaches(replays[1].id, ReplayStateName::Sent).await;
    let records = records_in(&topic, Partition(0)).await;
    for replay in &replays {
        let id = replay.id.to_string();
        let copies = records
            .iter()
            .filter(|record| record.message.header_text(names::REPLAY_ID) == Some(&id));
        assert_eq!(copies.count(), 1);
    }
    running.stop().await;
}

/// A transaction that nobody ends: the last stable offset stays before it.
fn open_transaction(topic: &TopicName) -> BaseProducer {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", kafka().bootstrap_servers.join(","))
        .set("transactional.id", unique("transaction"))
        .create()
        .unwrap();
    producer.init_transactions(Duration::from_secs(10)).unwrap();
    producer.begin_transaction().unwrap();
    producer
        .send(BaseRecord::to(topic.as_str()).key("other").payload("open"))
        .unwrap();
    producer.flush(Duration::from_secs(10)).unwrap();
    producer
}

/// A record, and behind it a marker that no consumer sees.
pub(crate) async fn commit_transaction(topic: &TopicName) {
    let topic = topic.clone();
    let transaction = move || {
        let transaction = open_transaction(&topic);
        transaction
            .commit_transaction(Duration::from_secs(10))
            .unwrap();
    };
    tokio::task::spawn_blocking(transaction).await.unwrap();
}

#[tokio::test]
async fn an_open_transaction_does_not_hide_what_was_sent() {
    let topic = new_topic("replay", 1, &[]).await;
    let fixture = new_store().await;
    let letters = kafka_letters(&topic, 0, &[Some("a")]);
    let ids = index(&fixture.store, &letters).await;
    let transaction = tokio::task::spawn_blocking({
        let topic = topic.clone();
        move || open_transaction(&topic)
    });
    let transaction = transaction.await.unwrap();
    let replay = left_sending(&fixture.store, &ids, &topic).await.remove(0);
    let mut arrived = letters[0].message.clone();
    arrived
        .headers
        .push(Header::text(names::REPLAY_ID, replay.id.to_string()));
    let producer = ReplayProducer::new(&kafka(), Duration::from_secs(5)).unwrap();
    let landing = producer.send(&topic, Partition(0), &arrived).await.unwrap();

    let running = Running::engines(impatient_kafka(), &fixture.store);
    let found = running.reaches(replay.id, ReplayStateName::Sent).await;
    assert!(
        matches!(found.state, ReplayState::Sent { landing: Some(known), .. } if known == landing),
        "{found:?}"
    );
    running.stop().await;
    drop(transaction);
}

#[tokio::test]
async fn a_transaction_marker_at_the_end_of_the_log_is_no_obstacle() {
    let topic = new_topic("replay", 1, &[]).await;
    let fixture = new_store().await;
    let ids = index(&fixture.store, &kafka_letters(&topic, 0, &[Some("a")])).await;
    let replay = left_sending(&fixture.store, &ids, &topic).await.remove(0);
    commit_transaction(&topic).await;

    let running = Running::engines(impatient_kafka(), &fixture.store);
    let sent = running.reaches(replay.id, ReplayStateName::Sent).await;
    let ReplayState::Sent {
        landing: Some(landing),
        ..
    } = sent.state
    else {
        panic!("{sent:?}")
    };
    assert_eq!(landing.offset, Offset(2), "behind a record and its marker");
    running.stop().await;
}

#[tokio::test]
async fn what_cannot_be_proven_waits_for_a_person() {
    let topic = new_topic("replay", 1, &[("cleanup.policy", "compact")]).await;
    let fixture = new_store().await;
    let ids = index(
        &fixture.store,
        &kafka_letters(&topic, 0, &[Some("a"), Some("b")]),
    )
    .await;
    let replays = left_sending(&fixture.store, &ids, &topic).await;
    // An offset without a record may be one that compaction has taken.
    commit_transaction(&topic).await;
    let running = Running::engines(impatient_kafka(), &fixture.store);
    running
        .reaches(replays[0].id, ReplayStateName::Unknown)
        .await;
    running
        .reaches(replays[1].id, ReplayStateName::Unknown)
        .await;
    let admin = KafkaAdmin::new(&kafka()).unwrap();
    let watermarks = admin.watermarks(&topic, Partition(0)).await.unwrap();
    assert_eq!(watermarks.high, Offset(2), "nothing was sent");
    let again = request(&ids);
    let refused = running.handle.start(again, alice()).await;
    assert!(
        matches!(refused, Err(ReplayError::NothingEligible { .. })),
        "{refused:?}"
    );

    let handle = &running.handle;
    handle
        .resolve_unknown(replays[0].id, Decision::SendAgain, alice())
        .await
        .unwrap();
    running.reaches(replays[0].id, ReplayStateName::Sent).await;
    handle
        .resolve_unknown(replays[1].id, Decision::AcceptAsFailed, alice())
        .await
        .unwrap();
    running
        .reaches(replays[1].id, ReplayStateName::Failed)
        .await;
    let records = records_in(&topic, Partition(0)).await;
    assert_eq!(records.len(), 2);
    assert_eq!(
        text(&records[1].message, names::REPLAY_ID),
        replays[0].id.to_string()
    );
    running.stop().await;
}
