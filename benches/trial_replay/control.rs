//! The brokers of the trial, which it may stop and start.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result, ensure};
use tokio::process::Command;
use tokio::sync::{RwLock, RwLockReadGuard};

use crate::plan::{BrokerEnd, System};

/// One broker. Whoever needs it to answer holds [`BrokerControl::up`].
pub(crate) struct BrokerControl {
    system: System,
    program: PathBuf,
    running: RwLock<()>,
    restarts: AtomicUsize,
}

impl BrokerControl {
    pub(crate) fn new(system: System, program: PathBuf) -> Self {
        Self {
            system,
            program,
            running: RwLock::new(()),
            restarts: AtomicUsize::new(0),
        }
    }

    /// While it is held, nobody stops the broker.
    pub(crate) async fn up(&self) -> RwLockReadGuard<'_, ()> {
        self.running.read().await
    }

    /// Restarts so far, each of which interrupts every episode of the broker.
    pub(crate) fn restarts(&self) -> usize {
        self.restarts.load(Ordering::SeqCst)
    }

    pub(crate) async fn restart(&self, end: BrokerEnd) -> Result<()> {
        let _nobody_needs_it = self.running.write().await;
        self.restarts.fetch_add(1, Ordering::SeqCst);
        let ending = match end {
            BrokerEnd::Stopped => "stop",
            BrokerEnd::Killed => "kill",
        };
        self.ask(ending).await?;
        self.ask("start").await
    }

    async fn ask(&self, action: &str) -> Result<()> {
        let mut command = Command::new(&self.program);
        command.args(["trial", "broker", self.system.name(), action]);
        let status = command.status().await;
        let status = status.with_context(|| format!("cannot run {}", self.program.display()))?;
        let name = self.system.name();
        ensure!(
            status.success(),
            "`trial broker {name} {action}` failed: {status}"
        );
        Ok(())
    }
}
