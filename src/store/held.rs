//! One Redrive at a time works with a store: two would take what the other is sending for what a crash left behind.

use std::fs::{File, TryLockError};
use std::path::PathBuf;
use std::str::FromStr as _;

use sqlx::sqlite::SqliteConnectOptions;

use super::StoreError;

/// The store is this process's until the value is dropped or the process ends, however it ends. Reading beside it, as
/// `redrive audit verify` does, is not hindered.
#[derive(Debug)]
pub struct HeldStore {
    _lock: Option<File>,
}

impl HeldStore {
    /// Locks the file beside the database of `store.url` that has its name and `.lock` behind it.
    pub fn take(url: &str) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::from_str(url).map_err(|source| StoreError::Url {
            url: url.to_owned(),
            source,
        })?;
        let database = options.get_filename();
        if database.starts_with("file:") {
            // In memory, so nobody else has it.
            return Ok(Self { _lock: None });
        }
        let mut path = database.as_os_str().to_owned();
        path.push(".lock");
        let path = PathBuf::from(path);
        let locked = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(TryLockError::Error)
            .and_then(|file| file.try_lock().map(|()| file));
        match locked {
            Ok(file) => Ok(Self { _lock: Some(file) }),
            Err(TryLockError::WouldBlock) => Err(StoreError::HeldByAnother { path }),
            Err(TryLockError::Error(source)) => Err(StoreError::Lock { path, source }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_held_once_until_it_is_let_go() {
        let folder = tempfile::tempdir().unwrap();
        let url = |name: &str| format!("sqlite:{}", folder.path().join(name).display());
        let held = HeldStore::take(&url("redrive.db")).unwrap();
        let error = HeldStore::take(&url("redrive.db")).unwrap_err().to_string();
        assert!(
            error.contains("redrive.db.lock") && error.contains("stop it"),
            "{error}"
        );
        HeldStore::take(&url("another.db")).unwrap();
        drop(held);
        HeldStore::take(&url("redrive.db")).unwrap();
    }

    #[test]
    fn stores_in_memory_do_not_meet() {
        let _first = HeldStore::take("sqlite::memory:").unwrap();
        HeldStore::take("sqlite::memory:").unwrap();
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let error = HeldStore::take("sqlite:/nowhere/redrive.db").unwrap_err();
        assert!(
            error.to_string().contains("/nowhere/redrive.db.lock"),
            "{error}"
        );
    }
}
