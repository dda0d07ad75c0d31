//! Where programs and schemas run that a person wrote: a child process, which is Redrive itself under
//! a hidden subcommand, with an empty environment and no files. It is asked for one payload after the
//! other over its pipes; what takes too long or too much memory costs the child and nothing else.
//!
//! The parent's half is here, the child's in [`worker`]. To run something else there, add a [`Task`]
//! and a file for it beside [`jq`] and [`schema`].

mod frames;
mod jq;
mod schema;
mod splice;
mod worker;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub use worker::run as run_worker;

/// The hidden subcommand of the child.
pub const SUBCOMMAND: &str = "sandbox-worker";

/// What one payload may take of the processor. The child's own limit; see [`worker`].
const CPU_SECONDS: u64 = 2;

/// What the child may allocate.
const MEMORY_BYTES: u64 = 256 * 1024 * 1024;

/// The processor may be busy with others, so the clock's limit is wider than that of the child.
const PATIENCE: Duration = Duration::from_secs(10);

/// Children at once, so that many readers do not take all processors.
const CHILDREN: usize = 4;

/// What a child is there for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Task {
    /// Runs a jq program on each payload.
    Repair { program: String },
    /// Checks each payload by the schema that is named with it.
    Check { schemas: Vec<SchemaDocument> },
}

/// A JSON Schema as it was read.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SchemaDocument {
    /// By which the others refer to it: the name of its file.
    pub name: String,
    pub text: String,
}

/// Something of a payload that its schema does not allow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// As the filter language writes it after `payload.`; empty for the whole payload.
    pub path: String,
    /// For people, after the path: "is missing".
    pub message: String,
    /// The byte of the payload at which the value begins that is at fault, or that lacks something.
    pub at: usize,
}

/// What the child says about a payload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// The program leaves the payload as it is.
    Same,
    /// The program's payload.
    Changed(String),
    /// The program cannot take this payload, or the schema cannot be used; why, for people.
    Failed(String),
    /// What the schema finds; nothing if the payload is valid.
    Checked(Vec<Violation>),
}

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum SandboxError {
    /// The program or a schema is at fault; the text says where.
    #[error("{0}")]
    Refused(String),
    /// The child was ended because of this payload.
    #[error("{0}")]
    Exceeded(&'static str),
    #[error("the child process of Redrive that runs programs cannot be used")]
    Broken(#[source] std::io::Error),
}

/// Starts children. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Sandbox {
    program: PathBuf,
    children: Arc<Semaphore>,
}

impl Sandbox {
    /// Children are this program again, also after its file was replaced by a newer one.
    pub fn of_this_program() -> Self {
        Self::of("/proc/self/exe")
    }

    /// Children are that build of Redrive.
    pub fn of(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            children: Arc::new(Semaphore::new(CHILDREN)),
        }
    }

    /// Starts a child and gives it its task; waits while others run.
    pub async fn start(&self, task: Task) -> Result<Worker, SandboxError> {
        let permit = Arc::clone(&self.children).acquire_owned().await;
        let permit =
            permit.map_err(|closed| SandboxError::Broken(std::io::Error::other(closed)))?;
        let mut command = Command::new(&self.program);
        command
            .arg(OsString::from(SUBCOMMAND))
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        let mut child = command.spawn().map_err(SandboxError::Broken)?;
        let (Some(to_child), Some(from_child)) = (child.stdin.take(), child.stdout.take()) else {
            let missing = std::io::Error::other("it has no pipes");
            return Err(SandboxError::Broken(missing));
        };
        let mut worker = Worker {
            child,
            to_child,
            from_child,
            _permit: permit,
        };
        let task = serde_json::to_vec(&task).map_err(std::io::Error::other);
        let task = task.map_err(SandboxError::Broken)?;
        let ready: Result<(), String> = worker.exchange(&[&task]).await?;
        ready.map_err(SandboxError::Refused)?;
        Ok(worker)
    }
}

/// A child with its task; it ends when this is dropped.
#[derive(Debug)]
pub struct Worker {
    child: Child,
    to_child: ChildStdin,
    from_child: ChildStdout,
    _permit: OwnedSemaphorePermit,
}

impl Worker {
    /// What the program makes of a payload. After an error the worker is of no use any more.
    pub async fn repair(&mut self, payload: &[u8]) -> Result<Answer, SandboxError> {
        self.exchange(&[b"", payload]).await
    }

    /// What the schema of that name finds in a payload.
    pub async fn check(&mut self, schema: &str, payload: &[u8]) -> Result<Answer, SandboxError> {
        self.exchange(&[schema.as_bytes(), payload]).await
    }

    async fn exchange<T: for<'de> Deserialize<'de>>(
        &mut self,
        parts: &[&[u8]],
    ) -> Result<T, SandboxError> {
        let exchanged = async {
            for part in parts {
                frames::send(&mut self.to_child, part).await?;
            }
            frames::receive(&mut self.from_child).await
        };
        match tokio::time::timeout(PATIENCE, exchanged).await {
            Ok(Ok(answer)) => serde_json::from_slice(&answer)
                .map_err(|error| SandboxError::Broken(std::io::Error::other(error))),
            Ok(Err(error)) => Err(self.why_it_ended(error).await),
            Err(_elapsed) => Err(SandboxError::Exceeded(TOO_LONG)),
        }
    }

    /// Pipes break when the child ends; its status tells more.
    async fn why_it_ended(&mut self, error: std::io::Error) -> SandboxError {
        match tokio::time::timeout(PATIENCE, self.child.wait()).await {
            Ok(Ok(status)) if !status.success() => match limit_of(status) {
                Some(limit) => SandboxError::Exceeded(limit),
                None => SandboxError::Broken(std::io::Error::other(status.to_string())),
            },
            _ => SandboxError::Broken(error),
        }
    }
}

const TOO_LONG: &str = "it took more than 2 s, and was ended";
const TOO_LARGE: &str = "it took more than 256 MiB or went too deep, and was ended";

/// The limit that a child met, by the signal that ended it.
fn limit_of(status: ExitStatus) -> Option<&'static str> {
    use std::os::unix::process::ExitStatusExt as _;
    let signal = Signal::from_named_raw(status.signal()?)?;
    match signal {
        Signal::XCPU | Signal::KILL => Some(TOO_LONG),
        Signal::ABORT | Signal::SEGV | Signal::BUS => Some(TOO_LARGE),
        _ => None,
    }
}
