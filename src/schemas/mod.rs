//! Which JSON Schema belongs to which event type, and what it says of a payload.
//!
//! The files are read once, at the start. They are compiled and applied in the [`crate::sandbox`], so
//! that neither a schema nor a payload can hold up anything else.

mod files;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;

use crate::config::SchemasConfig;
pub use crate::sandbox::Violation;
use crate::sandbox::{Answer, Sandbox, SandboxError, SchemaDocument, Task, Worker};

/// Why the schemas of the configuration cannot be used.
#[derive(Debug, Error)]
pub enum SchemasError {
    #[error("cannot read {path}, which [schemas] names")]
    Unreadable {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("the schema {path} is larger than {most} bytes")]
    TooLarge { path: PathBuf, most: u64 },
    #[error("the folder {path} has more than {most} schemas")]
    TooMany { path: PathBuf, most: usize },
    #[error("the schema {path} cannot be used: {fault}")]
    Fault { path: PathBuf, fault: String },
    #[error("the schemas cannot be checked: {}", crate::error_chain(.0))]
    Sandbox(SandboxError),
}

/// What its schema says of a payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Valid,
    /// At least one.
    Invalid(Vec<Violation>),
    /// The check itself failed; why, for people.
    NotChecked(String),
}

/// The schemas of the configuration. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Schemas {
    sandbox: Sandbox,
    documents: Arc<Vec<SchemaDocument>>,
    /// The name of the document of each event type.
    by_type: Arc<BTreeMap<String, String>>,
    gates_replays: bool,
}

impl Schemas {
    /// Reads and tries all schemas; the first fault is told with its file.
    pub async fn load(config: &SchemasConfig, sandbox: &Sandbox) -> Result<Self, SchemasError> {
        let files = files::read(config)?;
        let documents: Vec<_> = files.iter().map(|file| file.document.clone()).collect();
        let schemas = Self {
            sandbox: sandbox.clone(),
            documents: Arc::new(documents),
            by_type: Arc::new(
                files
                    .iter()
                    .flat_map(|file| file.event_types.iter().map(move |name| (name, file)))
                    .map(|(name, file)| (name.clone(), file.document.name.clone()))
                    .collect(),
            ),
            gates_replays: config.gate_replays,
        };
        let mut checker = schemas.checker();
        for file in files {
            let path = file.path;
            if let Err(fault) = checker.try_schema(&file.document.name).await? {
                return Err(SchemasError::Fault { path, fault });
            }
        }
        Ok(schemas)
    }

    /// Whether an event type has a schema.
    pub fn has(&self, event_type: Option<&str>) -> bool {
        event_type.is_some_and(|event_type| self.by_type.contains_key(event_type))
    }

    /// The event types that have a schema.
    pub fn event_types(&self) -> impl Iterator<Item = &str> {
        self.by_type.keys().map(String::as_str)
    }

    /// Whether a payload that its schema does not allow must not be replayed.
    pub const fn gates_replays(&self) -> bool {
        self.gates_replays
    }

    /// The schema's verdict on one payload; `None` if the event type has no schema.
    pub async fn verdict(&self, event_type: Option<&str>, payload: &[u8]) -> Option<Verdict> {
        self.checker().verdict(event_type, payload).await
    }

    /// Checks many payloads, one after the other.
    pub const fn checker(&self) -> Checker<'_> {
        Checker {
            schemas: self,
            worker: None,
        }
    }
}

/// One child process for many payloads.
pub struct Checker<'a> {
    schemas: &'a Schemas,
    worker: Option<Worker>,
}

impl Checker<'_> {
    /// The schema's verdict on a payload; `None` if the event type has no schema.
    pub async fn verdict(&mut self, event_type: Option<&str>, payload: &[u8]) -> Option<Verdict> {
        let name = self.schemas.by_type.get(event_type?)?.clone();
        Some(match self.ask(&name, payload).await {
            Ok(Answer::Checked(violations)) if violations.is_empty() => Verdict::Valid,
            Ok(Answer::Checked(violations)) => Verdict::Invalid(violations),
            Ok(Answer::Failed(fault)) => Verdict::NotChecked(fault),
            Ok(Answer::Same | Answer::Changed(_)) => {
                Verdict::NotChecked("the check gave no verdict".to_owned())
            }
            Err(error @ SandboxError::Broken(_)) => {
                tracing::error!(
                    error = crate::error_chain(&error),
                    "a schema was not applied"
                );
                Verdict::NotChecked(
                    "the check could not run; Redrive's log has the cause".to_owned(),
                )
            }
            Err(error) => Verdict::NotChecked(error.to_string()),
        })
    }

    /// Compiles one schema; the inner error is its fault.
    async fn try_schema(&mut self, name: &str) -> Result<Result<(), String>, SchemasError> {
        match self.ask(name, b"null").await {
            Ok(Answer::Failed(fault)) => Ok(Err(fault)),
            Err(SandboxError::Exceeded(limit)) => Ok(Err(limit.to_owned())),
            Err(error) => Err(SchemasError::Sandbox(error)),
            Ok(_) => Ok(Ok(())),
        }
    }

    async fn ask(&mut self, name: &str, payload: &[u8]) -> Result<Answer, SandboxError> {
        let mut worker = if let Some(worker) = self.worker.take() {
            worker
        } else {
            let schemas = self.schemas.documents.as_ref().clone();
            self.schemas.sandbox.start(Task::Check { schemas }).await?
        };
        let answer = worker.check(name, payload).await?;
        self.worker = Some(worker);
        Ok(answer)
    }
}
