//! Child processes: they end with this process, and stop in order.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use tokio::signal::unix::{SignalKind, signal};

use super::exec::addressee;
use super::group::{Output, ProcessGroup};

/// A running child. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Child {
    pub(super) output: Output,
    child: std::process::Child,
}

impl ProcessGroup {
    /// Starts a program that ends with this process. The calling thread must outlive the child.
    pub(crate) fn start(&self, name: &str, command: &Command) -> Result<Child> {
        let (output, stdout, stderr) = Output::create(&self.logs, name)?;
        let mut child = Command::new(&self.program);
        child
            .arg("exec-child")
            .arg(std::process::id().to_string())
            .arg("--")
            .arg(command.get_program())
            .args(command.get_args())
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr)
            // A terminal sends Ctrl-C to its whole process group; children are stopped in order by us instead.
            .process_group(0);
        if let Some(folder) = command.get_current_dir() {
            child.current_dir(folder);
        }
        for (variable, value) in command.get_envs() {
            match value {
                Some(value) => child.env(variable, value),
                None => child.env_remove(variable),
            };
        }
        let child = child.spawn().with_context(|| format!("starting {name}"))?;
        Ok(Child { output, child })
    }
}

impl Child {
    /// Fails with the end of its log if it has ended.
    pub(super) fn check(&mut self) -> Result<()> {
        let Some(status) = self.child.try_wait().context("looking after a process")? else {
            return Ok(());
        };
        bail!(
            "{} ended: {status}; its output: {}",
            self.output.name,
            self.output.tail()
        )
    }

    /// Waits until it ends by itself, and returns its standard output. Fails if it exits with an error or runs longer
    /// than `timeout`; in the second case it is killed.
    pub(crate) async fn finish(mut self, timeout: Duration) -> Result<String> {
        let Ok(status) = tokio::time::timeout(timeout, self.ended()).await else {
            bail!("{}: not done within {timeout:?}", self.output.name)
        };
        let status = status.context("looking after a process")?;
        ensure!(
            status.success(),
            "{}: {status}: {}",
            self.output.name,
            self.output.tail()
        );
        std::fs::read_to_string(&self.output.stdout)
            .with_context(|| format!("output of {}", self.output.name))
    }

    /// Waits until it has ended. The system sends SIGCHLD when any child ends.
    async fn ended(&mut self) -> std::io::Result<ExitStatus> {
        // Subscribed before the first check, so that an end between check and wait is not missed.
        let mut ends = signal(SignalKind::child())?;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            ends.recv().await;
        }
    }

    /// Sends SIGTERM and waits until it has ended. Kills it after `timeout`.
    pub(super) async fn stop(mut self, timeout: Duration) {
        self.signal(Signal::SIGTERM);
        let ended = tokio::time::timeout(timeout, self.ended()).await;
        if ended.is_ok() {
            return;
        }
        tracing::warn!(
            "{} did not end within {timeout:?} and is killed",
            self.output.name
        );
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    fn signal(&self, signal: Signal) {
        // It may have ended by itself. It has not been waited for, so its pid is not reused.
        let _ = kill(addressee(self.id() as i32), signal);
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            self.signal(Signal::SIGKILL);
            // SIGKILL cannot be caught; waiting prevents a zombie.
            let _ = self.child.wait();
        }
    }
}
