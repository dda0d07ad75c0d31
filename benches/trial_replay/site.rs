//! The destination of one episode: a topic or queues of its own, behind a proxy.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use lapin::options::{BasicAckOptions, BasicGetOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, ConnectionProperties};
use redrive::brokers::kafka::{AssignedPartition, DlqConsumer, KafkaAdmin};
use redrive::config::KafkaConfig;
use redrive::domain::conventions::REPLAY_ID;
use redrive::domain::{Offset, Partition, QueueName, TopicName, VhostName};
use uuid::Uuid;

use crate::letters::Target;
use crate::proxy::Proxy;
use crate::truth::Arrived;

const PARTITIONS: i32 = 2;
/// Each is a batch of its own.
pub(crate) const QUEUES: usize = 3;

/// Where the brokers of the trial are.
#[derive(Clone, Debug)]
pub(crate) struct Addresses {
    pub(crate) kafka: String,
    pub(crate) amqp: String,
    pub(crate) management_url: String,
}

pub(crate) struct Site {
    addresses: Addresses,
    pub(crate) target: Target,
    pub(crate) proxy: Proxy,
}

impl Site {
    /// A topic; its clients come through the lane's listener.
    pub(crate) async fn topic(addresses: &Addresses, lane: (u16, u16)) -> Result<Self> {
        let proxy = Proxy::listen(lane.0, lane.1).await?;
        let topic = TopicName::new(format!("trial-{}", Uuid::new_v4().simple()));
        let admin = KafkaAdmin::new(&kafka(addresses))?;
        admin.create_topic(&topic, PARTITIONS, &[]).await?;
        while admin.topic(&topic).await?.is_none() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(Self {
            addresses: addresses.clone(),
            target: Target::Topic(topic),
            proxy,
        })
    }

    /// A virtual host with queues.
    pub(crate) async fn queues(addresses: &Addresses) -> Result<Self> {
        let (_, port) = addresses.amqp.rsplit_once(':').context("no AMQP port")?;
        let proxy = Proxy::listen(0, port.parse()?).await?;
        let vhost = VhostName::new(format!("trial-{}", Uuid::new_v4().simple()));
        let url = format!("{}/api/vhosts/{vhost}", addresses.management_url);
        let created = reqwest::Client::new().put(url).send().await?;
        ensure!(
            created.status().is_success(),
            "no vhost: {}",
            created.status()
        );
        let queues: Vec<QueueName> = (0..QUEUES)
            .map(|number| QueueName::new(format!("orders-{number}")))
            .collect();
        let site = Self {
            addresses: addresses.clone(),
            target: Target::Queues(vhost, queues.clone()),
            proxy,
        };
        let (connection, channel) = site.channel().await?;
        for queue in &queues {
            declare(&channel, queue, false).await?;
        }
        connection.close(200, "done".into()).await?;
        Ok(site)
    }

    /// The broker's section of `redrive.toml`.
    pub(crate) fn configuration(&self) -> String {
        let address = self.proxy.address;
        match &self.target {
            Target::Topic(_) => {
                format!("[[kafka]]\nname = 'kafka'\nbootstrap_servers = ['{address}']\n")
            }
            Target::Queues(vhost, _) => format!(
                "[[rabbitmq]]\nname = 'rabbitmq'\namqp_url = 'amqp://guest:guest@{address}/{vhost}'\n\
                 management_url = '{}'\n",
                self.addresses.management_url
            ),
        }
    }

    /// How many messages the destination holds, without touching them.
    pub(crate) async fn depth(&self) -> Result<u64> {
        match &self.target {
            Target::Topic(topic) => {
                let admin = KafkaAdmin::new(&kafka(&self.addresses))?;
                let mut sum = 0;
                for partition in 0..PARTITIONS {
                    sum += admin.watermarks(topic, Partition(partition)).await?.high.0;
                }
                Ok(u64::try_from(sum)?)
            }
            Target::Queues(_, queues) => {
                let (connection, channel) = self.channel().await?;
                let mut sum = 0;
                for queue in queues {
                    sum += u64::from(declare(&channel, queue, true).await?);
                }
                connection.close(200, "done".into()).await?;
                Ok(sum)
            }
        }
    }

    /// Reads everything that the destination holds.
    pub(crate) async fn read(&self) -> Result<Arrived> {
        match &self.target {
            Target::Topic(topic) => self.read_topic(topic).await,
            Target::Queues(_, queues) => self.drain(queues).await,
        }
    }

    async fn read_topic(&self, topic: &TopicName) -> Result<Arrived> {
        let config = kafka(&self.addresses);
        let admin = KafkaAdmin::new(&config)?;
        let mut copies: HashMap<String, Vec<(i32, i64)>> = HashMap::new();
        for partition in (0..PARTITIONS).map(Partition) {
            let end = admin.watermarks(topic, partition).await?.high.0;
            let consumer = DlqConsumer::new(&config)?;
            let start = AssignedPartition {
                topic: topic.clone(),
                partition,
                offset: Offset(0),
            };
            consumer.assign(&[start])?;
            let mut next = 0;
            while next < end {
                let batch = consumer.next_batch(1000, Duration::from_secs(20)).await?;
                ensure!(
                    !batch.is_empty(),
                    "{topic} could be read to {next} of {end}"
                );
                for record in batch {
                    let id = record.message.header_text(REPLAY_ID).unwrap_or("none");
                    let at = (partition.0, record.offset.0);
                    copies.entry(id.to_owned()).or_default().push(at);
                    next = record.offset.0 + 1;
                }
            }
        }
        Ok(Arrived { copies })
    }

    async fn drain(&self, queues: &[QueueName]) -> Result<Arrived> {
        let (connection, channel) = self.channel().await?;
        let mut copies: HashMap<String, Vec<(i32, i64)>> = HashMap::new();
        for (queue, number) in queues.iter().zip(0..) {
            let mut position = 0;
            loop {
                let options = BasicGetOptions { no_ack: false };
                let got = channel.basic_get(queue.as_str().into(), options).await?;
                let Some(got) = got else { break };
                let headers = got.delivery.properties.headers().as_ref();
                let id = headers.and_then(|headers| headers.inner().get(REPLAY_ID));
                let id = id.and_then(|value| value.as_long_string());
                let Some(id) = id else {
                    bail!("a message of queue {queue} has no {REPLAY_ID}");
                };
                copies
                    .entry(id.to_string())
                    .or_default()
                    .push((number, position));
                got.delivery.acker.ack(BasicAckOptions::default()).await?;
                position += 1;
            }
        }
        connection.close(200, "done".into()).await?;
        Ok(Arrived { copies })
    }

    /// Removes it from the broker.
    pub(crate) async fn remove(&self) -> Result<()> {
        match &self.target {
            Target::Topic(topic) => {
                let admin = KafkaAdmin::new(&kafka(&self.addresses))?;
                admin.delete_topic(topic).await?;
            }
            Target::Queues(vhost, _) => {
                let url = format!("{}/api/vhosts/{vhost}", self.addresses.management_url);
                reqwest::Client::new().delete(url).send().await?;
            }
        }
        Ok(())
    }

    /// The trial's own way to the broker, beside the proxy.
    async fn channel(&self) -> Result<(Connection, Channel)> {
        let Target::Queues(vhost, _) = &self.target else {
            bail!("a topic has no channel");
        };
        let url = format!("amqp://guest:guest@{}/{vhost}", self.addresses.amqp);
        let connection = Connection::connect(&url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        Ok((connection, channel))
    }
}

fn kafka(addresses: &Addresses) -> KafkaConfig {
    KafkaConfig {
        bootstrap_servers: vec![addresses.kafka.clone()],
        ..KafkaConfig::default()
    }
}

/// Declares a durable queue, or only looks at it; answers how many messages are ready.
async fn declare(channel: &Channel, queue: &QueueName, passive: bool) -> Result<u32> {
    let options = QueueDeclareOptions {
        passive,
        durable: true,
        ..QueueDeclareOptions::default()
    };
    let declared = channel.queue_declare(queue.as_str().into(), options, FieldTable::default());
    Ok(declared.await?.message_count())
}
