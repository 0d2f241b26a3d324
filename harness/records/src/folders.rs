//! poolproof's folders in the user's home (XDG Base Directory Specification 0.8).

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// For files that can be downloaded or built again.
pub fn cache() -> Result<PathBuf> {
    folder("XDG_CACHE_HOME", ".cache")
}

/// For state that outlives a process: the stacks that are kept, and their addresses.
pub fn state() -> Result<PathBuf> {
    folder("XDG_STATE_HOME", ".local/state")
}

fn folder(variable: &str, under_home: &str) -> Result<PathBuf> {
    let base = std::env::var_os(variable).map(PathBuf::from);
    let base = base.or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(under_home)));
    let base = base.with_context(|| format!("neither {variable} nor HOME is set"))?;
    Ok(base.join("poolproof"))
}
