//! Where the bench works: the Kafka of `REDRIVE_TEST_KAFKA`, and files below `target/redrive/bench`, so that
//! everything that is compared lies on one file system.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use redrive::config::KafkaConfig;
use tokio::runtime::Runtime;
use uuid::Uuid;

/// The shared Kafka.
pub(crate) fn kafka() -> Result<KafkaConfig> {
    let server = std::env::var("REDRIVE_TEST_KAFKA")
        .context("REDRIVE_TEST_KAFKA is not set; run `cargo xtask bench dead-letters`")?;
    Ok(KafkaConfig {
        bootstrap_servers: vec![server],
        ..KafkaConfig::default()
    })
}

/// A number that an environment variable may replace.
pub(crate) fn number(variable: &str, usual: u64) -> Result<u64> {
    match std::env::var(variable) {
        Ok(text) => text
            .parse()
            .with_context(|| format!("{variable} is {text:?}, not a number")),
        Err(_) => Ok(usual),
    }
}

/// The name of a DLQ topic that nobody else uses.
pub(crate) fn unique_topic() -> String {
    format!("bench-{}.dlq", Uuid::new_v4().simple())
}

/// The folder of everything that the bench writes.
pub(crate) fn folder() -> Result<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/redrive/bench/dead-letters");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}

/// A file of the folder that does not exist yet.
pub(crate) fn fresh_database(name: &str) -> Result<PathBuf> {
    let path = folder()?.join(name);
    remove_database(&path)?;
    Ok(path)
}

/// Removes a database with its write-ahead log.
pub(crate) fn remove_database(path: &Path) -> Result<()> {
    for suffix in ["", "-wal", "-shm"] {
        let file = PathBuf::from(format!("{}{suffix}", path.display()));
        match fs::remove_file(&file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot remove {}", file.display()));
            }
            _ => {}
        }
    }
    Ok(())
}

pub(crate) fn store_url(path: &Path) -> String {
    format!("sqlite:{}", path.display())
}

pub(crate) fn runtime() -> Result<Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?)
}
