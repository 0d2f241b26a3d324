//! The folder of a run. A lock file in it is held during the run, so that later runs detect and remove the folders of
//! killed runs.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;

const PREFIX: &str = "poolproof-";
const LOCK: &str = "in-use.lock";
/// A younger folder may not have been locked yet.
const LOCKED_AFTER: Duration = Duration::from_secs(60);

/// A new folder for temporary files. Dropping it removes it.
#[derive(Debug)]
pub(crate) struct Folder {
    folder: TempDir,
    _lock: File,
}

impl Folder {
    pub(super) fn new() -> Result<Self> {
        let parent = std::env::temp_dir();
        remove_left(&parent, LOCKED_AFTER);
        Self::new_in(&parent).context("making a folder for what processes write")
    }

    fn new_in(parent: &Path) -> std::io::Result<Self> {
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent)?;
        let lock = File::create(folder.path().join(LOCK))?;
        lock.lock()?;
        Ok(Self {
            folder,
            _lock: lock,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Removes folders whose lock is free. Folders that cannot be removed, such as those of other users, stay.
fn remove_left(parent: &Path, min_age: Duration) {
    let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX)) {
        let Ok(lock) = File::open(entry.path().join(LOCK)) else {
            continue;
        };
        let made = lock.metadata().and_then(|metadata| metadata.modified());
        let age = made.ok().and_then(|time| time.elapsed().ok());
        if age.is_some_and(|age| age >= min_age) && lock.try_lock().is_ok() {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_of_a_killed_run_is_removed_and_other_folders_are_not() {
        let parent = tempfile::tempdir().unwrap();
        let used = Folder::new_in(parent.path()).unwrap();
        let results = parent.path().join("poolproof-results");
        std::fs::create_dir(&results).unwrap();
        // The state after a process ends: the folder remains, its lock is released.
        let Folder {
            folder,
            _lock: lock,
        } = Folder::new_in(parent.path()).unwrap();
        let killed = folder.keep();
        drop(lock);

        remove_left(parent.path(), LOCKED_AFTER);
        assert!(killed.exists());
        remove_left(parent.path(), Duration::ZERO);
        assert!(!killed.exists());
        assert!(used.path().exists() && results.exists());
    }
}
