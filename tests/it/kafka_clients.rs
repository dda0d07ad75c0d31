//! Producing, consuming and scanning on the real Kafka, byte by byte.

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use redrive::brokers::kafka::{
    AssignedPartition, DlqConsumer, KafkaAdmin, KafkaRecord, ReplayProducer, SendError,
    scan_for_headers,
};
use redrive::config::KafkaConfig;
use redrive::domain::{Header, HeaderValue, Message, Offset, Partition, TopicName};

use crate::support::{eventually, kafka, unique};

const TIMEOUT: Duration = Duration::from_secs(10);

async fn topic() -> TopicName {
    let topic = TopicName::new(unique("clients"));
    KafkaAdmin::new(&kafka())
        .unwrap()
        .create_topic(&topic, 1, &[])
        .await
        .unwrap();
    topic
}

fn producer() -> ReplayProducer {
    ReplayProducer::new(&kafka(), TIMEOUT).unwrap()
}

async fn read(topic: &TopicName, count: usize) -> Vec<KafkaRecord> {
    let consumer = DlqConsumer::new(&kafka()).unwrap();
    let start = AssignedPartition {
        topic: topic.clone(),
        partition: Partition(0),
        offset: Offset(0),
    };
    consumer.assign(&[start]).unwrap();
    let mut records: Vec<KafkaRecord> = Vec::new();
    while records.len() < count {
        let batch = consumer.next_batch(100, TIMEOUT).await.unwrap();
        assert!(
            !batch.is_empty(),
            "{} of {count} records came",
            records.len()
        );
        records.extend(batch);
    }
    records
}

fn header(name: &'static [u8], value: HeaderValue) -> Header {
    Header {
        name: Bytes::from_static(name),
        value,
    }
}

#[tokio::test]
async fn a_record_survives_the_way_there_and_back_exactly() {
    let topic = topic().await;
    let message = Message {
        key: Some(Bytes::new()),
        body: None,
        headers: vec![
            header(b"a", HeaderValue::Bytes(Bytes::from_static(b"1"))),
            header(
                b"\xff\xfe",
                HeaderValue::Bytes(Bytes::from_static(b"\x00\xff")),
            ),
            header(b"a", HeaderValue::Null),
            header(b"a", HeaderValue::Bytes(Bytes::new())),
        ],
        properties: None,
    };
    let other = Message {
        key: None,
        body: Some(Bytes::new()),
        ..Message::default()
    };
    let producer = producer();
    producer.send(&topic, Partition(0), &message).await.unwrap();
    producer.send(&topic, Partition(0), &other).await.unwrap();
    let records = read(&topic, 2).await;
    assert_eq!(records[0].message, message);
    assert_eq!(records[1].message, other);
    assert!(records[0].timestamp.is_some());
}

#[tokio::test]
async fn records_arrive_in_the_order_in_which_they_were_handed_over() {
    let topic = topic().await;
    let producer = producer();
    let mut pending = Vec::new();
    for index in 0..500 {
        let message = Message {
            body: Some(index.to_string().into()),
            ..Message::default()
        };
        pending.push(producer.enqueue(&topic, Partition(0), &message).unwrap());
    }
    for (index, delivery) in pending.into_iter().enumerate() {
        assert_eq!(
            delivery.wait().await.unwrap().offset,
            Offset(i64::try_from(index).unwrap())
        );
    }
    let bodies: Vec<_> = read(&topic, 500)
        .await
        .into_iter()
        .map(|r| r.message.body.unwrap())
        .collect();
    let expected: Vec<_> = (0..500)
        .map(|index| Bytes::from(index.to_string()))
        .collect();
    assert_eq!(bodies, expected);
}

#[tokio::test]
async fn a_record_for_a_partition_that_is_not_there_is_surely_not_sent() {
    let topic = topic().await;
    let short = ReplayProducer::new(&kafka(), Duration::from_secs(2)).unwrap();
    let result = short.send(&topic, Partition(7), &Message::default()).await;
    assert!(
        matches!(result, Err(SendError::NotPersisted { .. })),
        "{result:?}"
    );
}

/// librdkafka was seen to call such records "not persisted" that the log held.
#[tokio::test]
async fn a_record_that_times_out_is_never_called_surely_not_sent() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = closed.local_addr().unwrap().to_string();
    drop(closed);
    let unreachable = KafkaConfig {
        bootstrap_servers: vec![address],
        ..kafka()
    };
    let producer = ReplayProducer::new(&unreachable, Duration::from_secs(1)).unwrap();
    let topic = TopicName::new("any");
    let result = producer
        .send(&topic, Partition(0), &Message::default())
        .await;
    assert!(
        matches!(result, Err(SendError::PossiblyPersisted { .. })),
        "{result:?}"
    );
}

#[tokio::test]
async fn a_scan_finds_what_was_sent_and_proves_what_was_not() {
    let topic = topic().await;
    let producer = producer();
    let with_id = |id: &str| Message {
        headers: vec![Header::text("x-replay-id", id)],
        ..Message::default()
    };
    for id in ["one", "two", "three"] {
        producer
            .send(&topic, Partition(0), &with_id(id))
            .await
            .unwrap();
    }
    let wanted: HashSet<String> = ["one", "three", "four"].map(str::to_owned).into();
    let scan = async |from, to| {
        let range = (Offset(from), Offset(to));
        let place = (&topic, Partition(0));
        scan_for_headers(&kafka(), place, range, "x-replay-id", &wanted)
            .await
            .unwrap()
    };
    let all = scan(0, 3).await;
    assert!(all.complete && !all.gap && all.contiguous);
    assert_eq!(all.found.get("one"), Some(&Offset(0)));
    assert_eq!(all.found.get("three"), Some(&Offset(2)));
    assert_eq!(all.found.get("four"), None);
    let late = scan(1, 3).await;
    assert!(late.complete && !late.found.contains_key("one"));
    let nothing = scan(3, 3).await;
    assert!(nothing.complete && nothing.found.is_empty());
}

#[tokio::test]
async fn a_topic_is_described_as_it_is() {
    let admin = KafkaAdmin::new(&kafka()).unwrap();
    let name = TopicName::new(unique("described"));
    assert_eq!(admin.topic(&name).await.unwrap(), None);
    admin
        .create_topic(&name, 3, &[("retention.ms", "60000")])
        .await
        .unwrap();
    admin.create_topic(&name, 3, &[]).await.unwrap();
    let topic = eventually("the topic is there", async || {
        admin.topic(&name).await.unwrap()
    })
    .await;
    assert_eq!(topic.partitions.len(), 3);
    assert_eq!(topic.partitions[0].in_sync_replicas, 1);
    let settings = eventually("the settings are known", async || {
        admin.topic_config(&name).await.ok()
    })
    .await;
    assert_eq!(
        settings.get("retention.ms").map(String::as_str),
        Some("60000")
    );
    let watermarks = eventually("the partition has a leader", async || {
        admin.watermarks(&name, Partition(2)).await.ok()
    })
    .await;
    assert_eq!((watermarks.low, watermarks.high), (Offset(0), Offset(0)));
    admin.delete_topic(&name).await.unwrap();
}
