//! RabbitMQ from Debian's packages as nodes of our own: own name, name server (epmd), cookie, plugins and
//! data, so that a broker which the system runs is never disturbed. They run as whoever runs xtask.
//!
//! Debian carries one version a suite. Those that the system's suite has not come from a newer suite in a
//! folder of its own ([`provision::debian_suite`]) and run in it, in a mount namespace that ends with them.

pub(crate) mod cluster;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::http;
use crate::ports::Ports;
use crate::process::Service;
use crate::provision::{self, Suite};
use crate::workspace::Workspace;

const START_LIMIT: Duration = Duration::from_mins(2);
/// Debian's wrapper in `/usr/sbin` insists on the rabbitmq user and the system's directories; this
/// is the script that it calls.
const SERVER: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";
/// The shovel is what a bench compares replays with.
const ENABLED_PLUGINS: &str = "[rabbitmq_management,rabbitmq_prometheus,rabbitmq_shovel,\
     rabbitmq_shovel_management].\n";
/// `guest:guest`, the user that a new node has.
const GUEST: &str = "Z3Vlc3Q6Z3Vlc3Q=";

/// Where the directory of a checkout's node is mounted inside the folder of a newer suite.
const DIRECTORY_IN_SUITE: &str = "/srv";
/// Enters the folder `$0`, with what a process needs from the kernel, the names of this host (a new
/// folder knows no localhost) and the node's directory `$1`, and becomes the command that follows. The
/// mounts are seen by nobody else and end with it.
const ENTER_SUITE: &str = r#"set -e; root=$0; directory=$1; shift
mount --rbind /proc "$root/proc"; mount --rbind /dev "$root/dev"
touch "$root/etc/hosts"; mount --bind /etc/hosts "$root/etc/hosts"
mount --bind "$directory" "$root/srv"; exec chroot "$root" "$@""#;

/// Which of the nodes of a checkout.
pub(crate) struct RabbitMqSettings {
    /// Names the service, its ports and its directory.
    pub(crate) name: &'static str,
    pub(crate) node: &'static str,
    /// The newer suite that it comes from; `None` for the package of this system.
    pub(crate) suite: Option<Suite>,
    /// All nodes of its cluster; empty for a node that is alone.
    pub(crate) cluster: &'static [&'static str],
}

/// The node that the demo and the tests share.
pub(crate) static SHARED: RabbitMqSettings = RabbitMqSettings {
    name: "rabbitmq",
    node: "redrive@localhost",
    suite: None,
    cluster: &[],
};

/// The releases that only `--brokers all` and `--rabbitmq` start.
pub(crate) static NEWER: [RabbitMqSettings; 2] = [
    RabbitMqSettings {
        name: "rabbitmq-4.0",
        node: "redrive40@localhost",
        suite: Some(Suite {
            name: "trixie",
            script: "trixie",
            folder: "rabbitmq-4.0",
            package: "rabbitmq-server",
            usual: "2 to 4 minutes, 372 MB",
        }),
        cluster: &[],
    },
    RabbitMqSettings {
        name: "rabbitmq-4.3",
        node: "redrive43@localhost",
        suite: Some(Suite {
            name: "forky",
            // Debian 12's debootstrap does not know forky by name yet; testing is set up like sid.
            script: "sid",
            folder: "rabbitmq-4.3",
            package: "rabbitmq-server",
            usual: "1 to 4 minutes, 392 MB",
        }),
        cluster: &[],
    },
];

/// The node of a newer release, by its version.
pub(crate) fn newer(version: &str) -> Result<&'static RabbitMqSettings> {
    let mut nodes = NEWER.iter();
    nodes
        .find(|settings| settings.name.strip_prefix("rabbitmq-") == Some(version))
        .with_context(|| format!("there is no RabbitMQ {version} here, but 4.0 and 4.3"))
}

/// The ports of a running node.
pub(crate) struct RabbitMqPorts {
    pub(crate) amqp: u16,
    pub(crate) management: u16,
    pub(crate) prometheus: u16,
}

impl RabbitMqPorts {
    pub(crate) fn amqp_url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.amqp)
    }

    pub(crate) fn management_url(&self) -> String {
        format!("http://guest:guest@127.0.0.1:{}", self.management)
    }

    pub(crate) fn prometheus_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.prometheus)
    }
}

/// The ports by which the node is known to others of its kind.
struct ErlangPorts {
    distribution: u16,
    epmd: u16,
}

/// Answers the ports of the running node, starting it first if need be.
pub(crate) fn ensure_running(
    workspace: &Workspace,
    settings: &RabbitMqSettings,
) -> Result<RabbitMqPorts> {
    let service = Service::new(workspace, settings.name)?;
    let mut ports = Ports::load(workspace);
    if !service.is_running() {
        // The name server is Debian's own for every release.
        provision::debian_packages(&["rabbitmq-server"])?;
        start(workspace, &service, settings, &mut ports)?;
    }
    wait_until_ready(&service, settings, &ports)
}

/// Starts a node that ran before as it was, on the same ports.
pub(crate) fn start_again(workspace: &Workspace, settings: &RabbitMqSettings) -> Result<()> {
    let service = Service::new(workspace, settings.name)?;
    let mut ports = Ports::load(workspace);
    let directory = workspace.state_directory(settings.name)?;
    let erlang = ErlangPorts {
        epmd: ensure_epmd_running(workspace, &mut ports)?,
        distribution: ports.remembered(&settings.port("distribution"))?,
    };
    service.start(&server_command(settings, &directory, &erlang)?)?;
    wait_until_ready(&service, settings, &ports).map(drop)
}

fn wait_until_ready(
    service: &Service,
    settings: &RabbitMqSettings,
    ports: &Ports,
) -> Result<RabbitMqPorts> {
    let node = RabbitMqPorts {
        amqp: ports.remembered(settings.name)?,
        management: ports.remembered(&settings.port("management"))?,
        prometheus: ports.remembered(&settings.port("prometheus"))?,
    };
    service.wait_until("it was ready", START_LIMIT, || is_ready(&node))?;
    Ok(node)
}

impl RabbitMqSettings {
    fn port(&self, what: &str) -> String {
        format!("{}-{what}", self.name)
    }
}

fn start(
    workspace: &Workspace,
    service: &Service,
    settings: &RabbitMqSettings,
    ports: &mut Ports,
) -> Result<()> {
    eprintln!("starting {} (usually 12 s)", settings.name);
    let directory = workspace.state_directory(settings.name)?;
    let node = RabbitMqPorts {
        amqp: ports.reserve(settings.name)?,
        management: ports.reserve(&settings.port("management"))?,
        prometheus: ports.reserve(&settings.port("prometheus"))?,
    };
    let erlang = ErlangPorts {
        epmd: ensure_epmd_running(workspace, ports)?,
        distribution: ports.reserve(&settings.port("distribution"))?,
    };
    let configuration = configuration(&node) + &cluster::formation(settings.cluster);
    fs::write(directory.join("rabbitmq.conf"), configuration)?;
    fs::write(directory.join("enabled_plugins"), ENABLED_PLUGINS)?;
    service.start(&server_command(settings, &directory, &erlang)?)
}

fn server_command(
    settings: &RabbitMqSettings,
    directory: &Path,
    erlang: &ErlangPorts,
) -> Result<Command> {
    let (mut command, directory_of_node) = match &settings.suite {
        Some(suite) => {
            let root = provision::debian_suite(suite)?;
            (
                suite_command(&root, directory),
                Path::new(DIRECTORY_IN_SUITE),
            )
        }
        None => (Command::new(SERVER), directory),
    };
    command.current_dir(directory);
    set_environment(&mut command, settings, directory_of_node, erlang);
    Ok(command)
}

/// The server in the folder of a newer suite, as a command of this system.
fn suite_command(root: &Path, directory: &Path) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c"]);
    command
        .arg(ENTER_SUITE)
        .arg(root)
        .arg(directory)
        .arg(SERVER)
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command
}

fn set_environment(
    command: &mut Command,
    settings: &RabbitMqSettings,
    directory: &Path,
    erlang: &ErlangPorts,
) {
    let mut erl_arguments = "-kernel inet_dist_use_interface {127,0,0,1}".to_owned();
    if !settings.cluster.is_empty() {
        erl_arguments += cluster::ERL_ARGUMENTS;
    }
    command
        // The Erlang cookie lies in the home directory.
        .env("HOME", directory)
        .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
        .env("RABBITMQ_NODENAME", settings.node)
        .env("RABBITMQ_CONFIG_FILE", directory.join("rabbitmq.conf"))
        .env(
            "RABBITMQ_ENABLED_PLUGINS_FILE",
            directory.join("enabled_plugins"),
        )
        .env("RABBITMQ_MNESIA_BASE", directory.join("data"))
        .env("RABBITMQ_LOG_BASE", directory.join("log"))
        .env("RABBITMQ_PID_FILE", directory.join("node.pid"))
        .env("RABBITMQ_DIST_PORT", erlang.distribution.to_string())
        .env("ERL_EPMD_PORT", erlang.epmd.to_string())
        .env("ERL_EPMD_ADDRESS", "127.0.0.1")
        .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", erl_arguments);
}

/// Erlang would start a name server by itself that nobody stops; this one has a pid file.
fn ensure_epmd_running(workspace: &Workspace, ports: &mut Ports) -> Result<u16> {
    let service = Service::new(workspace, "epmd")?;
    if service.is_running() {
        return ports.remembered("epmd");
    }
    let port = ports.reserve("epmd")?;
    let mut command = Command::new("epmd");
    command.args(["-address", "127.0.0.1", "-port", &port.to_string()]);
    service.start(&command)?;
    service.wait_until("it listened", START_LIMIT, || http::connect(port).is_ok())?;
    Ok(port)
}

fn configuration(node: &RabbitMqPorts) -> String {
    let RabbitMqPorts {
        amqp,
        management,
        prometheus,
    } = node;
    format!(
        "listeners.tcp.1 = 127.0.0.1:{amqp}\n\
         management.tcp.ip = 127.0.0.1\n\
         management.tcp.port = {management}\n\
         prometheus.tcp.ip = 127.0.0.1\n\
         prometheus.tcp.port = {prometheus}\n\
         log.file = false\n\
         log.console = true\n\
         log.console.level = warning\n"
    )
}

/// The management API says that it is up before it can answer for the node, hence a real question.
fn is_ready(node: &RabbitMqPorts) -> bool {
    let answers = |port, path| {
        http::get(port, path, Some(GUEST)).is_ok_and(|response| response.status == 200)
    };
    http::connect(node.amqp).is_ok()
        && answers(node.management, "/api/overview")
        && answers(node.prometheus, "/metrics")
}
