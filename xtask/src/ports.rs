//! Loopback ports: chosen free at the first start and remembered, so that addresses stay the same
//! over restarts while nobody else has taken them.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::workspace::Workspace;

/// Below the range from which Linux gives out ports for outgoing connections, so that a stopped
/// broker finds its port still free when it starts again.
const CANDIDATES: std::ops::Range<u16> = 18_000..32_000;

/// The remembered ports of a checkout, one `name=port` a line.
pub(crate) struct Ports {
    file: PathBuf,
    by_name: BTreeMap<String, u16>,
}

impl Ports {
    pub(crate) fn load(workspace: &Workspace) -> Self {
        let file = workspace.state().join("ports");
        let text = fs::read_to_string(&file).unwrap_or_default();
        let parse = |line: &str| {
            let (name, port) = line.split_once('=')?;
            Some((name.to_owned(), port.parse().ok()?))
        };
        Self {
            file,
            by_name: text.lines().filter_map(parse).collect(),
        }
    }

    /// The port of something that runs already.
    pub(crate) fn remembered(&self, name: &str) -> Result<u16> {
        self.by_name.get(name).copied().with_context(|| {
            format!(
                "{} does not name the port of {name}; run cargo xtask down",
                self.file.display()
            )
        })
    }

    /// The remembered port if it is free, else a new one.
    pub(crate) fn reserve(&mut self, name: &str) -> Result<u16> {
        let port = match self.by_name.get(name) {
            Some(&port) if is_free(port) => port,
            _ => self.find_free()?,
        };
        self.remember(name, port)
    }

    /// The preferred port, or the first free one above it.
    pub(crate) fn reserve_near(&mut self, name: &str, preferred: u16) -> Result<u16> {
        let Some(port) = (preferred..preferred + 100).find(|&port| is_free(port)) else {
            bail!("no port from {preferred} to {} is free", preferred + 99);
        };
        self.remember(name, port)
    }

    fn remember(&mut self, name: &str, port: u16) -> Result<u16> {
        self.by_name.insert(name.to_owned(), port);
        let lines: Vec<String> = self
            .by_name
            .iter()
            .map(|(name, port)| format!("{name}={port}\n"))
            .collect();
        fs::write(&self.file, lines.concat())
            .with_context(|| format!("cannot write {}", self.file.display()))?;
        Ok(port)
    }

    fn find_free(&self) -> Result<u16> {
        let count = CANDIDATES.end - CANDIDATES.start;
        // Two checkouts that start at once begin at different places.
        let start = RandomState::new().hash_one(std::process::id()) % u64::from(count);
        let start = u16::try_from(start)?;
        (0..count)
            .map(|step| CANDIDATES.start + (start + step) % count)
            .find(|&port| is_free(port) && !self.by_name.values().any(|&taken| taken == port))
            .context("no loopback port is free")
    }
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}
