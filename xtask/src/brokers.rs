//! The two brokers that demo and tests share, and the variables by which tests find them.

use anyhow::{Result, ensure};

use crate::process::Service;
use crate::rabbitmq::{self, RabbitMqPorts, RabbitMqSettings};
use crate::workspace::Workspace;
use crate::{kafka, process};

pub(crate) struct Brokers {
    kafka: u16,
    rabbitmq: RabbitMqPorts,
}

impl Brokers {
    /// Starts what does not run yet and waits until both brokers answer.
    pub(crate) fn ensure_running(workspace: &Workspace) -> Result<Self> {
        Self::ensure_running_with(workspace, &rabbitmq::SHARED)
    }

    /// The same with another release of RabbitMQ.
    pub(crate) fn ensure_running_with(
        workspace: &Workspace,
        settings: &RabbitMqSettings,
    ) -> Result<Self> {
        let _lock = workspace.lock()?;
        Ok(Self {
            kafka: kafka::ensure_running(workspace, &kafka::SHARED)?,
            rabbitmq: rabbitmq::ensure_running(workspace, settings)?,
        })
    }

    pub(crate) fn kafka(&self) -> String {
        format!("127.0.0.1:{}", self.kafka)
    }

    pub(crate) fn amqp_url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.rabbitmq.amqp)
    }

    pub(crate) fn management_url(&self) -> String {
        format!("http://guest:guest@127.0.0.1:{}", self.rabbitmq.management)
    }

    pub(crate) fn prometheus_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.rabbitmq.prometheus)
    }

    /// What tests and benches read.
    pub(crate) fn variables(&self) -> [(&'static str, String); 4] {
        [
            ("REDRIVE_TEST_KAFKA", self.kafka()),
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
pub(crate) fn start_and_print(workspace: &Workspace, settings: &RabbitMqSettings) -> Result<()> {
    let brokers = Brokers::ensure_running_with(workspace, settings)?;
    for (name, value) in brokers.variables() {
        println!("export {name}={value}");
    }
    Ok(())
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
