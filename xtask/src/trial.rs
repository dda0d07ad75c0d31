//! `cargo xtask trial replay`: brokers of its own, which the trial may kill, and the driver that does it
//! (`benches/trial_replay`).
//!
//! While it runs, the driver calls `xtask trial broker NAME ACTION` to stop, kill and start them.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::interrupt::{Interruption, stop_on_interrupt};
use crate::kafka::{self, KafkaSettings};
use crate::process::{self, Service};
use crate::provision;
use crate::rabbitmq::{self, RabbitMqSettings};
use crate::workspace::Workspace;

static KAFKA: KafkaSettings = KafkaSettings {
    name: "trial-kafka",
    release: &kafka::KAFKA_4,
    heap: "-Xmx512m",
    lanes: 6,
};

const RABBITMQ: RabbitMqSettings = RabbitMqSettings {
    name: "trial-rabbitmq",
    node: "redrive-trial@localhost",
    suite: None,
    cluster: &[],
};

/// The build with debug assertions, which alone looks at `REDRIVE_CRASH_AT`.
const BENCH: [&str; 5] = ["bench", "--profile", "dev", "--bench", "trial_replay"];

pub(crate) fn run(workspace: &Workspace, options: &[&str]) -> Result<()> {
    stop_on_interrupt(workspace.started.clone(), Interruption::CutShort)?;
    provision::debian_packages(&provision::BUILD_PACKAGES)?;
    process::run(workspace.cargo(&BENCH).arg("--no-run"))?;
    let mut driver = driver(workspace, options)?;
    let status = driver.status().context("cannot run cargo bench")?;
    workspace.started.stop_all()?;
    ensure!(status.success(), "the trial failed ({status})");
    Ok(())
}

/// The command that runs the trial on brokers that have just been started.
pub(crate) fn driver(workspace: &Workspace, options: &[&str]) -> Result<Command> {
    let mut driver = workspace.cargo(&BENCH);
    driver.args(["--", "replay"]).args(options);
    driver.envs(start_fresh_brokers(workspace)?);
    driver.env("REDRIVE_TRIAL_CONTROL", std::env::current_exe()?);
    driver.env("REDRIVE_TRIAL_STATE", workspace.state_directory("trial")?);
    Ok(driver)
}

/// `xtask trial broker NAME stop|kill|start`.
pub(crate) fn control(workspace: &Workspace, broker: &str, action: &str) -> Result<()> {
    let _lock = workspace.lock()?;
    let name = match broker {
        "kafka" => KAFKA.name,
        "rabbitmq" => RABBITMQ.name,
        _ => bail!("no broker of the trial is called `{broker}`: kafka or rabbitmq"),
    };
    match action {
        "stop" => Service::new(workspace, name)?.stop().map(drop),
        "kill" => Service::new(workspace, name)?.kill(),
        "start" if broker == "kafka" => kafka::start_again(workspace, &KAFKA),
        "start" => rabbitmq::start_again(workspace, &RABBITMQ),
        _ => bail!("a broker does not know `{action}`: stop, kill or start"),
    }
}

/// Without what an earlier run left in them; a trial that goes on begins with new topics and queues.
fn start_fresh_brokers(workspace: &Workspace) -> Result<[(&'static str, String); 4]> {
    let _lock = workspace.lock()?;
    for name in [KAFKA.name, RABBITMQ.name] {
        Service::new(workspace, name)?.stop()?;
        fs::remove_dir_all(workspace.state_directory(name)?)?;
    }
    let kafka = kafka::ensure_running(workspace, &KAFKA)?;
    let rabbitmq = rabbitmq::ensure_running(workspace, &RABBITMQ)?;
    let lanes = kafka::lanes(workspace, &KAFKA)?;
    let lanes = lanes
        .iter()
        .map(|lane| format!("{}:{}", lane.proxy, lane.broker));
    Ok([
        ("REDRIVE_TRIAL_KAFKA", format!("127.0.0.1:{kafka}")),
        (
            "REDRIVE_TRIAL_KAFKA_LANES",
            lanes.collect::<Vec<_>>().join(","),
        ),
        ("REDRIVE_TRIAL_AMQP", format!("127.0.0.1:{}", rabbitmq.amqp)),
        ("REDRIVE_TRIAL_MANAGEMENT_URL", rabbitmq.management_url()),
    ])
}
