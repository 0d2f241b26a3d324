//! What a stack starts: children of this process, or containers. Their output is kept in files, and they end before the stack does.

mod alive;
mod child;
mod container;
mod exec;
mod folder;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

pub(super) use alive::is_alive;
pub use alive::is_poolproof;
pub(super) use child::Child;
pub(super) use container::{Container, PID_LABEL, RUN_LABEL};
pub use exec::exec_child;
pub(super) use folder::Folder;

/// How long a process may take to end after SIGTERM; Envoy and the endpoint picker end within milliseconds.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// How much of the end of a log is shown when a process has failed.
const LOG_TAIL_BYTES: usize = 2000;

/// How children and containers are started.
#[derive(Clone, Debug)]
pub(super) struct Nursery {
    /// The poolproof program: a child of it becomes the program that is wanted.
    pub(super) program: PathBuf,
    /// The folder for what they write; containers see it under the same path.
    pub(super) logs: PathBuf,
}

/// How a part of a stack is started.
#[derive(Debug)]
pub(super) struct Launch {
    /// The image that the program is in; `None`: it is a file of this machine.
    pub(super) image: Option<String>,
    /// The program, with its arguments and what it finds in its environment.
    pub(super) command: Command,
}

/// A running part of a stack. Dropping it kills it.
#[derive(Debug)]
pub(super) enum Process {
    /// A child of this process.
    Child(Child),
    /// A container.
    Container(Box<Container>),
}

impl Nursery {
    /// One whose children write into a new folder, which is gone when what is returned beside it is dropped.
    pub(super) fn in_new_folder(program: PathBuf) -> Result<(Self, Folder)> {
        let folder = Folder::new()?;
        let logs = folder.path().to_owned();
        Ok((Self { program, logs }, folder))
    }

    /// The name of this run: that of its folder.
    pub(super) fn run(&self) -> Result<&str> {
        let name = self.logs.file_name().and_then(|it| it.to_str());
        name.context("the folder for what processes write has no name")
    }

    /// Starts a part of a stack, here or in a container.
    pub(super) async fn launch(&self, name: &str, launch: &Launch) -> Result<Process> {
        match &launch.image {
            None => self.start(name, &launch.command).map(Process::Child),
            Some(image) => Container::start(self, name, image, &launch.command)
                .await
                .with_context(|| format!("starting {name} in a container of {image}"))
                .map(|it| Process::Container(Box::new(it))),
        }
    }
}

impl Process {
    /// Fails with the end of its log if it has ended.
    pub(super) async fn check(&mut self) -> Result<()> {
        match self {
            Self::Child(child) => child.check(),
            Self::Container(container) => container.check().await,
        }
    }

    /// Waits until `ready` gives a value. Fails if the process ends before, or after `timeout`.
    pub(super) async fn wait_for<T, F>(
        &mut self,
        what: &str,
        timeout: Duration,
        ready: impl Fn() -> F,
    ) -> Result<T>
    where
        F: Future<Output = Option<T>>,
    {
        let deadline = Instant::now() + timeout;
        loop {
            self.check().await?;
            if let Some(value) = ready().await {
                return Ok(value);
            }
            let output = self.output();
            ensure!(
                Instant::now() < deadline,
                "{}: no {what} within {timeout:?}; it said: {}",
                output.name,
                output.tail()
            );
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// The file of what it writes to standard output.
    pub(super) fn stdout(&self) -> PathBuf {
        self.output().stdout.clone()
    }

    /// Asks it to end, and waits until it has; kills it if it takes too long.
    pub(super) async fn stop(self) {
        match self {
            Self::Child(child) => child.stop().await,
            Self::Container(container) => container.stop().await,
        }
    }

    fn output(&self) -> &Output {
        match self {
            Self::Child(child) => &child.output,
            Self::Container(container) => &container.output,
        }
    }
}

/// The files of what a process writes.
#[derive(Clone, Debug)]
struct Output {
    /// The name of the process.
    name: String,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Output {
    /// Makes the files, empty.
    fn create(folder: &Path, name: &str) -> Result<(Self, File, File)> {
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
    fn tail(&self) -> String {
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
