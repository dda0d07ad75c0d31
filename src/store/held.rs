//! One Redrive at a time works with a store: two would take what the other is sending for what a crash left behind.

use std::fs::{File, TryLockError};
use std::path::PathBuf;

use super::{StoreError, connect_options};

/// The store is this process's until the value is dropped or the process ends, however it ends. Reading beside it, as
/// `redrive audit verify` does, is not hindered.
#[derive(Debug)]
pub struct HeldStore {
    _lock: Option<File>,
}

impl HeldStore {
    /// Locks the file beside the database of `store.url` that has its name and `.lock` behind it.
    pub fn take(url: &str) -> Result<Self, StoreError> {
        let Some(path) = lock_path(url)? else {
            return Ok(Self { _lock: None });
        };
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

/// `None` for a database in memory, which nobody else has: sqlx gives it a name and no file.
fn lock_path(url: &str) -> Result<Option<PathBuf>, StoreError> {
    let options = connect_options(url)?;
    let database = options.get_filename().as_os_str();
    if database.as_encoded_bytes().starts_with(b"file:") {
        return Ok(None);
    }
    let mut path = database.to_owned();
    path.push(".lock");
    Ok(Some(PathBuf::from(path)))
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
    fn a_store_in_memory_leaves_no_lock_file() {
        assert_eq!(lock_path("sqlite::memory:").unwrap(), None);
        let beside = lock_path("sqlite:a/redrive.db").unwrap();
        assert_eq!(beside, Some(PathBuf::from("a/redrive.db.lock")));
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
