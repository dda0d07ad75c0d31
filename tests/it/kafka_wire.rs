//! The sampling client against the real Kafka, and against peers that are none.

use std::time::{Duration, Instant};

use redrive::brokers::kafka::wire::{KafkaSampler, WireError};
use redrive::brokers::kafka::{GroupConsumer, KafkaAdmin, ReplayProducer, StartAt};
use redrive::config::KafkaConfig;
use redrive::domain::{
    ConsumerGroup, GroupKind, GroupSample, KafkaSample, Message, Offset, Partition, TopicName,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::support::kafka_commits::commit_for_groups;
use crate::support::{eventually, kafka, kafka_release, unique};

const TIMEOUT: Duration = Duration::from_secs(5);

fn body(text: &str) -> Message {
    Message {
        body: Some(text.to_owned().into()),
        ..Message::default()
    }
}

async fn topic_with_records(partitions: i32, records: i32) -> TopicName {
    let topic = TopicName::new(unique("wire"));
    KafkaAdmin::new(&kafka())
        .unwrap()
        .create_topic(&topic, partitions, &[])
        .await
        .unwrap();
    let producer = ReplayProducer::new(&kafka(), TIMEOUT).unwrap();
    for index in 0..records {
        producer
            .send(&topic, Partition(index % partitions), &body("x"))
            .await
            .unwrap();
    }
    topic
}

fn group<'a>(sample: &'a KafkaSample, name: &ConsumerGroup) -> Option<&'a GroupSample> {
    sample.groups.iter().find(|group| group.group == *name)
}

#[tokio::test]
async fn a_sample_has_offsets_members_and_commits() {
    let topic = topic_with_records(2, 6).await;
    let name = ConsumerGroup::new(unique("group"));
    let topics = [topic.clone()];
    let consumer = GroupConsumer::subscribe(&kafka(), &name, &topics, StartAt::Earliest).unwrap();
    let mut read = 0;
    while read < 4 {
        if let Some(record) = consumer.next(TIMEOUT).await.unwrap() {
            consumer.commit(&record).unwrap();
            read += 1;
        }
    }
    let mut sampler = KafkaSampler::new(&kafka(), TIMEOUT);
    let sample = eventually("the commits are seen", async || {
        let sample = sampler.sample().await.unwrap();
        let committed = group(&sample, &name)
            .map_or(0, |group| group.committed.iter().map(|c| c.offset.0).sum());
        (committed == 4).then_some(sample)
    })
    .await;

    let group = group(&sample, &name).unwrap();
    assert_eq!(
        (group.kind, group.state.as_str()),
        (GroupKind::Classic, "Stable")
    );
    let assignment = &group.members[0].assignment;
    assert_eq!(assignment[0].0, topic);
    assert_eq!(assignment[0].1.len(), 2);
    let described = sample
        .topics
        .iter()
        .find(|found| found.topic == topic)
        .unwrap();
    assert!(described.topic_id.is_some());
    for partition in &described.partitions {
        assert_eq!(partition.log_start, Some(Offset(0)));
        assert_eq!(partition.high_watermark, Some(Offset(3)));
        assert_eq!(partition.last_stable, Some(Offset(3)));
    }
    assert!(sample.cost.requests <= 20, "{:?}", sample.cost);
}

#[tokio::test]
async fn the_number_of_requests_does_not_depend_on_the_number_of_groups() {
    let topic = topic_with_records(1, 1).await;
    let mut sampler = KafkaSampler::new(&kafka(), TIMEOUT);
    sampler.sample().await.unwrap();
    let before = sampler.sample().await.unwrap();
    let prefix = unique("many");
    let names = (0..200).map(|index| format!("{prefix}-{index}"));
    commit_for_groups(topic.as_str(), &names.collect::<Vec<_>>(), Offset(1)).await;
    let after = sampler.sample().await.unwrap();
    let of_test = |found: &&GroupSample| found.group.as_str().starts_with(&prefix);
    let groups: Vec<_> = after.groups.iter().filter(of_test).collect();
    assert_eq!(groups.len(), 200);
    for group in groups {
        assert_eq!((group.state.as_str(), group.members.len()), ("Empty", 0));
        assert_eq!(group.committed[0].offset, Offset(1));
    }
    if kafka_release() < (3, 0) {
        // Such a broker is asked for the offsets of one group at a time.
        assert!(
            after.cost.requests <= all_groups(&after) + 20,
            "{:?}",
            after.cost
        );
        return;
    }
    // One more if a group of another test speaks the protocol of KIP-848, and two if the groups of all
    // tests on this broker pass another thousand.
    assert!(
        after.cost.requests <= before.cost.requests + 3,
        "{:?} {:?}",
        before.cost,
        after.cost
    );
}

fn all_groups(sample: &KafkaSample) -> u64 {
    u64::try_from(sample.groups.len()).unwrap()
}

/// A peer that answers every connection with these bytes and then stays silent.
async fn peer_that_answers(answer: &'static [u8]) -> KafkaConfig {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut request = [0; 64];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(answer).await;
                let _ = stream.read(&mut request).await;
                std::future::pending::<()>().await;
            });
        }
    });
    KafkaConfig {
        bootstrap_servers: vec![address.to_string()],
        ..KafkaConfig::default()
    }
}

async fn failure_of(config: &KafkaConfig) -> WireError {
    let started = Instant::now();
    let mut sampler = KafkaSampler::new(config, Duration::from_secs(1));
    let error = sampler.sample().await.unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(30), "it hung");
    match error {
        WireError::NoBroker { source, .. } => *source,
        other => other,
    }
}

#[tokio::test]
async fn a_peer_that_is_no_kafka_gives_an_error_that_says_so() {
    let silent = failure_of(&peer_that_answers(b"").await).await;
    assert!(matches!(silent, WireError::Timeout { .. }), "{silent}");
    let huge = failure_of(&peer_that_answers(b"\x7f\xff\xff\xff").await).await;
    assert!(matches!(huge, WireError::AnswerTooLarge { .. }), "{huge}");
    let http = failure_of(&peer_that_answers(b"HTTP/1.1 400 Bad Request\r\n\r\n").await).await;
    assert!(matches!(http, WireError::AnswerTooLarge { .. }), "{http}");
    let nonsense = failure_of(&peer_that_answers(b"\0\0\0\x08\0\0\0\0\0\0\xff\xff").await).await;
    assert!(matches!(nonsense, WireError::Decode { .. }), "{nonsense}");
}

#[tokio::test]
async fn a_broker_that_is_down_is_named() {
    let config = KafkaConfig {
        bootstrap_servers: vec!["127.0.0.1:1".to_owned()],
        ..KafkaConfig::default()
    };
    let error = failure_of(&config).await;
    assert!(error.to_string().contains("127.0.0.1:1"), "{error}");
}
