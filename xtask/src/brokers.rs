//! The two brokers that demo and tests share, and the variables by which tests find them.

use anyhow::{Result, ensure};

use crate::kafka::{self, KafkaSettings};
use crate::process::{self, Service};
use crate::rabbitmq::{self, RabbitMqPorts, RabbitMqSettings};
use crate::workspace::Workspace;

/// Which broker of each kind.
#[derive(Clone, Copy)]
pub(crate) struct Releases {
    pub(crate) kafka: &'static KafkaSettings,
    pub(crate) rabbitmq: &'static RabbitMqSettings,
}

/// The brokers of the demo.
pub(crate) const SHARED: Releases = Releases {
    kafka: &kafka::SHARED,
    rabbitmq: &rabbitmq::SHARED,
};

pub(crate) struct Brokers {
    kafka: u16,
    kafka_version: &'static str,
    rabbitmq: RabbitMqPorts,
}

impl Brokers {
    /// Starts what does not run yet and waits until both brokers answer.
    pub(crate) fn ensure_running(workspace: &Workspace, releases: Releases) -> Result<Self> {
        let _lock = workspace.lock()?;
        Ok(Self {
            kafka: kafka::ensure_running(workspace, releases.kafka)?,
            kafka_version: releases.kafka.release.version,
            rabbitmq: rabbitmq::ensure_running(workspace, releases.rabbitmq)?,
        })
    }

    pub(crate) fn kafka(&self) -> String {
        format!("127.0.0.1:{}", self.kafka)
    }

    pub(crate) fn amqp_url(&self) -> String {
        self.rabbitmq.amqp_url()
    }

    pub(crate) fn management_url(&self) -> String {
        self.rabbitmq.management_url()
    }

    pub(crate) fn prometheus_url(&self) -> String {
        self.rabbitmq.prometheus_url()
    }

    /// What tests and benches read.
    pub(crate) fn variables(&self) -> [(&'static str, String); 5] {
        [
            ("REDRIVE_TEST_KAFKA", self.kafka()),
            ("REDRIVE_TEST_KAFKA_VERSION", self.kafka_version.to_owned()),
            ("REDRIVE_TEST_AMQP_URL", self.amqp_url()),
            (
                "REDRIVE_TEST_RABBITMQ_MANAGEMENT_URL",
                self.management_url(),
            ),
            (
                "REDRIVE_TEST_RABBITMQ_PROMETHEUS_URL",
                self.prometheus_url(),
            ),
        ]
    }
}

/// `cargo xtask brokers`: the lines can be given to a shell's `eval`.
pub(crate) fn start_and_print(workspace: &Workspace, releases: Releases) -> Result<()> {
    let brokers = Brokers::ensure_running(workspace, releases)?;
    print(&brokers.variables());
    Ok(())
}

/// `cargo xtask brokers --cluster`
pub(crate) fn start_and_print_kafka_cluster(workspace: &Workspace) -> Result<()> {
    print(&kafka::cluster::ensure_running(workspace)?);
    Ok(())
}

/// `cargo xtask brokers --rabbitmq-cluster`
pub(crate) fn start_and_print_rabbitmq_cluster(workspace: &Workspace) -> Result<()> {
    print(&rabbitmq::cluster::ensure_running(workspace)?);
    Ok(())
}

fn print(variables: &[(&str, String)]) {
    for (name, value) in variables {
        println!("export {name}='{value}'");
    }
}

/// `cargo xtask down`: stops everything of this checkout, or the named parts.
pub(crate) fn stop(workspace: &Workspace, names: &[&str]) -> Result<()> {
    let _lock = workspace.lock()?;
    let services = process::all_services(workspace)?;
    for name in names {
        ensure!(
            services.iter().any(|service| service.name == *name),
            "no part called {name} was started from this checkout"
        );
    }
    let is_named = |service: &&Service| names.is_empty() || names.contains(&service.name.as_str());
    for service in services.iter().filter(is_named) {
        if service.stop()? {
            println!("stopped {}", service.name);
        }
    }
    Ok(())
}
