//! A body that is too large for the store, and the retention of its topic.

use std::time::Duration;

use bytes::Bytes;
use redrive::brokers::kafka::{KafkaAdmin, ReplayProducer};
use redrive::config::Config;
use redrive::dead_letters::{FetchReport, Requester};
use redrive::domain::{
    BulkSelection, DeadLetter, DeadLetterId, Filter, Message, Partition, TopicName,
};
use tempfile::TempDir;

use crate::intake::{Redrive, config};
use crate::kafka_edges::delete_before;
use crate::support::{eventually, kafka, unique};

const BODY_LIMIT: usize = 100;

async fn topic_with(lengths: &[usize], settings: &[(&str, &str)]) -> TopicName {
    let topic = TopicName::new(unique("expiring.dlq"));
    let admin = KafkaAdmin::new(&kafka()).unwrap();
    admin.create_topic(&topic, 1, settings).await.unwrap();
    produce(&topic, lengths).await;
    topic
}

async fn produce(topic: &TopicName, lengths: &[usize]) {
    let producer = ReplayProducer::new(&kafka(), Duration::from_secs(10)).unwrap();
    for length in lengths {
        let message = Message {
            body: Some(Bytes::from(vec![b'x'; *length])),
            ..Message::default()
        };
        let sent = producer.enqueue(topic, Partition(0), &message).unwrap();
        sent.wait().await.unwrap();
    }
}

fn config_of(topic: &TopicName, fetch_expiring_bodies: bool) -> Config {
    let mut config = Config {
        kafka: vec![kafka()],
        ..config()
    };
    config.dead_letters.kafka_topics = vec![topic.to_string()];
    config.dead_letters.body_limit_bytes = BODY_LIMIT;
    config.dead_letters.fetch_expiring_bodies = fetch_expiring_bodies;
    config
}

/// In the order of the topic.
async fn letters(redrive: &Redrive, count: usize) -> Vec<DeadLetter> {
    let mut rows = redrive.await_dead_letters(count).await;
    rows.sort_by_key(|row| row.id);
    let mut letters = Vec::new();
    for row in rows {
        letters.push(redrive.store.dead_letter(row.id).await.unwrap());
    }
    letters
}

fn length(letter: &DeadLetter) -> Option<usize> {
    letter.message.body.as_ref().map(Bytes::len)
}

async fn fetch(redrive: &Redrive, selection: &BulkSelection) -> FetchReport {
    let requester = Requester {
        name: "alice".to_owned(),
        address: "192.0.2.1".to_owned(),
    };
    let fetched = redrive.observer.fetch_bodies(selection, &requester).await;
    fetched.unwrap()
}

async fn expiring(redrive: &Redrive, topic: &TopicName, number: u64) {
    let series = format!(
        "dlq_expiring_bodies{{cluster=\"kafka\",dlq=\"{topic}\",system=\"kafka\"}} {number}\n"
    );
    eventually(&series, async || {
        redrive.exposition().contains(&series).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_body_that_retention_is_about_to_remove_is_counted_until_it_is_gone() {
    let an_hour = [("retention.ms", "3600000")];
    let topic = topic_with(&[100, 101, 10_000], &an_hour).await;
    let folder = TempDir::new().unwrap();
    let redrive = Redrive::start(config_of(&topic, false), &folder).await;
    redrive.await_dead_letters(3).await;
    expiring(&redrive, &topic, 2).await;
    delete_before(&topic, 0, 2).await;
    expiring(&redrive, &topic, 1).await;
    delete_before(&topic, 0, 3).await;
    expiring(&redrive, &topic, 0).await;
    redrive.stop().await;
}

#[tokio::test]
async fn a_body_that_its_age_is_about_to_remove_is_fetched_before() {
    are_fetched_from_a_topic_with(&[("retention.ms", "3600000")]).await;
}

#[tokio::test]
async fn a_body_that_size_may_remove_at_any_time_is_fetched_at_once() {
    let for_ever = ("retention.ms", "-1");
    are_fetched_from_a_topic_with(&[for_ever, ("retention.bytes", "1073741824")]).await;
}

async fn are_fetched_from_a_topic_with(settings: &[(&str, &str)]) {
    let topic = topic_with(&[100, 101, 10_000], settings).await;
    let folder = TempDir::new().unwrap();
    let redrive = Redrive::start(config_of(&topic, true), &folder).await;
    let whole = eventually("the bodies are fetched", async || {
        let letters = letters(&redrive, 3).await;
        let is_whole = letters.iter().all(|letter| letter.body_omitted.is_none());
        is_whole.then_some(letters)
    })
    .await;
    let lengths: Vec<_> = whole.iter().map(length).collect();
    assert_eq!(lengths, [Some(100), Some(101), Some(10_000)]);
    redrive.stop().await;
}

#[tokio::test]
async fn a_body_is_fetched_when_somebody_asks_and_only_from_the_topic_in_which_it_died() {
    let topic = topic_with(&[50, 10_000, 20_000], &[("retention.ms", "-1")]).await;
    let folder = TempDir::new().unwrap();
    let redrive = Redrive::start(config_of(&topic, true), &folder).await;
    let found = letters(&redrive, 3).await;
    let lengths: Vec<_> = found.iter().map(length).collect();
    assert_eq!(lengths, [Some(50), None, None]);
    let reason = found[1].body_omitted.as_deref().unwrap();
    assert!(reason.contains("fetch-bodies"), "{reason}");

    let second = BulkSelection::DeadLetters(vec![found[1].summary.id]);
    let report = fetch(&redrive, &second).await;
    assert_eq!(report.fetched, [found[1].summary.id], "{report:?}");
    let now = redrive
        .store
        .dead_letter(found[1].summary.id)
        .await
        .unwrap();
    assert_eq!((length(&now), now.body_omitted), (Some(10_000), None));
    let actions = redrive.store.audit_actions().await.unwrap();
    assert!(actions.contains(&"body.fetch".to_owned()), "{actions:?}");

    // Made anew under its name, it holds another record at the same place.
    let admin = KafkaAdmin::new(&kafka()).unwrap();
    admin.delete_topic(&topic).await.unwrap();
    eventually("the topic is made anew", async || {
        admin.create_topic(&topic, 1, &[]).await.ok()
    })
    .await;
    produce(&topic, &[300, 300, 300]).await;
    redrive.await_dead_letters(6).await;
    let all = BulkSelection::Filter(Filter::parse("").unwrap());
    let report = fetch(&redrive, &all).await;
    let [(id, reason)] = report.refused.as_slice() else {
        panic!("{report:?}");
    };
    assert_eq!(*id, found[2].summary.id);
    assert!(reason.contains("another record"), "{reason}");
    assert_eq!(report.fetched.len(), 3, "{report:?}");
    let whole = found[..2].iter().map(|letter| letter.summary.id).collect();
    let report = fetch(&redrive, &BulkSelection::DeadLetters(whole)).await;
    let already = |(_, reason): &(DeadLetterId, String)| reason.contains("in the store already");
    assert!(
        report.refused.len() == 2 && report.refused.iter().all(already),
        "{report:?}"
    );
    redrive.stop().await;
}
