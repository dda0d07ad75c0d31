//! A virtual host of one test.

use redrive::brokers::rabbitmq::amqp::AmqpChannel;
use redrive::config::{RabbitMqConfig, Secret};
use redrive::domain::{AmqpValue, VhostName};
use url::Url;

use super::{rabbitmq, unique};

/// Deleted, with all that is in it, when the test calls [`Vhost::delete`]; a test that fails leaves it
/// for the one who looks into it.
pub(crate) struct Vhost {
    pub(crate) name: VhostName,
    /// The shared RabbitMQ with this virtual host.
    pub(crate) config: RabbitMqConfig,
    api: Url,
}

impl Vhost {
    pub(crate) async fn create() -> Self {
        let mut config = rabbitmq();
        let name = unique("vhost");
        let mut amqp: Url = config.amqp_url.expose().parse().expect("a URL");
        amqp.set_path(&name);
        config.amqp_url = Secret::new(amqp.to_string());
        let management: Url = config.management_url.expose().parse().expect("a URL");
        let api = management
            .join(&format!("/api/vhosts/{name}"))
            .expect("a path");
        let created = reqwest::Client::new().put(api.clone()).send().await;
        let created = created.expect("RabbitMQ answers");
        assert!(created.status().is_success(), "{}", created.status());
        Self {
            name: name.into(),
            config,
            api,
        }
    }

    pub(crate) async fn channel(&self) -> AmqpChannel {
        let channel = AmqpChannel::open(&self.config, "test").await;
        channel.expect("the virtual host is open")
    }

    /// Deletes a queue with all its messages and statistics.
    pub(crate) async fn delete_queue(&self, queue: &str) {
        let path = format!("/api/queues/{}/{queue}", self.name);
        let url = self.api.join(&path).expect("a path");
        let deleted = reqwest::Client::new().delete(url).send().await;
        assert!(deleted.is_ok_and(|answer| answer.status().is_success()));
    }

    pub(crate) async fn delete(self) {
        let deleted = reqwest::Client::new().delete(self.api).send().await;
        assert!(deleted.is_ok_and(|answer| answer.status().is_success()));
    }
}

/// Arguments of a queue.
pub(crate) fn arguments(pairs: &[(&str, AmqpValue)]) -> Vec<(String, AmqpValue)> {
    let pairs = pairs.iter();
    pairs
        .map(|(name, value)| ((*name).to_owned(), value.clone()))
        .collect()
}
