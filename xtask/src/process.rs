//! Parts that run on their own: started in a session of their own with a log file, found again by
//! later commands through a pid file, and stopped only if the process is still the one that was started.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::workspace::Workspace;

/// How long a part may take to stop by itself before it is killed.
const STOP_GRACE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(100);

/// Set when Ctrl-C has come.
static IS_ENDING: AtomicBool = AtomicBool::new(false);

/// One long-running part of a checkout.
#[derive(Clone)]
pub(crate) struct Service {
    pub(crate) name: String,
    pid_file: PathBuf,
    log_file: PathBuf,
    started: Started,
}

/// The parts that this command started, as opposed to those that it found running.
#[derive(Clone, Default)]
pub(crate) struct Started(Arc<Mutex<Vec<Service>>>);

/// What a pid file says. A pid alone may belong to somebody else after a while; together with the
/// boot and the moment the process began, it cannot.
#[derive(PartialEq)]
struct Identity {
    pid: u32,
    started: String,
    boot: String,
}

impl Service {
    pub(crate) fn new(workspace: &Workspace, name: &str) -> Result<Self> {
        Ok(Self {
            name: name.to_owned(),
            pid_file: workspace
                .state_directory("run")?
                .join(format!("{name}.pid")),
            log_file: workspace
                .state_directory("logs")?
                .join(format!("{name}.log")),
            started: workspace.started.clone(),
        })
    }

    pub(crate) fn log_file(&self) -> &Path {
        &self.log_file
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.living().map(|identity| identity.pid)
    }

    pub(crate) fn is_running(&self) -> bool {
        self.living().is_some()
    }

    /// Starts the command in a new session, so that neither Ctrl-C nor a closed terminal reaches it.
    pub(crate) fn start(&self, command: &Command) -> Result<()> {
        let mut started = self.started.lock();
        let log = File::create(&self.log_file)
            .with_context(|| format!("cannot write {}", self.log_file.display()))?;
        let mut detached = Command::new("setsid");
        detached.arg(command.get_program()).args(command.get_args());
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => detached.env(key, value),
                None => detached.env_remove(key),
            };
        }
        if let Some(directory) = command.get_current_dir() {
            detached.current_dir(directory);
        }
        detached
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let child = detached
            .spawn()
            .with_context(|| format!("cannot start {}", self.name))?;
        let identity = Identity::of(child.id()).with_context(|| {
            format!(
                "{} ended at once; see {}",
                self.name,
                self.log_file.display()
            )
        })?;
        fs::write(&self.pid_file, identity.to_line())
            .with_context(|| format!("cannot write {}", self.pid_file.display()))?;
        started.push(self.clone());
        Ok(())
    }

    /// Polls the condition until it holds, the part dies or the time is up.
    pub(crate) fn wait_until(
        &self,
        what: &str,
        limit: Duration,
        mut condition: impl FnMut() -> bool,
    ) -> Result<()> {
        let began = Instant::now();
        while !condition() {
            if !self.is_running() {
                bail!(
                    "{} ended before {what}; the end of {}:\n{}",
                    self.name,
                    self.log_file.display(),
                    self.log_end()
                );
            }
            if began.elapsed() > limit {
                bail!(
                    "{} took longer than {} s until {what}; see {}",
                    self.name,
                    limit.as_secs(),
                    self.log_file.display()
                );
            }
            thread::sleep(POLL);
        }
        Ok(())
    }

    /// Ends the part and all that runs in its session. Says whether there was something to stop.
    pub(crate) fn stop(&self) -> Result<bool> {
        let Some(identity) = self.living() else {
            let _ = fs::remove_file(&self.pid_file);
            return Ok(false);
        };
        signal("TERM", &[identity.pid.to_string()])?;
        if !self.wait_for_end(STOP_GRACE) {
            signal("KILL", &session_members(identity.pid))?;
            self.wait_for_end(STOP_GRACE);
        }
        let _ = fs::remove_file(&self.pid_file);
        Ok(true)
    }

    /// Ends all that runs in the part's session at once, as a power cut does.
    pub(crate) fn kill(&self) -> Result<()> {
        if let Some(identity) = self.living() {
            signal("KILL", &session_members(identity.pid))?;
            self.wait_for_end(STOP_GRACE);
        }
        Ok(())
    }

    /// Whether the program was built anew since the part was started from it.
    pub(crate) fn is_older_than(&self, program: &Path) -> bool {
        let modified = |path: &Path| fs::metadata(path).and_then(|data| data.modified()).ok();
        modified(program) > modified(&self.pid_file)
    }

    fn wait_for_end(&self, limit: Duration) -> bool {
        let began = Instant::now();
        while began.elapsed() < limit {
            if !self.is_running() {
                return true;
            }
            thread::sleep(POLL);
        }
        false
    }

    fn living(&self) -> Option<Identity> {
        let recorded = Identity::from_line(&fs::read_to_string(&self.pid_file).ok()?)?;
        (Identity::of(recorded.pid)? == recorded).then_some(recorded)
    }

    fn log_end(&self) -> String {
        let bytes = fs::read(&self.log_file).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }
}

impl Started {
    /// Stops the parts in the order in which they may go.
    pub(crate) fn stop_all(&self) -> Result<()> {
        stop_each(&mut self.lock())
    }

    /// Stops one part, if this command started it.
    pub(crate) fn stop(&self, name: &str) -> Result<()> {
        let mut services = self.lock();
        let (mut named, others) = services.drain(..).partition(|service| service.name == name);
        *services = others;
        stop_each(&mut named)
    }

    /// Stops the parts and ends this process. Whoever would start or watch parts waits meanwhile.
    pub(crate) fn stop_all_and_exit(&self, code: i32) -> ! {
        let mut services = self.lock();
        IS_ENDING.store(true, Ordering::SeqCst);
        end_running_steps();
        if let Err(error) = stop_each(&mut services) {
            eprintln!("error: {error:#}");
            std::process::exit(1);
        }
        std::process::exit(code)
    }

    /// While it is held, nothing is started or stopped by this command.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Vec<Service>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A step under a time limit is a process group of its own, which Ctrl-C does not reach.
fn end_running_steps() {
    let this = std::process::id().to_string();
    for pid in processes() {
        let Some(fields) = stat_fields(pid) else {
            continue;
        };
        let [_, parent, group, session, ..] = fields.as_slice() else {
            continue;
        };
        // What leads a session is no step but a part, and stops in its own way.
        if *parent == this && *group == pid.to_string() && group != session {
            let _ = signal("KILL", &[format!("-{group}")]);
        }
    }
}

fn stop_each(services: &mut Vec<Service>) -> Result<()> {
    services.sort_by_key(|service| stop_order(&service.name));
    for service in services.drain(..) {
        eprintln!("stopping {}", service.name);
        service.stop()?;
    }
    Ok(())
}

impl Identity {
    /// The process with this pid, if it lives. A zombie does not: it only waits for us to notice.
    fn of(pid: u32) -> Option<Self> {
        let fields = stat_fields(pid)?;
        let (state, started) = (fields.first()?, fields.get(19)?);
        (state != "Z" && state != "X").then(|| Self {
            pid,
            started: started.clone(),
            boot: boot_id(),
        })
    }

    fn to_line(&self) -> String {
        format!("{} {} {}\n", self.pid, self.started, self.boot)
    }

    fn from_line(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let pid = words.next()?.parse().ok()?;
        Some(Self {
            pid,
            started: words.next()?.to_owned(),
            boot: words.next()?.to_owned(),
        })
    }
}

/// Every part that has a pid file in this checkout.
pub(crate) fn all_services(workspace: &Workspace) -> Result<Vec<Service>> {
    let mut services = Vec::new();
    for entry in fs::read_dir(workspace.state_directory("run")?)? {
        let path = entry?.path();
        if let (Some("pid"), Some(name)) = (
            path.extension().and_then(|extension| extension.to_str()),
            path.file_stem().and_then(|stem| stem.to_str()),
        ) {
            services.push(Service::new(workspace, name)?);
        }
    }
    services.sort_by_key(|service| stop_order(&service.name));
    Ok(services)
}

/// Clients stop before the brokers they use, RabbitMQ before the name server it is known to, and Kafka before
/// its `ZooKeeper`.
fn stop_order(name: &str) -> usize {
    match name {
        "demo-workload" => 0,
        "dashboard" => 1,
        "prometheus" => 2,
        _ if name.contains("rabbitmq") => 3,
        "epmd" => 4,
        _ if !name.ends_with("-zookeeper") => 5,
        _ => 6,
    }
}

/// Called before each step: once Ctrl-C has come, none begins any more, and the process ends as soon as
/// its parts have stopped.
pub(crate) fn wait_if_ending() {
    while IS_ENDING.load(Ordering::SeqCst) {
        thread::park();
    }
}

/// Runs a command and fails if it fails. Its output goes to standard error as all progress does, so
/// that `eval "$(cargo xtask brokers)"` sees the variables alone.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    wait_if_ending();
    let shown = shown(command);
    let status = command
        .stdout(std::io::stderr())
        .status()
        .with_context(|| format!("cannot run `{shown}`"))?;
    if !status.success() {
        bail!("`{shown}` failed ({status})");
    }
    Ok(())
}

/// The command as somebody would type it, without the folder of the program.
pub(crate) fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let words = program.file_name().into_iter().chain(command.get_args());
    words
        .map(|word| word.to_string_lossy().into_owned())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Whether a program of that name is on the path.
pub(crate) fn is_on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
}

/// The standard library cannot send a signal; every POSIX shell can.
fn signal(name: &str, targets: &[String]) -> Result<()> {
    let mut command = Command::new("sh");
    command.args(["-c", r#"kill -s "$0" -- "$@" 2>/dev/null || true"#, name]);
    command.args(targets);
    command
        .status()
        .with_context(|| format!("cannot run `{}`", shown(&command)))?;
    Ok(())
}

/// The processes of the session that a part was started in, itself included.
fn session_members(session: u32) -> Vec<String> {
    let session = session.to_string();
    let is_member =
        |pid: &u32| stat_fields(*pid).is_some_and(|fields| fields.get(3) == Some(&session));
    processes()
        .filter(is_member)
        .map(|pid| pid.to_string())
        .collect()
}

fn processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten();
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

/// The fields of `/proc/PID/stat` after the name, which may itself hold spaces and parentheses:
/// state, parent, process group, session and so on; the start time is the twentieth.
fn stat_fields(pid: u32) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after_name) = stat.rsplit_once(')')?;
    Some(
        after_name
            .split_whitespace()
            .map(ToOwned::to_owned)
            .collect(),
    )
}

fn boot_id() -> String {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let id = text.trim();
    if id.is_empty() {
        "unknown".to_owned()
    } else {
        id.to_owned()
    }
}
