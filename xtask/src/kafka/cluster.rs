//! A cluster of three `KRaft` nodes that speak TLS and every SASL mechanism, for tests that stop and start
//! its nodes (`xtask kafka-node N ACTION`).

use std::fs;
use std::path::Path;

use anyhow::{Result, bail, ensure};

use super::certificates::Certificates;
use super::{
    KAFKA_4, LOGGING, START_LIMIT, broker_count, class_path, format_storage, random_cluster_id,
    server_command,
};
use crate::ports::Ports;
use crate::process::Service;
use crate::provision;
use crate::workspace::Workspace;

const NODES: u16 = 3;
const HEAP: &str = "-Xmx384m";
const FOLDER: &str = "kafka-cluster";

/// Who may log in, by PLAIN and both kinds of SCRAM.
const USER: &str = "redrive";
const PASSWORD: &str = "correct: horse";

/// A listener of each node: its name, its protocol, and the variable by which tests find it.
const LISTENERS: [(&str, &str, &str); 4] = [
    ("INTERNAL", "PLAINTEXT", "REDRIVE_TEST_CLUSTER"),
    ("MUTUAL", "SSL", "REDRIVE_TEST_CLUSTER_MUTUAL_TLS"),
    ("LOGIN", "SASL_SSL", "REDRIVE_TEST_CLUSTER_LOGIN"),
    (
        "OPENLOGIN",
        "SASL_PLAINTEXT",
        "REDRIVE_TEST_CLUSTER_OPEN_LOGIN",
    ),
];

/// Starts what does not run yet and waits until all nodes have joined.
pub(crate) fn ensure_running(workspace: &Workspace) -> Result<Vec<(&'static str, String)>> {
    provision::debian_packages(&["openssl"])?;
    let _lock = workspace.lock()?;
    let mut ports = Ports::load(workspace);
    let is_running = |node| Ok::<bool, anyhow::Error>(service(workspace, node)?.is_running());
    let running = (1..=NODES).map(is_running).collect::<Result<Vec<_>>>()?;
    if !running.contains(&true) {
        eprintln!("starting a Kafka cluster of {NODES} nodes (usually 20 s)");
        prepare(workspace, &mut ports)?;
    }
    for node in 1..=NODES {
        if !service(workspace, node)?.is_running() {
            start(workspace, node)?;
        }
    }
    for node in 1..=NODES {
        wait_until_all_joined(workspace, node, &ports)?;
    }
    variables(workspace, &ports)
}

/// Stops the nodes that this command started.
pub(crate) fn stop_what_was_started(workspace: &Workspace) -> Result<()> {
    (1..=NODES).try_for_each(|node| workspace.started.stop(&service_name(node)))
}

/// `xtask kafka-node N stop|kill|start`
pub(crate) fn control(workspace: &Workspace, node: &str, action: &str) -> Result<()> {
    let _lock = workspace.lock()?;
    let node: u16 = node.parse().unwrap_or(0);
    ensure!(
        (1..=NODES).contains(&node),
        "the nodes are numbered from 1 to {NODES}"
    );
    let service = service(workspace, node)?;
    match action {
        "stop" => service.stop().map(drop),
        "kill" => service.kill(),
        "start" => {
            start(workspace, node)?;
            wait_until_all_joined(workspace, node, &Ports::load(workspace))
        }
        _ => bail!("a node does not know `{action}`: stop, kill or start"),
    }
}

fn service(workspace: &Workspace, node: u16) -> Result<Service> {
    Service::new(workspace, &service_name(node))
}

fn service_name(node: u16) -> String {
    format!("{FOLDER}-{node}")
}

/// Ports, certificates, configuration and storage. Nothing of an earlier run is kept: its nodes may have
/// known each other by other ports.
fn prepare(workspace: &Workspace, ports: &mut Ports) -> Result<()> {
    let folder = workspace.state_directory(FOLDER)?;
    fs::remove_dir_all(&folder)?;
    let certificates = Certificates::in_folder(&folder.join("certificates"))?;
    for node in 1..=NODES {
        ports.reserve(&port_name(node, "CONTROLLER"))?;
        for (listener, ..) in LISTENERS {
            ports.reserve(&port_name(node, listener))?;
        }
    }
    let cluster_id = random_cluster_id()?;
    let class_path = class_path(&provision::kafka_jars(&KAFKA_4)?);
    for node in 1..=NODES {
        let folder = workspace.state_directory(&format!("{FOLDER}/{node}"))?;
        let properties = folder.join("server.properties");
        fs::write(
            &properties,
            server_properties(node, ports, &folder, &certificates)?,
        )?;
        fs::write(folder.join("log4j2.properties"), LOGGING)?;
        let logins = ["SCRAM-SHA-256", "SCRAM-SHA-512"]
            .map(|mechanism| format!("{mechanism}=[name={USER},password=\"{PASSWORD}\"]"));
        let mut arguments = Vec::new();
        for login in &logins {
            arguments.extend(["--add-scram", login]);
        }
        format_storage(&class_path, &properties, &cluster_id, &arguments)?;
    }
    Ok(())
}

fn start(workspace: &Workspace, node: u16) -> Result<()> {
    let folder = workspace.state_directory(&format!("{FOLDER}/{node}"))?;
    let jars = provision::kafka_jars(&KAFKA_4)?;
    service(workspace, node)?.start(&server_command(HEAP, &folder, &jars))
}

fn wait_until_all_joined(workspace: &Workspace, node: u16, ports: &Ports) -> Result<()> {
    let port = ports.remembered(&port_name(node, "INTERNAL"))?;
    let what = "it knew all nodes of its cluster";
    service(workspace, node)?.wait_until(what, START_LIMIT, || {
        broker_count(port).is_ok_and(|count| count == i32::from(NODES))
    })
}

fn port_name(node: u16, listener: &str) -> String {
    format!("{FOLDER}-{node}-{}", listener.to_lowercase())
}

fn variables(workspace: &Workspace, ports: &Ports) -> Result<Vec<(&'static str, String)>> {
    let folder = workspace.state_directory(FOLDER)?.join("certificates");
    let mut variables = vec![
        (
            "REDRIVE_TEST_CLUSTER_CERTIFICATES",
            folder.display().to_string(),
        ),
        ("REDRIVE_TEST_CLUSTER_USER", USER.to_owned()),
        ("REDRIVE_TEST_CLUSTER_PASSWORD", PASSWORD.to_owned()),
        (
            "REDRIVE_TEST_CLUSTER_CONTROL",
            std::env::current_exe()?.display().to_string(),
        ),
    ];
    for (listener, _, variable) in LISTENERS {
        let address = |node| {
            let port = ports.remembered(&port_name(node, listener))?;
            Ok(format!("127.0.0.1:{port}"))
        };
        let addresses = (1..=NODES).map(address).collect::<Result<Vec<_>>>()?;
        variables.push((variable, addresses.join(",")));
    }
    Ok(variables)
}

fn server_properties(
    node: u16,
    ports: &Ports,
    folder: &Path,
    certificates: &Certificates,
) -> Result<String> {
    let mut listeners = Vec::new();
    for (listener, ..) in LISTENERS {
        let port = ports.remembered(&port_name(node, listener))?;
        listeners.push(format!("{listener}://127.0.0.1:{port}"));
    }
    let controller = |node| ports.remembered(&port_name(node, "CONTROLLER"));
    let voter = |node| Ok(format!("{node}@127.0.0.1:{}", controller(node)?));
    let voters = (1..=NODES).map(voter).collect::<Result<Vec<_>>>()?;
    let protocols = LISTENERS.map(|(listener, protocol, _)| format!("{listener}:{protocol}"));
    let mut properties = format!(
        "process.roles=broker,controller\n\
         node.id={node}\n\
         controller.quorum.voters={voters}\n\
         listeners={listeners},CONTROLLER://127.0.0.1:{controller_port}\n\
         advertised.listeners={listeners}\n\
         controller.listener.names=CONTROLLER\n\
         inter.broker.listener.name=INTERNAL\n\
         listener.security.protocol.map=CONTROLLER:PLAINTEXT,{protocols}\n\
         log.dirs={data}\n\
         auto.create.topics.enable=false\n\
         offsets.topic.num.partitions=6\n\
         transaction.state.log.num.partitions=3\n\
         share.coordinator.state.topic.num.partitions=3\n\
         group.initial.rebalance.delay.ms=0\n\
         authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n\
         super.users=User:ANONYMOUS\n\
         allow.everyone.if.no.acl.found=true\n\
         ssl.keystore.type=PEM\n\
         ssl.keystore.location={node_file}\n\
         ssl.truststore.type=PEM\n\
         ssl.truststore.location={authority_file}\n\
         listener.name.mutual.ssl.client.auth=required\n",
        voters = voters.join(","),
        listeners = listeners.join(","),
        controller_port = controller(node)?,
        protocols = protocols.join(","),
        data = folder.join("data").display(),
        node_file = certificates.node_file().display(),
        authority_file = certificates.authority_file().display(),
    );
    properties.push_str(&login_properties());
    Ok(properties)
}

/// Tokens are unsigned JWTs, which a broker takes that is told of no keys. A session by token ends soon.
fn login_properties() -> String {
    let module = "org.apache.kafka.common.security";
    let (login, open) = ("listener.name.login", "listener.name.openlogin");
    let scram = format!("sasl.jaas.config={module}.scram.ScramLoginModule required;\n");
    format!(
        "{login}.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER\n\
         {login}.plain.sasl.jaas.config={module}.plain.PlainLoginModule required user_{USER}=\"{PASSWORD}\";\n\
         {login}.scram-sha-256.{scram}\
         {login}.scram-sha-512.{scram}\
         {login}.oauthbearer.sasl.jaas.config={module}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub=\"broker\";\n\
         {login}.oauthbearer.connections.max.reauth.ms=20000\n\
         {open}.sasl.enabled.mechanisms=SCRAM-SHA-256\n\
         {open}.scram-sha-256.{scram}"
    )
}
