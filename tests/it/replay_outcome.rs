//! What is said of a replay after it was sent, with real consumer groups, sampling and intake.

use std::time::Duration;

use bytes::Bytes;
use redrive::brokers::kafka::{GroupConsumer, KafkaAdmin, ReplayProducer, StartAt};
use redrive::domain::conventions as names;
use redrive::domain::{
    ConsumerGroup, DeadLetterId, Header, Message, Partition, ReplayState, ReplayStateName,
    Timestamp, TopicName,
};
use redrive::metrics::Format;

use crate::support::replay_letters::{kafka_letter, text};
use crate::support::replays::{ORIGINAL, Running, impatient_kafka, new_store, new_topic};
use crate::support::{eventually, kafka, unique};

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
    let mut config = impatient_kafka();
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
    let settled = service
        .running
        .reaches(replay, ReplayStateName::Consumed)
        .await;
    let ReplayState::Consumed { by, at, .. } = settled.state else {
        unreachable!()
    };
    assert_eq!(by[0].group, service.group);
    assert!(
        at.since(by[0].at) >= Duration::from_secs(2),
        "the settle time was not waited for"
    );
    // It is counted once it is on disk.
    eventually("the outcome is counted", async || {
        let exposition =
            String::from_utf8(service.running.metrics.render(Format::Text).to_vec()).unwrap();
        let is_counted = exposition.contains("outcome=\"consumed\",system=\"kafka\"} 1");
        is_counted.then_some(())
    })
    .await;
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
        let exposition =
            String::from_utf8(service.running.metrics.render(Format::Text).to_vec()).unwrap();
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
