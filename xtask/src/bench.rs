//! `cargo xtask bench NAME [ARGUMENT]...`: one bench of the crate, with the brokers that it needs.

use std::fs;

use anyhow::{Context, Result, bail, ensure};

use crate::brokers::{self, Brokers};
use crate::demo::{self, Profile};
use crate::interrupt::{Interruption, stop_on_interrupt};
use crate::kafka::{self, KafkaSettings};
use crate::process::{self, Service};
use crate::provision;
use crate::rabbitmq::{self, RabbitMqSettings};
use crate::workspace::Workspace;

/// Ten thousand partitions burden a broker, so that the sampling bench has one for itself.
static BENCH_KAFKA: KafkaSettings = KafkaSettings {
    name: "bench-kafka",
    release: &kafka::KAFKA_4,
    heap: "-Xmx3g",
    lanes: 0,
};

/// So do ten thousand queues.
static BENCH_RABBITMQ: RabbitMqSettings = RabbitMqSettings {
    name: "bench-rabbitmq",
    node: "redrive-bench@localhost",
    suite: None,
    cluster: &[],
};

/// What Redrive's sampling is compared with, and what it links beside librdkafka's own needs.
const KLAG_EXPORTER: &str = "0.1.29";
const KLAG_EXPORTER_PACKAGES: [&str; 6] = [
    "cmake",
    "libcurl4-openssl-dev",
    "liblz4-dev",
    "libsasl2-dev",
    "libssl-dev",
    "zlib1g-dev",
];

/// What a bench is told of the parts that were started for it.
type Variables = Vec<(&'static str, String)>;

/// A group of the sampling bench and what starts its parts; no other runs meanwhile.
type SamplingGroup = (&'static str, fn(&Workspace) -> Result<Variables>);

const SAMPLING_GROUPS: [SamplingGroup; 4] = [
    ("kafka", start_kafka),
    ("linearity", |_| Ok(Vec::new())),
    ("rabbitmq", start_rabbitmq),
    ("demo", start_demo),
];

pub(crate) fn run(workspace: &Workspace, name: &str, arguments: &[&str]) -> Result<()> {
    stop_on_interrupt(workspace.started.clone(), Interruption::CutShort)?;
    provision::debian_packages(&provision::BUILD_PACKAGES)?;
    eprintln!("building the bench (usually 10 to 20 minutes the first time)");
    process::run(&mut workspace.cargo(&["bench", "--no-run", "--bench", name]))?;
    if name == "traces" {
        provision::debian_packages(&["kcat"])?;
    }
    if name == "sampling" {
        return run_sampling(workspace, arguments);
    }
    let brokers = Brokers::ensure_running(workspace, brokers::SHARED)?;
    run_with(workspace, name, arguments, brokers.variables().to_vec())
}

fn run_sampling(workspace: &Workspace, arguments: &[&str]) -> Result<()> {
    let wanted = |(group, _): &&SamplingGroup| match arguments {
        [] => true,
        [name] => name == group,
        _ => false,
    };
    let mut groups = SAMPLING_GROUPS.iter().filter(wanted).peekable();
    if groups.peek().is_none() {
        bail!("name one group of figures or none; there are kafka, linearity, rabbitmq, demo");
    }
    groups.try_for_each(|(group, start)| {
        let variables = start(workspace)?;
        run_with(workspace, "sampling", &[group], variables)
    })
}

fn run_with(
    workspace: &Workspace,
    name: &str,
    arguments: &[&str],
    variables: Variables,
) -> Result<()> {
    let mut bench = workspace.cargo(&["bench", "--bench", name, "--"]);
    let status = bench.args(arguments).envs(variables).status();
    workspace.started.stop_all()?;
    let status = status.context("cannot run cargo bench")?;
    ensure!(status.success(), "the bench failed ({status})");
    Ok(())
}

/// The bench says what the dashboard of the demo holds while nobody looks at it.
fn start_demo(workspace: &Workspace) -> Result<Variables> {
    ensure!(
        !demo::is_running(workspace)?,
        "the demo runs and would disturb the bench; stop it first: cargo xtask down"
    );
    let demo = demo::ensure_running(workspace, Profile::Release)?;
    let pid = demo.dashboard.pid().context("the dashboard has ended")?;
    Ok(vec![("REDRIVE_BENCH_DEMO_PID", pid.to_string())])
}

/// A broker without the topics of an earlier run, its process for those who measure it, and the peer.
fn start_kafka(workspace: &Workspace) -> Result<Variables> {
    let peer = klag_exporter();
    let _lock = workspace.lock()?;
    let service = forgotten(workspace, BENCH_KAFKA.name)?;
    let port = kafka::ensure_running(workspace, &BENCH_KAFKA)?;
    let pid = service.pid().context("the broker of the bench has ended")?;
    let mut variables = vec![
        ("REDRIVE_BENCH_KAFKA", format!("127.0.0.1:{port}")),
        ("REDRIVE_BENCH_KAFKA_PID", pid.to_string()),
    ];
    match peer {
        Ok(program) => variables.push(("REDRIVE_BENCH_KLAG_EXPORTER", program)),
        Err(error) => eprintln!("going on without klag-exporter: {error:#}"),
    }
    Ok(variables)
}

fn klag_exporter() -> Result<String> {
    provision::debian_packages(&KLAG_EXPORTER_PACKAGES)?;
    let program = provision::cargo_tool("klag-exporter", KLAG_EXPORTER, "10 minutes")?;
    Ok(program.display().to_string())
}

/// A node without the queues of an earlier run, and its process.
fn start_rabbitmq(workspace: &Workspace) -> Result<Variables> {
    let _lock = workspace.lock()?;
    let service = forgotten(workspace, BENCH_RABBITMQ.name)?;
    let node = rabbitmq::ensure_running(workspace, &BENCH_RABBITMQ)?;
    let pid = service.pid().context("the node of the bench has ended")?;
    Ok(vec![
        ("REDRIVE_BENCH_AMQP_URL", node.amqp_url()),
        (
            "REDRIVE_BENCH_RABBITMQ_MANAGEMENT_URL",
            node.management_url(),
        ),
        (
            "REDRIVE_BENCH_RABBITMQ_PROMETHEUS_URL",
            node.prometheus_url(),
        ),
        ("REDRIVE_BENCH_RABBITMQ_PID", pid.to_string()),
    ])
}

/// A part whose data is gone.
fn forgotten(workspace: &Workspace, name: &str) -> Result<Service> {
    let service = Service::new(workspace, name)?;
    service.stop()?;
    fs::remove_dir_all(workspace.state_directory(name)?)?;
    Ok(service)
}
