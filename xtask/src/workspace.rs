//! Where things lie: the repository, the state of this checkout and the cache that checkouts share.
//!
//! Everything that belongs to one checkout (ports, pid files, logs, broker data) is under
//! `target/redrive`, so that `cargo clean` removes it and two checkouts never meet. What is the same
//! for all (Kafka's jars, cargo-deny) is under `~/.cache/redrive`.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process::Started;

pub(crate) struct Workspace {
    root: PathBuf,
    pub(crate) started: Started,
}

impl Workspace {
    /// Cargo names the package's directory when it runs the binary; otherwise the current directory
    /// or one above it is the checkout.
    pub(crate) fn find() -> Result<Self> {
        let start = match std::env::var_os("CARGO_MANIFEST_DIR") {
            Some(directory) => PathBuf::from(directory),
            None => std::env::current_dir().context("the current directory is not readable")?,
        };
        let is_checkout = |directory: &&Path| directory.join("xtask/Cargo.toml").is_file();
        match start.ancestors().find(is_checkout) {
            Some(root) => Ok(Self {
                root: root.to_owned(),
                started: Started::default(),
            }),
            None => bail!("{} is not inside a checkout of Redrive", start.display()),
        }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Cargo, run in this checkout.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> Command {
        let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(program);
        command.current_dir(&self.root).args(arguments);
        command
    }

    /// A directory's YAML files, sorted, the directories below it left out.
    pub(crate) fn yaml_files(&self, directory: &str) -> Result<Vec<PathBuf>> {
        let path = self.root.join(directory);
        let entries =
            fs::read_dir(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut files: Vec<PathBuf> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|file| file.extension().is_some_and(|extension| extension == "yml"))
            .collect();
        files.sort();
        Ok(files)
    }

    /// The directory of everything that was started from this checkout.
    pub(crate) fn state(&self) -> PathBuf {
        self.root.join("target/redrive")
    }

    /// A directory below the state directory, made if it is missing.
    pub(crate) fn state_directory(&self, name: &str) -> Result<PathBuf> {
        make_directory(self.state().join(name))
    }

    /// Held while parts are started or stopped, so that two commands at once do not start two of one.
    pub(crate) fn lock(&self) -> Result<File> {
        self.lock_named("lock")
    }

    /// Held by a run of the tests: the first of two to end would stop the brokers of the other.
    pub(crate) fn lock_tests(&self) -> Result<File> {
        self.lock_named("tests.lock")
    }

    fn lock_named(&self, name: &str) -> Result<File> {
        fs::create_dir_all(self.state())?;
        lock_file(&self.state().join(name))
    }
}

/// The cache outside the tree: `~/.cache/redrive`.
pub(crate) fn cache_directory(name: &str) -> Result<PathBuf> {
    let base = match (std::env::var_os("XDG_CACHE_HOME"), std::env::var_os("HOME")) {
        (Some(cache), _) if !cache.is_empty() => PathBuf::from(cache),
        (_, Some(home)) => PathBuf::from(home).join(".cache"),
        _ => bail!("HOME is not set, so there is no place for the cache"),
    };
    make_directory(base.join("redrive").join(name))
}

/// Waits until nobody else holds the lock, and says so; it is released when the file is dropped.
pub(crate) fn lock_file(path: &Path) -> Result<File> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .with_context(|| format!("cannot open the lock {}", path.display()))?;
    let locked = match file.try_lock() {
        Err(TryLockError::WouldBlock) => {
            eprintln!("waiting for another command that holds {}", path.display());
            file.lock()
        }
        Err(TryLockError::Error(error)) => Err(error),
        Ok(()) => Ok(()),
    };
    locked.with_context(|| format!("cannot lock {}", path.display()))?;
    Ok(file)
}

fn make_directory(path: PathBuf) -> Result<PathBuf> {
    fs::create_dir_all(&path).with_context(|| format!("cannot create {}", path.display()))?;
    Ok(path)
}
