//! `cargo xtask trial export`: an OpenTelemetry Collector with TLS, built from the Go proxy at the first call, and the driver that
//! sends it a story and reads what it prints (`benches/trial_export`).

use std::fs;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::interrupt::{Interruption, stop_on_interrupt};
use crate::kafka::certificates::Certificates;
use crate::ports::Ports;
use crate::process::{self, Service};
use crate::provision;
use crate::workspace::Workspace;

const SERVICE: &str = "collector";

const BENCH: [&str; 5] = ["bench", "--profile", "dev", "--bench", "trial_export"];

const START_LIMIT: Duration = Duration::from_mins(1);

pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    stop_on_interrupt(workspace.started.clone(), Interruption::CutShort)?;
    provision::debian_packages(&provision::BUILD_PACKAGES)?;
    let program = provision::otel_collector()?;
    process::run(workspace.cargo(&BENCH).arg("--no-run"))?;
    let mut driver = workspace.cargo(&BENCH);
    driver.envs(start(workspace, program)?);
    let outcome = process::run(&mut driver);
    workspace.started.stop_all()?;
    outcome
}

/// Starts it with nothing in its log.
fn start(workspace: &Workspace, program: PathBuf) -> Result<[(&'static str, String); 4]> {
    let _lock = workspace.lock()?;
    let service = Service::new(workspace, SERVICE)?;
    service.stop()?;
    let mut ports = Ports::load(workspace);
    let grpc = ports.reserve("collector-grpc")?;
    let http = ports.reserve("collector-http")?;
    let folder = workspace.state_directory(SERVICE)?;
    let certificates = Certificates::in_folder(&folder.join("certificates"))?;
    let configuration = folder.join("collector.yaml");
    fs::write(&configuration, settings(grpc, http, &certificates))?;
    let mut command = Command::new(program);
    command.arg("--config").arg(configuration);
    service.start(&command)?;
    let listens = |port| TcpStream::connect(("127.0.0.1", port)).is_ok();
    service.wait_until("it listened", START_LIMIT, || {
        listens(grpc) && listens(http)
    })?;
    Ok([
        (
            "REDRIVE_TRIAL_OTLP_GRPC",
            format!("https://127.0.0.1:{grpc}"),
        ),
        (
            "REDRIVE_TRIAL_OTLP_HTTP",
            format!("https://127.0.0.1:{http}"),
        ),
        (
            "REDRIVE_TRIAL_OTLP_CA",
            certificates.authority_file().display().to_string(),
        ),
        (
            "REDRIVE_TRIAL_OTLP_LOG",
            service.log_file().display().to_string(),
        ),
    ])
}

fn settings(grpc: u16, http: u16, certificates: &Certificates) -> String {
    let [certificate, key] = certificates
        .server_files()
        .map(|file| file.display().to_string());
    let tls =
        format!("        tls:\n          cert_file: {certificate}\n          key_file: {key}\n");
    format!(
        "receivers:\n  otlp:\n    protocols:\n      \
         grpc:\n        endpoint: 127.0.0.1:{grpc}\n{tls}      \
         http:\n        endpoint: 127.0.0.1:{http}\n{tls}\
         exporters:\n  debug:\n    verbosity: detailed\n\
         service:\n  telemetry:\n    metrics:\n      level: none\n  pipelines:\n    \
         traces:\n      receivers: [otlp]\n      exporters: [debug]\n"
    )
}
