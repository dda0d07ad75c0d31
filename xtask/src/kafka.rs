//! Apache Kafka as one node: fetched from Maven Central, formatted once, started with plain `java`.

pub(crate) mod certificates;
pub(crate) mod cluster;
mod zookeeper;

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::http;
use crate::ports::Ports;
use crate::process::{self, Service};
use crate::provision;
use crate::workspace::Workspace;

const START_LIMIT: Duration = Duration::from_mins(2);

/// A release that Redrive is tested on.
pub(crate) struct KafkaRelease {
    pub(crate) version: &'static str,
    coordination: Coordination,
}

/// What keeps the brokers of a cluster together.
#[derive(Clone, Copy)]
enum Coordination {
    KRaft,
    ZooKeeper,
}

pub(crate) static KAFKA_4: KafkaRelease = KafkaRelease {
    version: "4.4.0",
    coordination: Coordination::KRaft,
};

/// Which of the brokers of a checkout, and how much memory it may take.
pub(crate) struct KafkaSettings {
    /// Names the service, its ports and its directory.
    pub(crate) name: &'static str,
    pub(crate) release: &'static KafkaRelease,
    pub(crate) heap: &'static str,
    /// Listeners beside the plain one whose clients are sent to a proxy's port.
    pub(crate) lanes: u16,
}

/// A listener that advertises the port on which a test's proxy listens, so that a client that came
/// through the proxy stays behind it.
pub(crate) struct Lane {
    pub(crate) proxy: u16,
    pub(crate) broker: u16,
}

/// The broker that the demo and the tests share.
pub(crate) static SHARED: KafkaSettings = KafkaSettings {
    name: "kafka",
    release: &KAFKA_4,
    heap: "-Xmx1g",
    lanes: 0,
};

/// The older releases of `cargo xtask test --brokers all`.
pub(crate) static OLDER: [KafkaSettings; 2] = [
    KafkaSettings {
        name: "kafka-3.9",
        release: &KafkaRelease {
            version: "3.9.1",
            coordination: Coordination::KRaft,
        },
        heap: "-Xmx1g",
        lanes: 0,
    },
    KafkaSettings {
        name: "kafka-2.8",
        release: &KafkaRelease {
            version: "2.8.2",
            coordination: Coordination::ZooKeeper,
        },
        heap: "-Xmx1g",
        lanes: 0,
    },
];

/// The older release that somebody names on the command line.
pub(crate) fn older(version: &str) -> Result<&'static KafkaSettings> {
    let found = OLDER
        .iter()
        .find(|settings| settings.name.strip_prefix("kafka-") == Some(version));
    found.with_context(|| format!("no Kafka {version} is provided: 2.8 or 3.9"))
}

/// Answers the port of the running broker, starting it first if need be.
pub(crate) fn ensure_running(workspace: &Workspace, settings: &KafkaSettings) -> Result<u16> {
    let service = Service::new(workspace, settings.name)?;
    let mut ports = Ports::load(workspace);
    if !service.is_running() {
        let jars = provision::kafka_jars(settings.release)?;
        start(workspace, &service, settings, &mut ports, &jars)?;
    }
    let port = ports.remembered(settings.name)?;
    wait_until_ready(&service, port)?;
    Ok(port)
}

/// Starts a broker that ran before as it was, on the same ports, whoever listens on those of its lanes.
pub(crate) fn start_again(workspace: &Workspace, settings: &KafkaSettings) -> Result<()> {
    let service = Service::new(workspace, settings.name)?;
    let directory = workspace.state_directory(settings.name)?;
    let jars = provision::kafka_jars(settings.release)?;
    service.start(&server_command(settings.heap, &directory, &jars))?;
    wait_until_ready(&service, Ports::load(workspace).remembered(settings.name)?)
}

/// The lanes of a broker that has been started.
pub(crate) fn lanes(workspace: &Workspace, settings: &KafkaSettings) -> Result<Vec<Lane>> {
    let ports = Ports::load(workspace);
    let lane = |number| {
        let name = lane_name(settings, number);
        Ok(Lane {
            proxy: ports.remembered(&format!("{name}-proxy"))?,
            broker: ports.remembered(&name)?,
        })
    };
    (0..settings.lanes).map(lane).collect()
}

fn lane_name(settings: &KafkaSettings, number: u16) -> String {
    format!("{}-lane-{number}", settings.name)
}

fn wait_until_ready(service: &Service, port: u16) -> Result<()> {
    service.wait_until("it answered a request", START_LIMIT, || {
        has_living_broker(port)
    })
}

fn start(
    workspace: &Workspace,
    service: &Service,
    settings: &KafkaSettings,
    ports: &mut Ports,
    jars: &Path,
) -> Result<()> {
    eprintln!("starting {} (usually 7 s)", settings.name);
    let directory = workspace.state_directory(settings.name)?;
    let port = ports.reserve(settings.name)?;
    let lanes = reserve_lanes(settings, ports)?;
    fs::write(directory.join("log4j2.properties"), LOGGING)?;
    let properties = directory.join("server.properties");
    let data = directory.join("data");
    match settings.release.coordination {
        Coordination::KRaft => {
            let controller = ports.reserve(&format!("{}-controller", settings.name))?;
            fs::write(
                &properties,
                kraft_properties(port, controller, &lanes, &data),
            )?;
            if !data.join("meta.properties").exists() {
                format_storage(&class_path(jars), &properties, &random_cluster_id()?, &[])?;
            }
        }
        Coordination::ZooKeeper => {
            let zookeeper = zookeeper::ensure_running(workspace, ports, settings.name, jars)?;
            fs::write(&properties, zookeeper_properties(port, zookeeper, &data))?;
        }
    }
    service.start(&server_command(settings.heap, &directory, jars))
}

fn reserve_lanes(settings: &KafkaSettings, ports: &mut Ports) -> Result<Vec<Lane>> {
    let mut lanes = Vec::new();
    for number in 0..settings.lanes {
        let name = lane_name(settings, number);
        lanes.push(Lane {
            proxy: ports.reserve(&format!("{name}-proxy"))?,
            broker: ports.reserve(&name)?,
        });
    }
    Ok(lanes)
}

fn class_path(jars: &Path) -> String {
    format!("{}/*", jars.display())
}

fn server_command(heap: &str, directory: &Path, jars: &Path) -> Command {
    let mut command = Command::new("java");
    command.arg(heap);
    command.arg(format!(
        "-Dlog4j2.configurationFile={}/log4j2.properties",
        directory.display()
    ));
    command
        .args(["-cp", &class_path(jars), "kafka.Kafka"])
        .arg(directory.join("server.properties"));
    command
}

fn format_storage(
    class_path: &str,
    properties: &Path,
    cluster_id: &str,
    arguments: &[&str],
) -> Result<()> {
    let mut command = Command::new("java");
    command.args(["-cp", class_path, "kafka.tools.StorageTool", "format", "-t"]);
    command.arg(cluster_id).arg("-c").arg(properties);
    command.args(arguments);
    let output = command.output().context("cannot run java")?;
    ensure!(
        output.status.success(),
        "`{}` failed: {}",
        process::shown(&command),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// Sixteen bytes in URL-safe base64 take 22 characters, of which the last carries two bits. Letters
/// and digits alone are random enough, and never look like an option.
fn random_cluster_id() -> Result<String> {
    const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut bytes = [0_u8; 21];
    fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    let letter = |byte: &u8| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()]);
    Ok(bytes.iter().map(letter).chain(['A']).collect())
}

fn kraft_properties(port: u16, controller: u16, lanes: &[Lane], data: &Path) -> String {
    let of_lanes = |port: fn(&Lane) -> u16| {
        let numbered = lanes.iter().enumerate();
        let listener = |(number, lane)| format!(",LANE{number}://127.0.0.1:{}", port(lane));
        numbered.map(listener).collect::<String>()
    };
    let listeners = of_lanes(|lane| lane.broker);
    let advertised = of_lanes(|lane| lane.proxy);
    let protocol = |number| format!(",LANE{number}:PLAINTEXT");
    let protocols = (0..lanes.len()).map(protocol).collect::<Vec<_>>().concat();
    format!(
        "process.roles=broker,controller\n\
         node.id=1\n\
         controller.quorum.voters=1@127.0.0.1:{controller}\n\
         listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}{listeners}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{port}{advertised}\n\
         controller.listener.names=CONTROLLER\n\
         listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT{protocols}\n\
         share.coordinator.state.topic.replication.factor=1\n\
         share.coordinator.state.topic.min.isr=1\n\
         {}",
        common_properties(data)
    )
}

fn zookeeper_properties(port: u16, zookeeper: u16, data: &Path) -> String {
    format!(
        "broker.id=1\n\
         zookeeper.connect=127.0.0.1:{zookeeper}\n\
         listeners=PLAINTEXT://127.0.0.1:{port}\n\
         {}",
        common_properties(data)
    )
}

/// Topics are made by those who need them: a mistyped name shall fail here as it would in production.
fn common_properties(data: &Path) -> String {
    format!(
        "log.dirs={}\n\
         auto.create.topics.enable=false\n\
         num.partitions=1\n\
         offsets.topic.replication.factor=1\n\
         transaction.state.log.replication.factor=1\n\
         transaction.state.log.min.isr=1\n\
         group.initial.rebalance.delay.ms=0\n\
         log.retention.check.interval.ms=5000\n",
        data.display(),
    )
}

const LOGGING: &str = "\
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{ISO8601} %p %c{1} %m%n
rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
";

/// An open port is not enough: a broker that is still fenced names no broker in its metadata.
fn has_living_broker(port: u16) -> bool {
    broker_count(port).is_ok_and(|count| count > 0)
}

/// Asks for the metadata of no topics (version 1, which every broker speaks) and counts the brokers.
fn broker_count(port: u16) -> Result<i32> {
    const METADATA_REQUEST: [u8; 18] = [
        0, 0, 0, 14, // length of what follows
        0, 3, 0, 1, // metadata, version 1
        0, 0, 0, 7, // correlation ID
        255, 255, // no client ID
        0, 0, 0, 0, // an empty list of topics
    ];
    let mut stream = http::connect(port)?;
    stream.write_all(&METADATA_REQUEST)?;
    // Length, correlation ID and the number of brokers.
    let mut head = [0_u8; 12];
    stream.read_exact(&mut head)?;
    let [.., a, b, c, d] = head;
    Ok(i32::from_be_bytes([a, b, c, d]))
}
