//! What replays are compared with: a raw idempotent producer with the same records, and a shovel that moves
//! the same messages on.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use lapin::{Channel, Connection, ConnectionProperties};
use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;
use redrive::brokers::kafka::{AssignedPartition, DlqConsumer, KafkaAdmin, KafkaRecord};
use redrive::config::{KafkaConfig, RabbitMqConfig};
use redrive::domain::{HeaderValue, Offset, Partition, TopicName, VhostName};

pub(crate) const REPLAYED: &str = "orders";
const SHOVELLED: &str = "orders-shovelled";
const POLL: Duration = Duration::from_millis(20);
const LIMIT: Duration = Duration::from_mins(10);

/// Everything that a topic holds.
pub(crate) async fn records_of(
    config: &KafkaConfig,
    topic: &TopicName,
    count: u64,
) -> Result<Vec<KafkaRecord>> {
    let admin = KafkaAdmin::new(config)?;
    let described = admin.topic(topic).await?.context("the topic is gone")?;
    let assigned: Vec<AssignedPartition> = (0..)
        .zip(&described.partitions)
        .map(|(partition, _)| AssignedPartition {
            topic: topic.clone(),
            partition: Partition(partition),
            offset: Offset(0),
        })
        .collect();
    let consumer = DlqConsumer::new(config)?;
    consumer.assign(&assigned)?;
    let mut records = Vec::new();
    while (records.len() as u64) < count {
        let batch = consumer.next_batch(1_000, Duration::from_secs(20)).await?;
        ensure!(
            !batch.is_empty(),
            "only {} of {count} landed",
            records.len()
        );
        records.extend(batch);
    }
    Ok(records)
}

/// Seconds until the broker has acknowledged all records.
pub(crate) fn produce(
    config: &KafkaConfig,
    topic: &TopicName,
    records: &[KafkaRecord],
) -> Result<f64> {
    let producer: ThreadedProducer<DefaultProducerContext> = ClientConfig::new()
        .set("bootstrap.servers", config.bootstrap_servers.join(","))
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .create()?;
    let begun = Instant::now();
    for record in records {
        send(&producer, topic, record)?;
    }
    producer.flush(Duration::from_mins(2))?;
    Ok(begun.elapsed().as_secs_f64())
}

fn send(
    producer: &ThreadedProducer<DefaultProducerContext>,
    topic: &TopicName,
    record: &KafkaRecord,
) -> Result<()> {
    let message = &record.message;
    let mut headers = OwnedHeaders::new_with_capacity(message.headers.len());
    for header in &message.headers {
        let value = match &header.value {
            HeaderValue::Bytes(bytes) => Some(bytes.as_ref()),
            _ => None,
        };
        let key = std::str::from_utf8(&header.name)?;
        headers = headers.insert(Header { key, value });
    }
    let mut outgoing = BaseRecord::<[u8], [u8]>::to(topic.as_str())
        .partition(record.partition.0)
        .headers(headers);
    outgoing.key = message.key.as_deref();
    outgoing.payload = message.body.as_deref();
    while let Err((error, refused)) = producer.send(outgoing) {
        match error {
            KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) => {
                std::thread::sleep(Duration::from_millis(1));
                outgoing = refused;
            }
            error => return Err(error).context("the raw producer failed"),
        }
    }
    Ok(())
}

/// A virtual host with the queue of the replays and the one that the shovel fills from it.
pub(crate) struct Queues {
    http: reqwest::Client,
    management: String,
    amqp: String,
    vhost: String,
    channel: Channel,
    connection: Connection,
}

impl Queues {
    pub(crate) async fn create(config: &RabbitMqConfig, vhost: &VhostName) -> Result<Self> {
        let http = reqwest::Client::new();
        let management = config
            .management_url
            .expose()
            .trim_end_matches('/')
            .to_owned();
        let created = http.put(format!("{management}/api/vhosts/{vhost}")).send();
        created.await?.error_for_status()?;
        let (server, _) = config
            .amqp_url
            .expose()
            .rsplit_once('/')
            .context("no vhost")?;
        let amqp = format!("{server}/{vhost}");
        let connection = Connection::connect(&amqp, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        for queue in [REPLAYED, SHOVELLED] {
            let durable = QueueDeclareOptions {
                durable: true,
                ..QueueDeclareOptions::default()
            };
            let declared = channel.queue_declare(queue.into(), durable, FieldTable::default());
            declared.await?;
        }
        Ok(Self {
            http,
            management,
            amqp,
            vhost: vhost.to_string(),
            channel,
            connection,
        })
    }

    /// Waits until a queue holds so many messages.
    pub(crate) async fn holds(&self, queue: &str, count: u64) -> Result<()> {
        let deadline = Instant::now() + LIMIT;
        loop {
            let passive = QueueDeclareOptions {
                passive: true,
                ..QueueDeclareOptions::default()
            };
            let declared = self
                .channel
                .queue_declare(queue.into(), passive, FieldTable::default());
            let messages = declared.await?.message_count();
            if u64::from(messages) >= count {
                return Ok(());
            }
            ensure!(
                Instant::now() < deadline,
                "{queue} holds {messages} of {count}"
            );
            tokio::time::sleep(POLL).await;
        }
    }

    /// Seconds until a shovel with confirms has moved all messages on, from the moment in which it moves
    /// the first.
    pub(crate) async fn shovel(&self, count: u64) -> Result<f64> {
        let value = serde_json::json!({ "value": {
            "src-protocol": "amqp091", "src-uri": self.amqp, "src-queue": REPLAYED,
            "dest-protocol": "amqp091", "dest-uri": self.amqp, "dest-queue": SHOVELLED,
            "ack-mode": "on-confirm",
        }});
        let url = format!(
            "{}/api/parameters/shovel/{}/bench",
            self.management, self.vhost
        );
        let asked = self.http.put(url).json(&value).send().await?;
        asked
            .error_for_status()
            .context("are the plugins rabbitmq_shovel and rabbitmq_shovel_management enabled?")?;
        self.holds(SHOVELLED, 1).await?;
        let begun = Instant::now();
        self.holds(SHOVELLED, count).await?;
        Ok(begun.elapsed().as_secs_f64())
    }

    pub(crate) async fn remove(self) -> Result<()> {
        self.connection.close(200, "done".into()).await?;
        let url = format!("{}/api/vhosts/{}", self.management, self.vhost);
        self.http.delete(url).send().await?.error_for_status()?;
        Ok(())
    }
}
