//! Dead letters as the store keeps them, without a broker: what the replay engines start from.

use anyhow::{Result, ensure};
use bytes::Bytes;
use redrive::dialects;
use redrive::domain::{
    Classification, ClusterName, Custody, EventIdentity, Header, Message, NewDeadLetter, Offset,
    Partition, Position, QueueName, Timestamp, TopicName, VhostName, conventions,
};
use redrive::store::Store;

const STORED_AT_ONCE: u64 = 1_000;

/// Where the dead letters came from and go back to.
#[derive(Clone)]
pub(crate) enum Origin {
    Topic(TopicName),
    Queue(VhostName),
}

/// Stores so many dead letters with bodies of so many bytes.
pub(crate) async fn fill(
    store: &Store,
    cluster: &ClusterName,
    origin: &Origin,
    (count, body_bytes): (u64, usize),
) -> Result<()> {
    let session = store.begin_custody().await?;
    let mut first = 0;
    while first < count {
        let next = (first + STORED_AT_ONCE).min(count);
        let letters: Vec<NewDeadLetter> = (first..next)
            .map(|number| letter(cluster, origin, number, body_bytes))
            .collect();
        let now = Timestamp::now();
        let stored = match origin {
            Origin::Topic(_) => {
                let indexed = store.index_kafka_batch(cluster, &letters, &[], &[], now);
                indexed.await?.len()
            }
            Origin::Queue(_) => store.take_custody(&session, &letters, now).await?.len(),
        };
        ensure!(stored == letters.len(), "only {stored} were stored");
        first = next;
    }
    store.acknowledged(&session).await?;
    Ok(())
}

fn letter(cluster: &ClusterName, origin: &Origin, number: u64, body_bytes: usize) -> NewDeadLetter {
    let offset = i64::try_from(number).unwrap_or(i64::MAX);
    let (position, custody, mut headers) = match origin {
        Origin::Topic(topic) => {
            let position = Position::Kafka {
                topic: TopicName::new(format!("{topic}.dlq")),
                topic_id: None,
                partition: Partition(0),
                offset: Offset(offset),
            };
            let from = [
                Header::text(conventions::ORIGINAL_TOPIC, topic.to_string()),
                Header::text(conventions::ORIGINAL_PARTITION, (number % 4).to_string()),
                Header::text(conventions::ORIGINAL_OFFSET, (number / 4).to_string()),
            ];
            (position, Custody::Broker, from.to_vec())
        }
        Origin::Queue(vhost) => {
            let position = Position::RabbitMq {
                vhost: vhost.clone(),
                queue: QueueName::new("orders.dead"),
                fingerprint: format!("event-{number}"),
            };
            (position, Custody::Store, Vec::new())
        }
    };
    headers.extend([
        Header::text(conventions::EVENT_ID, format!("event-{number}")),
        Header::text(conventions::EVENT_TYPE, "OrderCreated".to_owned()),
        Header::text("tenant", format!("tenant-{}", number % 50)),
        Header::text(
            conventions::ERROR_CLASS,
            "PaymentGatewayTimeoutException".to_owned(),
        ),
        Header::text(
            conventions::ERROR_MESSAGE,
            "the gateway did not answer".to_owned(),
        ),
    ]);
    let order = format!("{{\"orderId\":\"ord-{number}\",\"note\":\"");
    let padding = body_bytes.saturating_sub(order.len() + 2);
    let message = Message {
        key: matches!(origin, Origin::Topic(_)).then(|| Bytes::from(format!("ord-{number}"))),
        body: Some(Bytes::from(format!("{order}{}\"}}", "x".repeat(padding)))),
        headers,
        properties: None,
    };
    NewDeadLetter {
        cluster: cluster.clone(),
        decoded: dialects::decode(&position, &message),
        position,
        message,
        body_omitted: None,
        dead_at: Timestamp::now(),
        event: EventIdentity::default(),
        classification: Classification {
            group: "v1:bench".into(),
            title: "bench".to_owned(),
            explanation: "grouped by bench".to_owned(),
        },
        custody,
        replay_id: None,
        redelivered: false,
    }
}
