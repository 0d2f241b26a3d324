//! One user of the kind cluster at a time.

use std::fs::{File, TryLockError};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

/// The folder for files that outlive a run: the cluster's kubeconfig, and the lock.
pub(super) fn state_folder() -> Result<PathBuf> {
    let folder = poolproof_records::folders::state()?.join("kind");
    std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    Ok(folder)
}

/// Held while the cluster is in use. The system releases it when the process ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock. Fails if another process has it.
    pub fn take() -> Result<Self> {
        let folder = state_folder()?;
        let path = folder.join("lock");
        let file = File::create(&path).with_context(|| format!("creating {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => bail!(
                "the kind cluster is in use by another poolproof; wait for it, or stop it with `poolproof down`"
            ),
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("locking {}", path.display()))
            }
        }
    }
}
