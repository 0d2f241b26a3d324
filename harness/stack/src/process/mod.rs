//! The processes of a stack: children of this process, or containers. Their output is kept in files, and they end with
//! the stack.

mod alive;
mod child;
mod container;
mod exec;
mod folder;
mod group;
mod private;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

pub(crate) use alive::is_alive;
pub use alive::is_poolproof;
pub(crate) use child::Child;
pub(crate) use container::{Container, PID_LABEL, RUN_LABEL};
pub use exec::exec_child;
pub(crate) use folder::Folder;
pub(crate) use group::ProcessGroup;
use group::{Output, POLL_INTERVAL, STOP_TIMEOUT};
pub(crate) use private::PrivateGateway;
pub use private::kill_private_gateways;

/// How to start a part of a stack.
#[derive(Debug)]
pub(crate) struct Launch {
    /// The image of the program; `None`: a file of this machine.
    pub(crate) image: Option<String>,
    /// The program with its arguments and its environment.
    pub(crate) command: Command,
}

/// A running part of a stack. Dropping it kills it.
#[derive(Debug)]
pub(crate) enum Process {
    /// A child of this process.
    Child(Child),
    /// A container.
    Container(Box<Container>),
}

impl ProcessGroup {
    /// Starts a part of a stack, here or in a container.
    pub(crate) async fn launch(&self, name: &str, launch: &Launch) -> Result<Process> {
        match &launch.image {
            None => self.start(name, &launch.command).map(Process::Child),
            Some(image) => Container::start(self, name, image, &launch.command)
                .await
                .with_context(|| format!("starting {name} in a container of {image}"))
                .map(|container| Process::Container(Box::new(container))),
        }
    }
}

impl Process {
    /// Fails with the end of its log if it has ended.
    pub(crate) async fn check(&mut self) -> Result<()> {
        match self {
            Self::Child(child) => child.check(),
            Self::Container(container) => container.check().await,
        }
    }

    /// Polls `ready` until it returns a value. Fails if the process ends first, or after `timeout`.
    pub(crate) async fn wait_for<T, F>(
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
                "{}: no {what} within {timeout:?}; its output: {}",
                output.name,
                output.tail()
            );
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Waits until a component of poolproof prints its address.
    pub(crate) async fn listening_on(&mut self, timeout: Duration) -> Result<SocketAddr> {
        let output = self.stdout();
        let listening = || {
            let text = std::fs::read_to_string(&output).unwrap_or_default();
            let address = text
                .lines()
                .find_map(|line| line.strip_prefix("listening on "));
            let address = address.and_then(|address| address.parse().ok());
            async move { address }
        };
        self.wait_for("address", timeout, listening).await
    }

    /// The file with its standard output.
    pub(crate) fn stdout(&self) -> PathBuf {
        self.output().stdout.clone()
    }

    /// Asks it to end, and waits until it has. Kills it after a timeout.
    pub(crate) async fn stop(self) {
        self.stop_within(STOP_TIMEOUT).await;
    }

    /// The same, but kills it only after `timeout`.
    pub(crate) async fn stop_within(self, timeout: Duration) {
        match self {
            Self::Child(child) => child.stop(timeout).await,
            Self::Container(container) => container.stop(timeout).await,
        }
    }

    fn output(&self) -> &Output {
        match self {
            Self::Child(child) => &child.output,
            Self::Container(container) => &container.output,
        }
    }
}

/// Writes a file that a process reads.
pub(crate) fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}
