//! The cluster of two RabbitMQ nodes, which a test may stop and start.

use redrive::config::{RabbitMqConfig, Secret};
use tokio::process::Command;

use super::{install_crypto_provider, required};

/// One of the two nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    First,
    Second,
}

impl Node {
    /// As it calls itself.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::First => "redrive-cluster-1@localhost",
            Self::Second => "redrive-cluster-2@localhost",
        }
    }

    /// The cluster with what is said and asked through this node; the prometheus plugins are those of both.
    pub(crate) fn config(self) -> RabbitMqConfig {
        install_crypto_provider();
        RabbitMqConfig {
            amqp_url: self.url("REDRIVE_TEST_RABBITMQ_CLUSTER_AMQP_URLS"),
            management_url: self.url("REDRIVE_TEST_RABBITMQ_CLUSTER_MANAGEMENT_URLS"),
            prometheus_url: [Self::First, Self::Second]
                .map(Self::prometheus_url)
                .to_vec(),
            ..RabbitMqConfig::default()
        }
    }

    pub(crate) fn prometheus_url(self) -> Secret {
        self.url("REDRIVE_TEST_RABBITMQ_CLUSTER_PROMETHEUS_URLS")
    }

    /// Stops, kills or starts it, and waits until it is done: a node that starts, until it has joined.
    pub(crate) async fn control(self, action: &str) {
        let mut command = Command::new(required("REDRIVE_TEST_RABBITMQ_CLUSTER_CONTROL"));
        let number = match self {
            Self::First => "1",
            Self::Second => "2",
        };
        let output = command.args(["rabbitmq-node", number, action]).output();
        let output = output.await.unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{action} of {self:?}: {said}");
    }

    fn url(self, variable: &str) -> Secret {
        let urls = required(variable);
        let (first, second) = urls.split_once(',').unwrap();
        Secret::new(match self {
            Self::First => first,
            Self::Second => second,
        })
    }
}
