//! What the kernel says of processes, and those that the bench starts.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};

/// `USER_HZ`, which Linux fixed at 100.
const TICKS_PER_SECOND: f64 = 100.0;

/// Processes whose time is counted.
#[derive(Clone, Copy)]
pub(crate) enum Watched {
    One(u32),
    /// All processes of the session that this one leads, as a broker behind its start script.
    Session(u32),
}

impl Watched {
    /// The session whose leader an environment variable names.
    pub(crate) fn session_of(variable: &str) -> Result<Self> {
        let pid = std::env::var(variable)
            .with_context(|| format!("{variable} is not set; run `cargo xtask bench sampling`"))?;
        Ok(Self::Session(pid.parse()?))
    }

    /// User and system time up to now.
    pub(crate) fn cpu_seconds(self) -> Result<f64> {
        match self {
            Self::One(pid) => {
                let stat = Stat::of(pid).with_context(|| format!("process {pid} has ended"))?;
                Ok(stat.cpu_seconds)
            }
            Self::Session(leader) => {
                let members = processes()?.filter_map(Stat::of);
                let members = members.filter(|stat| stat.session == leader);
                let seconds: Vec<f64> = members.map(|stat| stat.cpu_seconds).collect();
                ensure!(!seconds.is_empty(), "no process has the session {leader}");
                Ok(seconds.iter().sum())
            }
        }
    }
}

struct Stat {
    session: u32,
    cpu_seconds: f64,
}

impl Stat {
    /// `None` if the process has ended.
    fn of(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name of the process, which may contain spaces, ends with the last parenthesis.
        let (_, fields) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let ticks = |index: usize| fields.get(index)?.parse::<f64>().ok();
        Some(Self {
            session: fields.get(3)?.parse().ok()?,
            cpu_seconds: (ticks(11)? + ticks(12)?) / TICKS_PER_SECOND,
        })
    }
}

fn processes() -> Result<impl Iterator<Item = u32>> {
    let entries = fs::read_dir("/proc")?;
    Ok(entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()))
}

/// Resident memory of a process now.
pub(crate) fn resident_bytes(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))
        .with_context(|| format!("there is no process {pid}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let kibibytes: u64 = kibibytes.context("VmRSS is missing")?.trim().parse()?;
    Ok(kibibytes * 1024)
}

/// A program that runs until it is dropped.
pub(crate) struct Running(Child);

impl Running {
    /// Its output goes to a log file.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Result<Self> {
        let log = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn();
        let program = Path::new(command.get_program());
        child
            .map(Self)
            .with_context(|| format!("cannot start {}", program.display()))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended already needs no more.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
