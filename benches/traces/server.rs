//! The release binary with a configuration; ended when this is dropped.

use std::fs::{self, File};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use reqwest::{Client, StatusCode};

use crate::site;

const START_LIMIT: Duration = Duration::from_mins(1);

pub(crate) struct Server {
    child: Child,
    base: String,
    client: Client,
}

impl Server {
    /// `sections` go behind those that say where it listens.
    pub(crate) async fn start(sections: &str) -> Result<Self> {
        let folder = site::folder()?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let config = format!("[http]\nlisten = '127.0.0.1:{port}'\n{sections}");
        fs::write(folder.join("redrive.toml"), config)?;
        let child = Command::new(env!("CARGO_BIN_EXE_redrive"))
            .args(["serve", "--config", "redrive.toml"])
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(folder.join("serve.log"))?)
            .spawn()
            .context("cannot start redrive serve")?;
        let server = Self {
            child,
            base: format!("http://127.0.0.1:{port}"),
            client: Client::new(),
        };
        let started = Instant::now();
        while server.get("/healthz").await.is_err() {
            ensure!(
                started.elapsed() < START_LIMIT,
                "redrive serve does not start; see {}",
                folder.join("serve.log").display()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(server)
    }

    pub(crate) async fn get(&self, path: &str) -> Result<(StatusCode, String)> {
        let answer = self
            .client
            .get(format!("{}{path}", self.base))
            .send()
            .await?;
        Ok((answer.status(), answer.text().await?))
    }

    /// Asks for the paths, one after the other over one connection; the milliseconds that so many percent of the
    /// answers do not exceed.
    pub(crate) async fn slowest(&self, paths: &[String], percent: usize) -> Result<f64> {
        let mut taken = Vec::with_capacity(paths.len());
        for path in paths {
            let started = Instant::now();
            let (status, _) = self.get(path).await?;
            taken.push(started.elapsed().as_secs_f64() * 1000.0);
            ensure!(status.is_success(), "{path}: {status}");
        }
        taken.sort_by(f64::total_cmp);
        let index = (taken.len() * percent).div_ceil(100).saturating_sub(1);
        taken.get(index).copied().context("nothing was measured")
    }

    /// Memory that is resident now.
    pub(crate) fn resident_bytes(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
        let kibibytes: u64 = kibibytes.context("VmRSS is missing")?.trim().parse()?;
        Ok(kibibytes * 1024)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
