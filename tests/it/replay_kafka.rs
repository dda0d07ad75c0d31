//! Replays on the real Kafka: what arrives, where, in which order, and what is said about it.

use std::time::Duration;

use bytes::Bytes;
use redrive::brokers::kafka::{GroupConsumer, KafkaAdmin, ReplayProducer, StartAt};
use redrive::config::Config;
use redrive::domain::conventions as names;
use redrive::domain::{
    ConsumerGroup, DeadLetterId, Destination, Header, Landing, Message, NewDeadLetter, Offset,
    Partition, Replay, ReplayEvent, ReplayId, ReplayJobId, ReplayState, ReplayStateName,
    RevisionNumber, Timestamp, TopicName, sha256_hex,
};
use redrive::replay::{
    Decision, DestinationChoice, ReplayError, ReplayRequest, RevisionChoice, Selection,
};
use redrive::store::{NewAuditEntry, NewReplay, NewReplayJob, NewRevision, Store};
use uuid::Uuid;

use crate::support::replays::{
    Running, alice, impatient, index, kafka_letter, new_store, new_topic, records_in,
};
use crate::support::{eventually, kafka, unique};

const ORIGINAL: DestinationChoice = DestinationChoice::Original;

fn config() -> Config {
    Config {
        kafka: vec![kafka()],
        ..impatient()
    }
}

fn letters(topic: &TopicName, partition: i32, keys: &[Option<&str>]) -> Vec<NewDeadLetter> {
    let numbered = (0..).zip(keys);
    numbered
        .map(|(number, key)| kafka_letter(&kafka().name, (topic, partition), number, *key))
        .collect()
}

fn entry() -> NewAuditEntry {
    NewAuditEntry {
        at: Timestamp::now(),
        actor: "alice".to_owned(),
        address: String::new(),
        action: "test".to_owned(),
        detail: serde_json::json!({}),
    }
}

fn text<'a>(message: &'a Message, name: &str) -> &'a str {
    message
        .header_text(name)
        .unwrap_or_else(|| panic!("no header {name}: {message:?}"))
}

fn numbers(records: &[redrive::brokers::kafka::KafkaRecord]) -> Vec<String> {
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
    let ids = index(&fixture.store, &letters(&topic, 2, &[Some("order-1")])).await;
    let running = Running::engines(config(), &fixture.store);
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
    let letters = letters(&topic, 0, &[Some("order-1")]);
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
        .add_revision(&revision, &entry())
        .await
        .unwrap();
    let running = Running::engines(config(), &fixture.store);
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
    let mut letters = letters(&topic, 0, &keys);
    letters.reverse();
    let ids = index(&fixture.store, &letters).await;
    let running = Running::engines(config(), &fixture.store);
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
    let mut letters = letters(&topic, 0, &[Some("a"), Some("b"), Some("a"), None]);
    letters[0].message.body = Some(Bytes::from(vec![b'x'; 5000]));
    let ids = index(&fixture.store, &letters).await;
    let running = Running::engines(config(), &fixture.store);
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
    let arrived = numbers(&records_in(&topic, Partition(0)).await);
    assert_eq!(arrived, ["{\"number\":1}", "{\"number\":3}"]);
    let open = fixture.store.dead_letter_summary(ids[0]).await.unwrap();
    assert_eq!(open.status.as_str(), "open");
    running.stop().await;
}

#[tokio::test]
async fn a_topic_that_does_not_exist_is_not_made_by_a_replay() {
    let topic = TopicName::new(unique("never-made"));
    let fixture = new_store().await;
    let ids = index(&fixture.store, &letters(&topic, 0, &[None])).await;
    let running = Running::engines(config(), &fixture.store);
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
    let ids = index(&fixture.store, &letters(&topic, 0, &[None])).await;
    let gate = Gate::shut().await;
    let mut config = config();
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

/// Replays as a process left them that died while it was sending.
async fn left_sending(store: &Store, ids: &[DeadLetterId], topic: &TopicName) -> Vec<Replay> {
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
        replays: ids.iter().map(replay).collect(),
    };
    let created = store.create_job(&job, &entry()).await.unwrap();
    let admin = KafkaAdmin::new(&kafka()).unwrap();
    let offset = admin.watermarks(topic, Partition(0)).await.unwrap().high;
    let partition = Partition(0);
    let mut replays = Vec::new();
    for id in created.planned {
        let at = Timestamp::now();
        let high_watermark = Some(Landing { partition, offset });
        let sending = ReplayEvent::Sending { at, high_watermark };
        replays.push(store.advance_replay(id, sending, at).await.unwrap());
    }
    replays
}

#[tokio::test]
async fn what_a_dead_process_sent_is_found_and_the_rest_is_sent_once() {
    let topic = new_topic("replay", 1, &[]).await;
    let fixture = new_store().await;
    let letters = letters(&topic, 0, &[Some("a"), Some("b")]);
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

    let running = Running::engines(config(), &fixture.store);
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

#[tokio::test]
async fn what_cannot_be_proven_waits_for_a_person() {
    let topic = new_topic("replay", 1, &[("cleanup.policy", "compact")]).await;
    let fixture = new_store().await;
    let ids = index(&fixture.store, &letters(&topic, 0, &[Some("a"), Some("b")])).await;
    let replays = left_sending(&fixture.store, &ids, &topic).await;
    let running = Running::engines(config(), &fixture.store);
    running
        .reaches(replays[0].id, ReplayStateName::Unknown)
        .await;
    running
        .reaches(replays[1].id, ReplayStateName::Unknown)
        .await;
    assert!(records_in(&topic, Partition(0)).await.is_empty());
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
    assert_eq!(records.len(), 1);
    assert_eq!(
        text(&records[0].message, names::REPLAY_ID),
        replays[0].id.to_string()
    );
    running.stop().await;
}

fn request(ids: &[DeadLetterId]) -> ReplayRequest {
    ReplayRequest {
        selection: Selection::DeadLetters(ids.to_vec()),
        revision: RevisionChoice::Latest,
        destination: ORIGINAL,
    }
}

/// A record that died in a group: the record, and its copy in the DLQ, which intake will find.
async fn event_in_dlq(topic: &TopicName, group: &ConsumerGroup) {
    let mut dead = kafka_letter(&kafka().name, (topic, 0), 0, Some("order-1")).message;
    let set_group = Header::text(names::CONSUMER_GROUP, group.as_str());
    dead.headers
        .retain(|header| header.name != names::CONSUMER_GROUP.as_bytes());
    dead.headers.push(set_group);
    send_to_dlq(topic, &dead).await;
}

async fn send_to_dlq(topic: &TopicName, dead: &Message) {
    let dlq = TopicName::new(format!("{topic}.dlq"));
    let producer = ReplayProducer::new(&kafka(), Duration::from_secs(5)).unwrap();
    producer.send(&dlq, Partition(0), dead).await.unwrap();
}

/// The whole service on one topic and its DLQ, with one dead letter that failed in `group`.
struct Service {
    topic: TopicName,
    group: ConsumerGroup,
    running: Running,
    dead_letter: DeadLetterId,
    _folder: tempfile::TempDir,
}

async fn service() -> Service {
    let topic = new_topic("outcome", 1, &[]).await;
    let dlq = TopicName::new(format!("{topic}.dlq"));
    KafkaAdmin::new(&kafka())
        .unwrap()
        .create_topic(&dlq, 1, &[])
        .await
        .unwrap();
    let group = ConsumerGroup::new(unique("group"));
    event_in_dlq(&topic, &group).await;
    let fixture = new_store().await;
    let mut config = config();
    config.dead_letters.kafka_topics = vec![format!("{topic}.dlq")];
    let running = Running::everything(config, &fixture.store);
    let everything = redrive::domain::Filter::default();
    let dead_letter = eventually("intake finds the dead letter", async || {
        let ids = fixture.store.matching_ids(&everything, Timestamp::now(), 2);
        ids.await.unwrap().first().copied()
    })
    .await;
    Service {
        topic,
        group,
        running,
        dead_letter,
        _folder: fixture.folder,
    }
}

impl Service {
    /// A member of the group that has read everything so far.
    async fn consumer(&self) -> GroupConsumer {
        let producer = ReplayProducer::new(&kafka(), Duration::from_secs(5)).unwrap();
        let earlier = Message {
            body: Some(Bytes::from_static(b"{}")),
            ..Message::default()
        };
        producer
            .send(&self.topic, Partition(0), &earlier)
            .await
            .unwrap();
        let topics = std::slice::from_ref(&self.topic);
        let consumer =
            GroupConsumer::subscribe(&kafka(), &self.group, topics, StartAt::Earliest).unwrap();
        let record = eventually("the consumer reads", async || {
            consumer.next(Duration::from_secs(1)).await.unwrap()
        })
        .await;
        consumer.commit(&record).unwrap();
        // Without a look before, nobody can say that it moved.
        eventually("the group's offset is sampled", async || {
            let snapshot = self.running.snapshot();
            let (_, group) = snapshot.groups().find(|(_, g)| g.group == self.group)?;
            (!group.topics.is_empty()).then_some(())
        })
        .await;
        consumer
    }
}

#[tokio::test]
async fn what_a_group_commits_is_passed_and_then_consumed() {
    let service = service().await;
    let consumer = service.consumer().await;
    let replay = service
        .running
        .replay(&[service.dead_letter], ORIGINAL)
        .await[0];
    let record = eventually("the replay is consumed", async || {
        consumer.next(Duration::from_secs(1)).await.unwrap()
    })
    .await;
    assert_eq!(text(&record.message, names::REPLAY_ID), replay.to_string());
    consumer.commit(&record).unwrap();
    service
        .running
        .reaches(replay, ReplayStateName::Passed)
        .await;
    let consumed = service
        .running
        .reaches(replay, ReplayStateName::Consumed)
        .await;
    let ReplayState::Consumed { by, at, .. } = consumed.state else {
        unreachable!()
    };
    assert_eq!(by[0].group, service.group);
    assert!(
        at.since(by[0].at) >= Duration::from_secs(2),
        "the settle time was not waited for"
    );
    let exposition = String::from_utf8(service.running.metrics.render().to_vec()).unwrap();
    assert!(
        exposition.contains("outcome=\"consumed\",system=\"kafka\"} 1"),
        "{exposition}"
    );
    service.running.stop().await;
}

#[tokio::test]
async fn a_consumer_that_dead_letters_and_then_commits_did_not_consume() {
    let service = service().await;
    let consumer = service.consumer().await;
    let replay = service
        .running
        .replay(&[service.dead_letter], ORIGINAL)
        .await[0];
    let record = eventually("the replay is consumed", async || {
        consumer.next(Duration::from_secs(1)).await.unwrap()
    })
    .await;
    let mut dead = record.message.clone();
    dead.headers
        .push(Header::text(names::ERROR_CLASS, "PaymentTimeout"));
    dead.headers
        .push(Header::text(names::ORIGINAL_TOPIC, service.topic.as_str()));
    send_to_dlq(&service.topic, &dead).await;
    consumer.commit(&record).unwrap();
    let died = service
        .running
        .reaches(replay, ReplayStateName::DiedAgain)
        .await;
    let ReplayState::DiedAgain { dead_letter, .. } = died.state else {
        unreachable!()
    };
    let successor = service
        .running
        .store
        .dead_letter_summary(dead_letter)
        .await
        .unwrap();
    assert_eq!(successor.died_from_replay, Some(replay));
    eventually("the death is counted", async || {
        let exposition = String::from_utf8(service.running.metrics.render().to_vec()).unwrap();
        exposition
            .contains("outcome=\"died_again\",system=\"kafka\"} 1")
            .then_some(())
    })
    .await;

    let again = service.running.replay(&[dead_letter], ORIGINAL).await[0];
    let record = eventually("the second replay arrives", async || {
        consumer.next(Duration::from_secs(1)).await.unwrap()
    })
    .await;
    let ids = record
        .message
        .headers
        .iter()
        .filter(|h| h.name == names::REPLAY_ID.as_bytes());
    assert_eq!(ids.count(), 1, "the headers of the first replay are gone");
    assert_eq!(text(&record.message, names::REPLAY_ID), again.to_string());
    service.running.stop().await;
}
