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
    Syntax(String),
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
    /// Says where it is instead of showing the line, which may hold a password.
    pub(super) fn syntax(text: &str, source: &toml::de::Error) -> Self {
        let before = source.span().and_then(|span| text.get(..span.start));
        let Some(before) = before else {
            return Self::Syntax(source.to_string());
        };
        let line = before.matches('\n').count() + 1;
        let in_line = before.rsplit('\n').next().unwrap_or_default();
        let column = in_line.chars().count() + 1;
        let message = source.message();
        Self::Syntax(format!("line {line}, column {column}: {message}"))
    }

    pub(super) fn invalid(key: &'static str, problem: impl Into<String>) -> Self {
        Self::Invalid {
            key,
            problem: problem.into(),
        }
    }
}
