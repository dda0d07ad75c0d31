use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::domain::GlobError;

/// Why a configuration was refused.
#[derive(Debug, Error)]
pub enum ConfigError {
    #[error("cannot read the configuration file {path}")]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("the configuration is not valid: {0}")]
    Syntax(Box<toml::de::Error>),
    #[error("the variable {variable} cannot be applied: {reason}")]
    Variable { variable: String, reason: String },
    #[error("{key}: {problem}")]
    Invalid { key: &'static str, problem: String },
}

impl From<GlobError> for ConfigError {
    fn from(source: GlobError) -> Self {
        Self::Invalid {
            key: "dead_letters.kafka_topics",
            problem: source.to_string(),
        }
    }
}

impl ConfigError {
    pub(super) fn invalid(key: &'static str, problem: impl Into<String>) -> Self {
        Self::Invalid {
            key,
            problem: problem.into(),
        }
    }
}
