//! Prometheus from Debian's package, scraping the demo's dashboard and loading the rules of `alerts/`.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::http;
use crate::ports::Ports;
use crate::process::Service;
use crate::workspace::Workspace;

const START_LIMIT: Duration = Duration::from_mins(1);

pub(crate) const SERVICE: &str = "prometheus";

/// The port of the running Prometheus, or the one on which it will be started.
pub(crate) fn port(workspace: &Workspace) -> Result<u16> {
    let mut ports = Ports::load(workspace);
    if Service::new(workspace, SERVICE)?.is_running() {
        ports.remembered(SERVICE)
    } else {
        ports.reserve(SERVICE)
    }
}

/// Answers the port of the running Prometheus, starting it first if need be.
pub(crate) fn ensure_running(workspace: &Workspace, dashboard_port: u16) -> Result<u16> {
    let service = Service::new(workspace, SERVICE)?;
    let port = port(workspace)?;
    if !service.is_running() {
        eprintln!("starting prometheus (usually 2 s)");
        let directory = workspace.state_directory("prometheus")?;
        let configuration = directory.join("prometheus.yml");
        fs::write(
            &configuration,
            scrape_configuration(workspace.root(), dashboard_port),
        )?;
        let mut command = Command::new("prometheus");
        command
            .arg(format!("--config.file={}", configuration.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                directory.join("data").display()
            ))
            .arg("--storage.tsdb.retention.time=2d")
            .arg(format!("--web.listen-address=127.0.0.1:{port}"));
        service.start(&command)?;
    }
    let is_ready = || http::get(port, "/-/ready", None).is_ok_and(|answer| answer.status == 200);
    service.wait_until("it was ready", START_LIMIT, is_ready)?;
    Ok(port)
}

fn scrape_configuration(root: &Path, dashboard_port: u16) -> String {
    format!(
        "global:\n  scrape_interval: 5s\n  evaluation_interval: 5s\n\
         rule_files:\n  - {root}/alerts/*.yml\n\
         scrape_configs:\n  - job_name: redrive\n    static_configs:\n      \
         - targets: [\"127.0.0.1:{dashboard_port}\"]\n",
        root = root.display(),
    )
}
