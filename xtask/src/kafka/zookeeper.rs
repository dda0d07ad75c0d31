//! `ZooKeeper`, which Kafka needs before `KRaft`; it comes with the jars of such a Kafka.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::{START_LIMIT, class_path};
use crate::http;
use crate::ports::Ports;
use crate::process::Service;
use crate::workspace::Workspace;

/// The port of the node that belongs to a broker, started if need be.
pub(super) fn ensure_running(
    workspace: &Workspace,
    ports: &mut Ports,
    broker: &str,
    jars: &Path,
) -> Result<u16> {
    let name = format!("{broker}-zookeeper");
    let service = Service::new(workspace, &name)?;
    if service.is_running() {
        return ports.remembered(&name);
    }
    let port = ports.reserve(&name)?;
    let folder = workspace.state_directory(&name)?;
    let configuration = folder.join("zoo.cfg");
    fs::write(
        &configuration,
        format!(
            "dataDir={}\nclientPort={port}\nclientPortAddress=127.0.0.1\nadmin.enableServer=false\n",
            folder.join("data").display()
        ),
    )?;
    let mut command = Command::new("java");
    command.args(["-Xmx256m", "-cp", &class_path(jars)]);
    command.arg("org.apache.zookeeper.server.quorum.QuorumPeerMain");
    service.start(command.arg(&configuration))?;
    service.wait_until("it took connections", START_LIMIT, || {
        http::connect(port).is_ok()
    })?;
    Ok(port)
}
