//! `cargo xtask demo`: real brokers, the sample workload, the dashboard and Prometheus, from nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::brokers::{self, Brokers};
use crate::interrupt::{Interruption, stop_on_interrupt};
use crate::ports::Ports;
use crate::process::{self, Service};
use crate::workspace::Workspace;
use crate::{http, prometheus, provision};

const DASHBOARD: &str = "dashboard";
const WORKLOAD: &str = "demo-workload";
/// All parts, in the order in which they are named when they are missed.
const PARTS: [&str; 5] = [
    "kafka",
    "rabbitmq",
    WORKLOAD,
    DASHBOARD,
    prometheus::SERVICE,
];
const DASHBOARD_PORT: u16 = 8750;
const START_LIMIT: Duration = Duration::from_mins(1);
const LIVE_DATA_LIMIT: Duration = Duration::from_mins(2);
const POLL: Duration = Duration::from_millis(500);

/// A running demo.
pub(crate) struct Demo {
    pub(crate) dashboard: Service,
    pub(crate) dashboard_port: u16,
    prometheus_port: u16,
}

/// Which build of the program the demo runs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Profile {
    Dev,
    Release,
}

/// Starts what is missing and stays until Ctrl-C, which stops what this command started.
pub(crate) fn run_in_foreground(workspace: &Workspace) -> Result<()> {
    stop_on_interrupt(workspace.started.clone(), Interruption::Expected)?;
    let demo = ensure_running(workspace, Profile::Dev)?;
    demo.print("press Ctrl-C here, or run `cargo xtask down` elsewhere");
    watch_parts(workspace)
}

/// Starts what is missing and returns.
pub(crate) fn run_detached(workspace: &Workspace) -> Result<()> {
    stop_on_interrupt(workspace.started.clone(), Interruption::CutShort)?;
    ensure_running(workspace, Profile::Dev)?.print("run `cargo xtask down`");
    Ok(())
}

/// `cargo xtask demo repair-gateway` and `break-gateway`.
pub(crate) fn set_gateway(workspace: &Workspace, action: &str) -> Result<()> {
    let mut command = Command::new(redrive_binary(Profile::Dev)?);
    command.args(["demo-gateway", action, "--state-dir"]);
    process::run(command.arg(workspace.state_directory("demo/workload")?))
}

/// Provisions, builds and starts what does not run yet, and waits for live data.
pub(crate) fn ensure_running(workspace: &Workspace, profile: Profile) -> Result<Demo> {
    provision::debian_packages(&provision::BUILD_PACKAGES)?;
    provision::debian_packages(&["rabbitmq-server", "prometheus"])?;
    build(workspace, profile)?;
    let brokers = Brokers::ensure_running(workspace, brokers::SHARED)?;
    let lock = workspace.lock()?;
    let dashboard_port = ensure_dashboard_and_workload_run(workspace, profile, &brokers)?;
    let prometheus_port = prometheus::ensure_running(workspace, dashboard_port)?;
    // Whoever loses patience may run `cargo xtask down`.
    drop(lock);
    wait_for_live_data(workspace, dashboard_port)?;
    let dashboard = Service::new(workspace, DASHBOARD)?;
    Ok(Demo {
        dashboard,
        dashboard_port,
        prometheus_port,
    })
}

/// Whether somebody looks at the dashboard of this checkout already.
pub(crate) fn is_running(workspace: &Workspace) -> Result<bool> {
    Ok(Service::new(workspace, DASHBOARD)?.is_running())
}

fn build(workspace: &Workspace, profile: Profile) -> Result<()> {
    eprintln!("building redrive (usually 5 to 10 minutes the first time, then seconds)");
    let mut build = workspace.cargo(&["build", "--package", "redrive", "--bin", "redrive"]);
    if let Profile::Release = profile {
        build.arg("--release");
    }
    process::run(&mut build)
}

/// Both are started anew if the brokers have moved or the program was built again.
fn ensure_dashboard_and_workload_run(
    workspace: &Workspace,
    profile: Profile,
    brokers: &Brokers,
) -> Result<u16> {
    let binary = redrive_binary(profile)?;
    let dashboard = Service::new(workspace, DASHBOARD)?;
    let workload = Service::new(workspace, WORKLOAD)?;
    let directory = workspace.state_directory("demo")?;
    let configuration = directory.join("redrive.toml");
    let prometheus_port = prometheus::port(workspace)?;
    let mut ports = Ports::load(workspace);
    let wanted = |port| {
        let ports = (port, prometheus_port);
        dashboard_configuration(workspace, profile, brokers, ports)
    };
    let is_current = |port| {
        let text = fs::read_to_string(&configuration).unwrap_or_default();
        text == wanted(port)
    };
    let current = ports.remembered(DASHBOARD).is_ok_and(is_current);
    for service in [&dashboard, &workload] {
        if !current || service.is_older_than(&binary) {
            service.stop()?;
        }
    }
    if !dashboard.is_running() {
        eprintln!("starting the dashboard");
        let port = ports.reserve_near(DASHBOARD, DASHBOARD_PORT)?;
        fs::write(&configuration, wanted(port))?;
        let mut command = logging_plainly(&binary);
        dashboard.start(command.arg("serve").arg("--config").arg(&configuration))?;
    }
    if !workload.is_running() {
        eprintln!("starting the sample workload");
        let mut command = logging_plainly(&binary);
        command.args(["demo-workload", "--kafka", &brokers.kafka()]);
        command.args(["--amqp-url", &brokers.amqp_url(), "--state-dir"]);
        workload.start(command.arg(workspace.state_directory("demo/workload")?))?;
    }
    ports.remembered(DASHBOARD)
}

/// Colours make a log file hard to search.
fn logging_plainly(binary: &Path) -> Command {
    let mut command = Command::new(binary);
    command.env("NO_COLOR", "1");
    command
}

/// Samples are taken every two seconds, so that a visitor sees things move.
fn dashboard_configuration(
    workspace: &Workspace,
    profile: Profile,
    brokers: &Brokers,
    (port, prometheus_port): (u16, u16),
) -> String {
    format!(
        r#"# Written by `cargo xtask demo` for the {profile:?} build.
[http]
listen = "127.0.0.1:{port}"

[store]
url = "sqlite:{database}"

[sampling]
interval = "2s"

[[kafka]]
name = "kafka"
bootstrap_servers = ["{kafka}"]

[[rabbitmq]]
name = "rabbitmq"
amqp_url = "{amqp}"
management_url = "{management}"
prometheus_url = "{prometheus}"

[[rabbitmq.queues]]
vhost = "/"
name = "orders.dlq"
custody = "managed"

[schemas]
folder = "{schemas}"

[traces]
kafka_topics = ["orders", "payments"]
rabbitmq_exchanges = ["events", "commands", "notifications"]

[prometheus]
url = "http://127.0.0.1:{prometheus_port}"
"#,
        database = workspace.state().join("demo/redrive.db").display(),
        kafka = brokers.kafka(),
        amqp = brokers.amqp_url(),
        management = brokers.management_url(),
        prometheus = brokers.prometheus_url(),
        schemas = workspace.root().join("src/demo/schemas").display(),
    )
}

/// The dashboard is worth looking at once it has seen the consumers of the workload.
fn wait_for_live_data(workspace: &Workspace, port: u16) -> Result<()> {
    let dashboard = Service::new(workspace, DASHBOARD)?;
    let workload = Service::new(workspace, WORKLOAD)?;
    let answers = |path| http::get(port, path, None).is_ok_and(|answer| answer.status == 200);
    dashboard.wait_until("it was ready", START_LIMIT, || answers("/readyz"))?;
    eprintln!("waiting for live data");
    let is_live_or_dead = || !dashboard.is_running() || shows_live_data(port);
    workload.wait_until("its consumers were seen", LIVE_DATA_LIMIT, is_live_or_dead)?;
    dashboard.wait_until("it showed live data", POLL, || shows_live_data(port))
}

fn shows_live_data(port: u16) -> bool {
    let measures_lag = |line: &str| {
        line.starts_with("kafka_consumer_group_lag{") && line.contains("payment-consumers")
    };
    http::get(port, "/metrics", None).is_ok_and(|answer| answer.body.lines().any(measures_lag))
}

/// Says when a part ends or comes back; returns when nothing is left to watch.
fn watch_parts(workspace: &Workspace) -> Result<()> {
    let mut watched = Vec::new();
    for name in PARTS {
        watched.push((Service::new(workspace, name)?, true));
    }
    while watched.iter().any(|(_, was_running)| *was_running) {
        thread::sleep(POLL);
        // What Ctrl-C stops is not worth a message.
        let _started = workspace.started.lock();
        for (service, was_running) in &mut watched {
            let is_running = service.is_running();
            if *was_running && !is_running {
                let log = service.log_file().display();
                eprintln!("{} has ended; its log is {log}", service.name);
            } else if !*was_running && is_running {
                eprintln!("{} runs again", service.name);
            }
            *was_running = is_running;
        }
    }
    eprintln!("all parts have ended");
    Ok(())
}

/// This program is in the folder of the dev profile; the others lie beside that.
fn redrive_binary(profile: Profile) -> Result<PathBuf> {
    let this = std::env::current_exe()?;
    let binary = match profile {
        Profile::Dev => this.with_file_name("redrive"),
        Profile::Release => this.with_file_name("../release/redrive"),
    };
    ensure!(
        binary.is_file(),
        "{} does not exist; run cargo xtask demo first",
        binary.display()
    );
    Ok(binary)
}

impl Demo {
    fn print(&self, how_to_stop: &str) {
        println!(
            "\n  Dashboard    http://127.0.0.1:{}\n  Prometheus   http://127.0.0.1:{}\n\n  \
             The payment gateway fails now and then: run `cargo xtask demo repair-gateway`,\n  \
             then replay what it left behind. `cargo xtask demo break-gateway` undoes it.\n  \
             To stop: {how_to_stop}.\n",
            self.dashboard_port, self.prometheus_port
        );
    }
}
