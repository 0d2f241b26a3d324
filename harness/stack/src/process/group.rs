//! Starts children and containers, and collects their output.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use super::folder::Folder;

/// The time that a process has to end after SIGTERM. Envoy and the endpoint picker end within milliseconds.
pub(super) const STOP_TIMEOUT: Duration = Duration::from_secs(5);
pub(super) const POLL_INTERVAL: Duration = Duration::from_millis(5);
/// How much of the end of a log is shown when a process has failed.
const LOG_TAIL_BYTES: usize = 2000;

/// Starts children and containers.
#[derive(Clone, Debug)]
pub(crate) struct ProcessGroup {
    /// The poolproof program: a child of it execs the wanted program.
    pub(crate) program: PathBuf,
    /// The folder for their output; containers see it under the same path.
    pub(crate) logs: PathBuf,
}

impl ProcessGroup {
    /// A group whose children write into a new folder. Dropping the returned folder removes it.
    pub(crate) fn in_new_folder(program: PathBuf) -> Result<(Self, Folder)> {
        let folder = Folder::new()?;
        let logs = folder.path().to_owned();
        Ok((Self { program, logs }, folder))
    }

    /// The name of this run, which is the name of its folder.
    pub(crate) fn run(&self) -> Result<&str> {
        let name = self.logs.file_name().and_then(|name| name.to_str());
        name.context("the folder for what processes write has no name")
    }
}

/// The output files of a process.
#[derive(Clone, Debug)]
pub(super) struct Output {
    /// The name of the process.
    pub(super) name: String,
    pub(super) stdout: PathBuf,
    stderr: PathBuf,
}

impl Output {
    /// Creates the files, empty.
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

    /// The end of its standard error, or of its standard output if that is empty.
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
