//! What goes wrong at the edges of a log: transactions, offsets that are gone, large batches, other
//! group protocols.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{Consumer as _, StreamConsumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{Offset as LogOffset, TopicPartitionList};
use redrive::brokers::kafka::wire::KafkaSampler;
use redrive::brokers::kafka::{
    AssignedPartition, DlqConsumer, KafkaAdmin, KafkaError, ReplayProducer, ScanResult, SendError,
    scan_for_headers,
};
use redrive::domain::{AmqpValue, GroupKind, Header, Message, Offset, Partition, TopicName};

use crate::support::{eventually, kafka, kafka_release, required, unique};

const TIMEOUT: Duration = Duration::from_secs(10);

async fn topic(partitions: i32) -> TopicName {
    let topic = TopicName::new(unique("edges"));
    let admin = KafkaAdmin::new(&kafka()).unwrap();
    admin.create_topic(&topic, partitions, &[]).await.unwrap();
    topic
}

fn client() -> ClientConfig {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", required("REDRIVE_TEST_KAFKA"));
    client
}

fn with_id(id: &str) -> Message {
    Message {
        headers: vec![Header::text("x-replay-id", id)],
        ..Message::default()
    }
}

async fn send(topic: &TopicName, partition: i32, messages: &[Message]) {
    let producer = ReplayProducer::new(&kafka(), TIMEOUT).unwrap();
    let enqueue = |message| {
        producer
            .enqueue(topic, Partition(partition), message)
            .unwrap()
    };
    let pending: Vec<_> = messages.iter().map(enqueue).collect();
    for delivery in pending {
        delivery.wait().await.unwrap();
    }
}

pub(crate) async fn delete_before(topic: &TopicName, partition: i32, offset: i64) {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic.as_str(), partition, LogOffset::Offset(offset))
        .unwrap();
    let admin: AdminClient<DefaultClientContext> = client().create().unwrap();
    admin
        .delete_records(&list, &AdminOptions::new())
        .await
        .unwrap();
}

async fn scan(
    topic: &TopicName,
    from: i64,
    to: i64,
    wanted: &str,
) -> Result<ScanResult, KafkaError> {
    let range = (Offset(from), Offset(to));
    let wanted: HashSet<String> = [wanted.to_owned()].into();
    scan_for_headers(
        &kafka(),
        (topic, Partition(0)),
        range,
        "x-replay-id",
        &wanted,
    )
    .await
}

/// One record and the marker that ends its transaction.
pub(crate) fn write_transaction(
    topic: &TopicName,
    end: fn(&BaseProducer) -> rdkafka::error::KafkaResult<()>,
) {
    let producer: BaseProducer = client()
        .set("transactional.id", unique("edges"))
        .create()
        .unwrap();
    producer.init_transactions(TIMEOUT).unwrap();
    producer.begin_transaction().unwrap();
    let record = BaseRecord::<(), [u8]>::to(topic.as_str()).partition(0);
    producer
        .send(record.payload(b"transactional".as_slice()))
        .unwrap();
    producer.flush(TIMEOUT).unwrap();
    end(&producer).unwrap();
}

#[tokio::test]
async fn a_scan_up_to_a_transaction_marker_is_complete() {
    for end in [
        (|producer| producer.commit_transaction(TIMEOUT)) as fn(&BaseProducer) -> _,
        |producer| producer.abort_transaction(TIMEOUT),
    ] {
        let topic = topic(1).await;
        let written = topic.clone();
        tokio::task::spawn_blocking(move || write_transaction(&written, end))
            .await
            .unwrap();
        let admin = KafkaAdmin::new(&kafka()).unwrap();
        let high = eventually("the marker is replicated", async || {
            let high = admin.watermarks(&topic, Partition(0)).await.unwrap().high;
            (high == Offset(2)).then_some(high)
        })
        .await;
        let started = Instant::now();
        let result = scan(&topic, 0, high.0, "absent").await.unwrap();
        assert!(result.complete && !result.gap, "{result:?}");
        assert!(!result.contiguous, "a marker is no record: {result:?}");
        assert!(started.elapsed() < Duration::from_secs(8), "it idled");
    }
}

#[tokio::test]
async fn a_scan_that_begins_below_the_log_start_reports_the_gap() {
    let topic = topic(1).await;
    send(&topic, 0, &["one", "two", "three"].map(with_id)).await;
    delete_before(&topic, 0, 2).await;
    let result = scan(&topic, 0, 3, "three").await.unwrap();
    assert!(result.gap && result.complete, "{result:?}");
    assert_eq!(result.found.get("three"), Some(&Offset(2)));
}

#[tokio::test]
async fn a_scan_beyond_the_end_of_the_log_is_not_complete() {
    let topic = topic(1).await;
    send(&topic, 0, &[with_id("one")]).await;
    let result = scan(&topic, 0, 50, "absent").await.unwrap();
    assert!(!result.complete, "{result:?}");
}

#[tokio::test]
async fn an_offset_that_is_gone_is_an_error_even_among_other_records() {
    let topic = topic(2).await;
    let records = vec![Message::default(); 50];
    send(&topic, 0, &records).await;
    send(&topic, 1, &records).await;
    delete_before(&topic, 1, 40).await;
    let consumer = DlqConsumer::new(&kafka()).unwrap();
    let start = |partition| AssignedPartition {
        topic: topic.clone(),
        partition: Partition(partition),
        offset: Offset(0),
    };
    consumer.assign(&[start(0), start(1)]).unwrap();
    // While these are written, the client fetches: the error then lies among records.
    send(&topic, 0, &records).await;
    let mut read = 0;
    let deadline = Instant::now() + TIMEOUT;
    loop {
        match consumer.next_batch(1_000, Duration::from_millis(500)).await {
            Ok(batch) => read += batch.len(),
            Err(KafkaError::Consume(_)) => break,
            Err(other) => panic!("{other}"),
        }
        assert!(
            Instant::now() < deadline,
            "{read} records, but no word of the gap"
        );
    }
}

#[tokio::test]
async fn a_batch_is_bounded_in_bytes() {
    let topic = topic(1).await;
    let body = Bytes::from(vec![b'x'; 900_000]);
    let large = Message {
        body: Some(body),
        ..Message::default()
    };
    let consumer = DlqConsumer::new(&kafka()).unwrap();
    let start = AssignedPartition {
        topic: topic.clone(),
        partition: Partition(0),
        offset: Offset(0),
    };
    consumer.assign(&[start]).unwrap();
    // The client fetches while they are written, so that many wait when the first batch is asked for.
    send(&topic, 0, &vec![large; 30]).await;
    let mut read = 0;
    while read < 30 {
        let batch = consumer.next_batch(1_000, TIMEOUT).await.unwrap();
        assert!(!batch.is_empty(), "{read} of 30 records came");
        let size: usize = batch.iter().map(|record| record.message.size()).sum();
        assert!(size <= 9 * 1024 * 1024, "a batch of {size} bytes");
        read += batch.len();
    }
}

#[tokio::test]
async fn a_typed_header_of_rabbitmq_is_refused_instead_of_lost() {
    let topic = topic(1).await;
    let message = Message {
        headers: vec![Header::amqp("count", AmqpValue::I64(3))],
        ..Message::default()
    };
    let producer = ReplayProducer::new(&kafka(), TIMEOUT).unwrap();
    let result = producer.send(&topic, Partition(0), &message).await;
    assert!(
        matches!(result, Err(SendError::NotPersisted { .. })),
        "{result:?}"
    );
}

#[tokio::test]
async fn a_group_of_the_new_protocol_is_sampled() {
    if kafka_release() < (4, 0) {
        // Brokers before KIP-848 was released have no such groups.
        return;
    }
    let topic = topic(2).await;
    send(&topic, 0, &[Message::default()]).await;
    let group = unique("kip848");
    let consumer: StreamConsumer = client()
        .set("group.id", &group)
        .set("group.protocol", "consumer")
        .set("client.id", "edges")
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        .create()
        .unwrap();
    consumer.subscribe(&[topic.as_str()]).unwrap();
    let record = tokio::time::timeout(TIMEOUT, consumer.recv())
        .await
        .unwrap()
        .unwrap();
    consumer
        .commit_message(&record, rdkafka::consumer::CommitMode::Sync)
        .unwrap();
    let mut sampler = KafkaSampler::new(&kafka(), TIMEOUT);
    let found = eventually("the group has an assignment and a commit", async || {
        let sample = sampler.sample().await.unwrap();
        let mut groups = sample.groups.into_iter();
        let seen = groups.find(|seen| seen.group.as_str() == group)?;
        (seen.members.first()?.assignment.len() == 1).then_some(seen)
    })
    .await;
    assert_eq!(found.kind, GroupKind::Consumer);
    assert_eq!(found.state, "Stable");
    assert_eq!(found.members[0].client_id, "edges");
    let (assigned, mut partitions) = found.members[0].assignment[0].clone();
    partitions.sort();
    assert_eq!(
        (assigned, partitions),
        (topic.clone(), vec![Partition(0), Partition(1)])
    );
    assert_eq!(found.committed.len(), 1);
    assert_eq!(found.committed[0].offset, Offset(1));
}
