use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

use super::ProcessingError;

/// The provider whose payments time out while the gateway is broken.
pub(super) const UNREACHABLE_PROVIDER: &str = "northbank";

const FILE_NAME: &str = "gateway";
const LATENCY: Duration = Duration::from_millis(5);

/// Whether the payment gateway answers for every provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GatewayState {
    /// Payments through [`UNREACHABLE_PROVIDER`] time out.
    Broken,
    Working,
}

impl GatewayState {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Broken => "broken",
            Self::Working => "working",
        }
    }

    /// A gateway that nobody repaired is broken, so that a new demo has something to show.
    fn parse(text: &str) -> Self {
        match text.trim() {
            "working" => Self::Working,
            _ => Self::Broken,
        }
    }
}

#[derive(Debug, Error)]
#[error("cannot {action} {}; choose another --state-dir", path.display())]
pub struct GatewayFileError {
    action: &'static str,
    path: PathBuf,
    source: std::io::Error,
}

/// The small file by which `redrive demo-gateway` tells a running workload what the gateway does.
#[derive(Clone, Debug)]
pub struct GatewayFile {
    path: PathBuf,
}

impl GatewayFile {
    pub fn in_directory(state_dir: &Path) -> Self {
        Self {
            path: state_dir.join(FILE_NAME),
        }
    }

    /// The state; broken if the file was never written.
    pub fn read(&self) -> Result<GatewayState, GatewayFileError> {
        match std::fs::read_to_string(&self.path) {
            Ok(text) => Ok(GatewayState::parse(&text)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(GatewayState::Broken),
            Err(source) => Err(self.failed("read", source)),
        }
    }

    /// Writes the state, and the directory if it is not there.
    pub fn write(&self, state: GatewayState) -> Result<(), GatewayFileError> {
        let directory = self.path.parent().unwrap_or(Path::new("."));
        // A reader never sees half a word.
        let new = self.path.with_extension("new");
        std::fs::create_dir_all(directory)
            .and_then(|()| std::fs::write(&new, state.as_str()))
            .and_then(|()| std::fs::rename(&new, &self.path))
            .map_err(|source| self.failed("write", source))
    }

    fn failed(&self, action: &'static str, source: std::io::Error) -> GatewayFileError {
        GatewayFileError {
            action,
            path: self.path.clone(),
            source,
        }
    }
}

/// The payment gateway as its clients see it.
#[derive(Clone, Debug)]
pub(super) struct Gateway {
    file: GatewayFile,
    timeout: Duration,
}

impl Gateway {
    pub(super) fn new(file: GatewayFile, timeout: Duration) -> Self {
        Self { file, timeout }
    }

    /// Charges a payment; asks for the state each time, so that a repair acts at once.
    pub(super) async fn charge(&self, provider: &str) -> Result<(), ProcessingError> {
        if provider != UNREACHABLE_PROVIDER || self.state() == GatewayState::Working {
            tokio::time::sleep(LATENCY).await;
            return Ok(());
        }
        tokio::time::sleep(self.timeout).await;
        Err(ProcessingError::GatewayTimeout {
            provider: provider.to_owned(),
            timeout: self.timeout,
        })
    }

    fn state(&self) -> GatewayState {
        self.file.read().unwrap_or_else(|error| {
            tracing::warn!(%error, "the payment gateway counts as broken");
            GatewayState::Broken
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_gateway_is_broken_until_it_is_repaired_and_can_be_broken_again() {
        let directory = tempfile::tempdir().unwrap();
        let file = GatewayFile::in_directory(&directory.path().join("state"));
        let gateway = Gateway::new(file.clone(), Duration::from_millis(1));
        let timed_out = async || gateway.charge(UNREACHABLE_PROVIDER).await.is_err();
        assert!(timed_out().await);
        assert_eq!(gateway.charge("citypay").await, Ok(()));
        file.write(GatewayState::Working).unwrap();
        assert!(!timed_out().await);
        file.write(GatewayState::Broken).unwrap();
        assert!(timed_out().await);
    }

    #[test]
    fn what_nobody_wrote_counts_as_broken() {
        let directory = tempfile::tempdir().unwrap();
        let file = GatewayFile::in_directory(directory.path());
        assert_eq!(file.read().unwrap(), GatewayState::Broken);
        std::fs::write(directory.path().join("gateway"), "half wor").unwrap();
        assert_eq!(file.read().unwrap(), GatewayState::Broken);
        std::fs::write(directory.path().join("gateway"), "working\n").unwrap();
        assert_eq!(file.read().unwrap(), GatewayState::Working);
    }
}
