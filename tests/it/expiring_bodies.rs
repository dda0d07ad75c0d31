//! A body that is too large for the store, and the retention of its topic.

use std::time::Duration;

use bytes::Bytes;
use redrive::brokers::kafka::{KafkaAdmin, ReplayProducer};
use redrive::config::Config;
use redrive::domain::{Message, Partition, TopicName};
use tempfile::TempDir;

use crate::intake::{Redrive, config};
use crate::kafka_edges::delete_before;
use crate::support::{eventually, kafka, unique};

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
    let topic = TopicName::new(unique("expiring.dlq"));
    let admin = KafkaAdmin::new(&kafka()).unwrap();
    let an_hour = [("retention.ms", "3600000")];
    admin.create_topic(&topic, 1, &an_hour).await.unwrap();
    let producer = ReplayProducer::new(&kafka(), Duration::from_secs(10)).unwrap();
    for length in [100, 101, 10_000] {
        let message = Message {
            body: Some(Bytes::from(vec![b'x'; length])),
            ..Message::default()
        };
        let sent = producer.enqueue(&topic, Partition(0), &message).unwrap();
        sent.wait().await.unwrap();
    }
    let mut config = Config {
        kafka: vec![kafka()],
        ..config()
    };
    config.dead_letters.kafka_topics = vec![topic.to_string()];
    config.dead_letters.body_limit_bytes = 100;
    let folder = TempDir::new().unwrap();
    let redrive = Redrive::start(config, &folder).await;
    redrive.await_dead_letters(3).await;
    expiring(&redrive, &topic, 2).await;
    delete_before(&topic, 0, 2).await;
    expiring(&redrive, &topic, 1).await;
    delete_before(&topic, 0, 3).await;
    expiring(&redrive, &topic, 0).await;
    redrive.stop().await;
}
