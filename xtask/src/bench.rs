//! `cargo xtask bench NAME [ARGUMENT]...`: one bench of the crate, with the brokers that it needs.

use std::fs;

use anyhow::{Context, Result, ensure};

use crate::brokers::{self, Brokers};
use crate::demo::{self, Profile};
use crate::interrupt::{Interruption, stop_on_interrupt};
use crate::kafka::{self, KafkaSettings};
use crate::process::{self, Service};
use crate::provision;
use crate::workspace::Workspace;

/// Ten thousand partitions burden a broker, so that the sampling bench has one for itself.
static BENCH_KAFKA: KafkaSettings = KafkaSettings {
    name: "bench-kafka",
    release: &kafka::KAFKA_4,
    heap: "-Xmx3g",
    lanes: 0,
};

pub(crate) fn run(workspace: &Workspace, name: &str, arguments: &[&str]) -> Result<()> {
    stop_on_interrupt(workspace.started.clone(), Interruption::CutShort)?;
    provision::debian_packages(&provision::BUILD_PACKAGES)?;
    eprintln!("building the bench (usually 10 to 20 minutes the first time)");
    process::run(&mut workspace.cargo(&["bench", "--no-run", "--bench", name]))?;
    let mut bench = workspace.cargo(&["bench", "--bench", name, "--"]);
    bench.args(arguments);
    if name == "sampling" {
        bench.envs(start_demo(workspace)?);
        bench.envs(start_fresh_kafka(workspace)?);
    }
    bench.envs(Brokers::ensure_running(workspace, brokers::SHARED)?.variables());
    let status = bench.status().context("cannot run cargo bench")?;
    workspace.started.stop_all()?;
    ensure!(status.success(), "the bench failed ({status})");
    Ok(())
}

/// The bench says what the dashboard of the demo holds while nobody looks at it.
fn start_demo(workspace: &Workspace) -> Result<[(&'static str, String); 1]> {
    ensure!(
        !demo::is_running(workspace)?,
        "the demo runs and would disturb the bench; stop it first: cargo xtask down"
    );
    let demo = demo::ensure_running(workspace, Profile::Release)?;
    let pid = demo.dashboard.pid().context("the dashboard has ended")?;
    Ok([("REDRIVE_BENCH_DEMO_PID", pid.to_string())])
}

/// A broker without the topics of an earlier run, and its process for those who measure it.
fn start_fresh_kafka(workspace: &Workspace) -> Result<[(&'static str, String); 2]> {
    let _lock = workspace.lock()?;
    let service = Service::new(workspace, BENCH_KAFKA.name)?;
    service.stop()?;
    fs::remove_dir_all(workspace.state_directory(BENCH_KAFKA.name)?)?;
    let port = kafka::ensure_running(workspace, &BENCH_KAFKA)?;
    let pid = service.pid().context("the broker of the bench has ended")?;
    Ok([
        ("REDRIVE_BENCH_KAFKA", format!("127.0.0.1:{port}")),
        ("REDRIVE_BENCH_KAFKA_PID", pid.to_string()),
    ])
}
