//! The command line: one file a subcommand.

mod alerts;
mod api_client;
mod audit;
mod check;
mod config_reference;
mod dead_letters;
mod demo_gateway;
mod demo_workload;
mod serve;
mod terminal;

pub use terminal::end_without_a_reader;
pub(crate) use terminal::visible;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::{Config, ConfigError};

/// Watches Kafka and RabbitMQ and brings their dead letters back.
#[derive(Debug, Parser)]
#[command(name = "redrive", version, about)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the dashboard, the API, /metrics, sampling and the intake of dead letters.
    Serve(ConfigArgs),
    /// Connect to every broker and say what Redrive can and cannot do there.
    Check(ConfigArgs),
    /// Print every key of the configuration with its default and meaning.
    ConfigReference(config_reference::ConfigReferenceArgs),
    /// List, show, edit, replay, discard, export and import dead letters through a running Redrive.
    DeadLetters(Box<dead_letters::DeadLettersArgs>),
    /// Write the alert rules for Prometheus, with other thresholds if you say so.
    Alerts(alerts::AlertsArgs),
    /// Look at the audit without the service.
    Audit {
        #[command(subcommand)]
        command: audit::AuditCommand,
    },
    /// Run the sample order system, which keeps Kafka and RabbitMQ busy and fails now and then.
    DemoWorkload(demo_workload::DemoWorkloadArgs),
    /// The child process that runs programs and schemas; Redrive starts it itself.
    #[command(name = crate::sandbox::SUBCOMMAND, hide = true)]
    SandboxWorker,
    /// Repair, break or look at the payment gateway of a running sample workload.
    DemoGateway(demo_gateway::DemoGatewayArgs),
}

/// Where the configuration is.
#[derive(Debug, clap::Args)]
struct ConfigArgs {
    /// The configuration file; without one, defaults and REDRIVE_* variables apply.
    #[arg(long, env = "REDRIVE_CONFIG")]
    config: Option<PathBuf>,
}

impl ConfigArgs {
    fn load(&self) -> Result<Config, ConfigError> {
        Config::load(self.config.as_deref(), std::env::vars())
    }
}

impl Cli {
    /// Whether this process is a child of Redrive that runs before any runtime starts.
    pub const fn is_sandbox_worker(&self) -> bool {
        matches!(self.command, Command::SandboxWorker)
    }

    /// Whether it prints an answer and ends, so that a reader who goes away may end it.
    pub const fn is_short(&self) -> bool {
        !matches!(
            self.command,
            Command::Serve(_) | Command::DemoWorkload(_) | Command::SandboxWorker
        )
    }

    /// Runs the subcommand.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Serve(args) => serve::run(&args).await,
            Command::Check(args) => check::run(&args).await,
            Command::ConfigReference(args) => Ok(config_reference::run(&args)),
            Command::DeadLetters(args) => dead_letters::run(&args).await,
            Command::Alerts(args) => alerts::run(&args),
            Command::Audit { command } => audit::run(command).await,
            Command::DemoWorkload(args) => demo_workload::run(args).await,
            Command::SandboxWorker => Ok(crate::sandbox::run_worker()),
            Command::DemoGateway(args) => demo_gateway::run(&args),
        }
    }
}
