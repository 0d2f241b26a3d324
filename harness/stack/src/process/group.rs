//! How children and containers are started, and where their output goes.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use super::folder::Folder;

/// How long a process may take to end after SIGTERM; Envoy and the endpoint picker end within milliseconds.
pub(super) const STOP_TIMEOUT: Duration = Duration::from_secs(5);
pub(super) const POLL_INTERVAL: Duration = Duration::from_millis(5);
/// How much of the end of a log is shown when a process has failed.
const LOG_TAIL_BYTES: usize = 2000;

/// How children and containers are started.
#[derive(Clone, Debug)]
pub(crate) struct ProcessGroup {
    /// The poolproof program: a child of it becomes the program that is wanted.
    pub(crate) program: PathBuf,
    /// The folder for what they write; containers see it under the same path.
    pub(crate) logs: PathBuf,
}

impl ProcessGroup {
    /// One whose children write into a new folder, which is gone when what is returned beside it is dropped.
    pub(crate) fn in_new_folder(program: PathBuf) -> Result<(Self, Folder)> {
        let folder = Folder::new()?;
        let logs = folder.path().to_owned();
        Ok((Self { program, logs }, folder))
    }

    /// The name of this run: that of its folder.
    pub(crate) fn run(&self) -> Result<&str> {
        let name = self.logs.file_name().and_then(|it| it.to_str());
        name.context("the folder for what processes write has no name")
    }
}

/// The files of what a process writes.
#[derive(Clone, Debug)]
pub(super) struct Output {
    /// The name of the process.
    pub(super) name: String,
    pub(super) stdout: PathBuf,
    stderr: PathBuf,
}

impl Output {
    /// Makes the files, empty.
    pub(super) fn create(folder: &Path, name: &str) -> Result<(Self, File, File)> {
        let output = Self {
            name: name.to_owned(),
            stdout: folder.join(format!("{name}.out")),
            stderr: folder.join(format!("{name}.err")),
        };
        let create = |path: &Path| {
            File::create(path).with_context(|| format!("creating {}", path.display()))
        };
        let (stdout, stderr) = (create(&output.stdout)?, create(&output.stderr)?);
        Ok((output, stdout, stderr))
    }

    /// The end of what it said, of its errors first.
    pub(super) fn tail(&self) -> String {
        let text = [&self.stderr, &self.stdout]
            .map(|path| std::fs::read(path).unwrap_or_default())
            .map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned())
            .into_iter()
            .find(|text| !text.is_empty())
            .unwrap_or_else(|| "nothing".to_owned());
        let start = text.len().saturating_sub(LOG_TAIL_BYTES);
        let start = (start..text.len()).find(|at| text.is_char_boundary(*at));
        text[start.unwrap_or(0)..].to_owned()
    }
}
