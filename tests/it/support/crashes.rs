//! The real binary, killed on purpose.

use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use redrive::domain::{Replay, ReplayJobId, ReplayStateName};
use redrive::store::Store;
use tokio::process::{Child, Command};
use uuid::Uuid;

use super::eventually;

/// How a process is killed.
#[derive(Clone, Debug)]
pub(crate) enum Kill {
    /// It dies when it passes this point of a replay: `name`, or `name:n` for the n-th time.
    At(String),
    /// `kill -9` from outside, at a random moment within that time.
    Within(Duration),
}

/// Reads a script: points of one broker's engine, and `soon` for a random moment.
pub(crate) fn kills_of(system: &str, script: &str) -> Vec<Kill> {
    let kill = |word: &str| match word {
        "soon" => Kill::Within(Duration::from_millis(1500)),
        point => Kill::At(format!("{system}.{point}")),
    };
    script.split_whitespace().map(kill).collect()
}

/// Kills that really happened.
#[derive(Debug, Default)]
pub(crate) struct Kills(AtomicUsize);

impl Kills {
    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// Starts `redrive serve` in a folder that holds its `redrive.toml`.
pub(crate) fn serve(folder: &Path, crash_at: Option<&str>) -> Child {
    let log = std::fs::File::create(folder.join(format!("log-{}", Uuid::new_v4()))).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_redrive"));
    command
        .args(["serve", "--config", "redrive.toml"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .env("RUST_BACKTRACE", "0")
        .kill_on_drop(true);
    if let Some(point) = crash_at {
        command.env("REDRIVE_CRASH_AT", point);
    }
    command.spawn().unwrap()
}

/// Runs the service once and lets it be killed.
pub(crate) async fn run_and_kill(folder: &Path, kill: &Kill, kills: &Kills) {
    match kill {
        Kill::At(point) => {
            let mut child = serve(folder, Some(point));
            let ended = tokio::time::timeout(Duration::from_secs(40), child.wait()).await;
            let status = ended
                .unwrap_or_else(|_| panic!("{point} was never passed, see {}", folder.display()))
                .unwrap();
            assert!(
                died_by_signal(status),
                "{point}: {status}, see {}",
                folder.display()
            );
        }
        Kill::Within(limit) => {
            let mut child = serve(folder, None);
            let random = u64::from(Uuid::new_v4().as_fields().0);
            let millis = random % u64::try_from(limit.as_millis()).unwrap();
            tokio::time::sleep(Duration::from_millis(millis)).await;
            child.kill().await.unwrap();
        }
    }
    kills.0.fetch_add(1, Ordering::Relaxed);
}

fn died_by_signal(status: ExitStatus) -> bool {
    use std::os::unix::process::ExitStatusExt as _;
    status.signal().is_some()
}

/// Runs the service until nothing of the job is planned or being sent, then stops it politely.
pub(crate) async fn run_to_the_end(folder: &Path, store: &Store, job: ReplayJobId) -> Vec<Replay> {
    let mut child = serve(folder, None);
    let replays = eventually("every replay of the job is decided", async || {
        let replays = store.replays_of_job(job, 0, 10_000).await.unwrap();
        let is_open = |replay: &Replay| {
            use ReplayStateName::{Planned, Sending};
            matches!(replay.state.name(), Planned | Sending)
        };
        (!replays.iter().any(is_open)).then_some(replays)
    })
    .await;
    let pid = child.id().unwrap().to_string();
    let asked = Command::new("kill").args(["-TERM", &pid]).status().await;
    assert!(asked.unwrap().success());
    // Where there was nothing left to do, it is asked before it has learnt to listen.
    let status = child.wait().await.unwrap();
    let polite = status.success() || died_by_signal(status);
    assert!(polite, "{status}, see {}", folder.display());
    replays
}
