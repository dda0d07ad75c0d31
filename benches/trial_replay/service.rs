//! The real binary in a folder of its own.

use std::fs::File;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::process::{Child, Command};

/// `redrive serve`, running or not; it is killed when this is dropped.
pub(crate) struct Service<'a> {
    folder: &'a Path,
    child: Option<Child>,
    starts: u32,
}

impl<'a> Service<'a> {
    pub(crate) const fn new(folder: &'a Path) -> Self {
        Self {
            folder,
            child: None,
            starts: 0,
        }
    }

    pub(crate) const fn is_running(&self) -> bool {
        self.child.is_some()
    }

    /// Starts it; with a crash point it ends itself there.
    pub(crate) fn start(&mut self, crash_at: Option<&str>) -> Result<()> {
        self.starts += 1;
        let log = self.folder.join(format!("serve-{}.log", self.starts));
        let log = File::create(log)?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_redrive"));
        command
            .args(["serve", "--config", "redrive.toml"])
            .current_dir(self.folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .env("RUST_BACKTRACE", "0")
            .kill_on_drop(true);
        if let Some(point) = crash_at {
            command.env("REDRIVE_CRASH_AT", point);
        }
        self.child = Some(command.spawn().context("cannot start redrive serve")?);
        Ok(())
    }

    /// `kill -9`.
    pub(crate) async fn kill(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill().await.context("cannot kill redrive serve")?;
        }
        Ok(())
    }

    /// Waits until it has ended by itself; `None` if it did not in time, and runs on.
    pub(crate) async fn ends_within(&mut self, limit: Duration) -> Result<Option<ExitStatus>> {
        let Some(child) = &mut self.child else {
            return Ok(None);
        };
        let Ok(status) = tokio::time::timeout(limit, child.wait()).await else {
            return Ok(None);
        };
        self.child = None;
        Ok(Some(status?))
    }

    /// Asks it to end and waits for it.
    pub(crate) async fn stop(&mut self) -> Result<()> {
        if let Some(pid) = self.child.as_ref().and_then(Child::id) {
            let pid = pid.to_string();
            Command::new("kill").args(["-TERM", &pid]).status().await?;
            self.ends_within(Duration::from_secs(20)).await?;
        }
        self.kill().await
    }
}
