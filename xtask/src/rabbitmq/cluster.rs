//! A cluster of two nodes, for tests that stop and start its nodes (`xtask rabbitmq-node N ACTION`).

use std::fmt::Write as _;
use std::fs;

use anyhow::{Result, bail, ensure};

use super::{GUEST, RabbitMqPorts, RabbitMqSettings, START_LIMIT};
use crate::http;
use crate::ports::Ports;
use crate::process::Service;
use crate::provision;
use crate::workspace::Workspace;

const NAMES: [&str; 2] = ["redrive-cluster-1@localhost", "redrive-cluster-2@localhost"];

static NODES: [RabbitMqSettings; 2] = [
    RabbitMqSettings {
        name: "rabbitmq-cluster-1",
        node: NAMES[0],
        suite: None,
        cluster: &NAMES,
    },
    RabbitMqSettings {
        name: "rabbitmq-cluster-2",
        node: NAMES[1],
        suite: None,
        cluster: &NAMES,
    },
];

/// A quorum queue has statistics each second, as others have by [`formation`], so that tests need not wait the
/// usual five for them.
pub(super) const ERL_ARGUMENTS: &str = " -rabbit quorum_tick_interval 1000";

/// Erlang makes one in the home directory of a node that has none.
const COOKIE: &str = ".erlang.cookie";

/// Starts what does not run yet and waits until both nodes know each other.
pub(crate) fn ensure_running(workspace: &Workspace) -> Result<Vec<(&'static str, String)>> {
    provision::debian_packages(&["rabbitmq-server"])?;
    let _lock = workspace.lock()?;
    let is_running =
        |settings: &RabbitMqSettings| Ok(Service::new(workspace, settings.name)?.is_running());
    let running = NODES.iter().map(is_running).collect::<Result<Vec<_>>>()?;
    if !running.contains(&true) {
        start_anew(workspace)?;
    }
    let ports = Ports::load(workspace);
    let mut nodes = Vec::new();
    for settings in &NODES {
        let service = Service::new(workspace, settings.name)?;
        if !service.is_running() {
            super::start_again(workspace, settings)?;
        }
        nodes.push(super::wait_until_ready(&service, settings, &ports)?);
    }
    for (settings, node) in NODES.iter().zip(&nodes) {
        wait_until_all_joined(workspace, settings, node.management)?;
    }
    variables(&nodes)
}

/// Ends the nodes that this command started, at once: nothing of them is kept.
pub(crate) fn stop_what_was_started(workspace: &Workspace) -> Result<()> {
    let is_node = |service: &&Service| NODES.iter().any(|node| node.name == service.name);
    let started = workspace.started.lock().clone();
    started.iter().filter(is_node).try_for_each(Service::kill)?;
    let mut nodes = NODES.iter();
    nodes.try_for_each(|settings| workspace.started.stop(settings.name))
}

/// `xtask rabbitmq-node N stop|kill|start`
pub(crate) fn control(workspace: &Workspace, node: &str, action: &str) -> Result<()> {
    let _lock = workspace.lock()?;
    let index = node.parse::<usize>().ok().and_then(|n| n.checked_sub(1));
    let Some(settings) = index.and_then(|index| NODES.get(index)) else {
        bail!("the nodes are numbered from 1 to {}", NODES.len());
    };
    let service = Service::new(workspace, settings.name)?;
    match action {
        "stop" => service.stop().map(drop),
        "kill" => service.kill(),
        "start" => {
            ensure!(!service.is_running(), "{} runs already", settings.name);
            super::start_again(workspace, settings)?;
            let management = Ports::load(workspace).remembered(&settings.port("management"))?;
            wait_until_all_joined(workspace, settings, management)
        }
        _ => bail!("a node does not know `{action}`: stop, kill or start"),
    }
}

/// What tells a node which others to join when it starts for the first time. They ask each other only once: the
/// first would wait in vain for the second, which starts after it.
pub(super) fn formation(nodes: &[&str]) -> String {
    if nodes.is_empty() {
        return String::new();
    }
    let mut lines = "collect_statistics_interval = 1000\n\
                     cluster_formation.peer_discovery_backend = classic_config\n\
                     cluster_formation.discovery_retry_limit = 1\n"
        .to_owned();
    for (number, node) in (1..).zip(nodes) {
        let _ = writeln!(
            lines,
            "cluster_formation.classic_config.nodes.{number} = {node}"
        );
    }
    lines
}

/// One after the other, so that the second joins the first, whose cookie it has. Nothing of an earlier run
/// is kept: a node waits for the one that stopped last.
fn start_anew(workspace: &Workspace) -> Result<()> {
    eprintln!(
        "starting a RabbitMQ cluster of {} nodes (usually 15 s)",
        NODES.len()
    );
    let mut ports = Ports::load(workspace);
    let mut cookie = None;
    for settings in &NODES {
        fs::remove_dir_all(workspace.state_directory(settings.name)?)?;
        let own_cookie = workspace.state_directory(settings.name)?.join(COOKIE);
        if let Some(cookie) = &cookie {
            fs::copy(cookie, &own_cookie)?;
        }
        let service = Service::new(workspace, settings.name)?;
        super::start(workspace, &service, settings, &mut ports)?;
        super::wait_until_ready(&service, settings, &ports)?;
        cookie.get_or_insert(own_cookie);
    }
    Ok(())
}

fn wait_until_all_joined(
    workspace: &Workspace,
    settings: &RabbitMqSettings,
    management: u16,
) -> Result<()> {
    let service = Service::new(workspace, settings.name)?;
    let knows_all = || {
        let answer = http::get(management, "/api/nodes?columns=name,running", Some(GUEST));
        answer.is_ok_and(|answer| answer.body.matches(r#""running":true"#).count() == NODES.len())
    };
    service.wait_until("it knew all nodes of its cluster", START_LIMIT, knows_all)
}

fn variables(nodes: &[RabbitMqPorts]) -> Result<Vec<(&'static str, String)>> {
    let urls = |url: fn(&RabbitMqPorts) -> String| {
        nodes.iter().map(url).collect::<Vec<String>>().join(",")
    };
    Ok(vec![
        (
            "REDRIVE_TEST_RABBITMQ_CLUSTER_AMQP_URLS",
            urls(RabbitMqPorts::amqp_url),
        ),
        (
            "REDRIVE_TEST_RABBITMQ_CLUSTER_MANAGEMENT_URLS",
            urls(RabbitMqPorts::management_url),
        ),
        (
            "REDRIVE_TEST_RABBITMQ_CLUSTER_PROMETHEUS_URLS",
            urls(RabbitMqPorts::prometheus_url),
        ),
        (
            "REDRIVE_TEST_RABBITMQ_CLUSTER_CONTROL",
            std::env::current_exe()?.display().to_string(),
        ),
    ])
}
