//! Child processes: started so that they end with us, stopped in order.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use tokio::signal::unix::{SignalKind, signal};

use super::exec::addressee;
use super::group::{Output, ProcessGroup, STOP_TIMEOUT};

/// A running child. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Child {
    pub(super) output: Output,
    child: std::process::Child,
}

impl ProcessGroup {
    /// Starts a program that ends when we do. To be called on a thread that lives as long as the child is to.
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
            // Ctrl-C in a terminal goes to the whole group; it is for us to stop children in order.
            .process_group(0);
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
            "{} ended: {status}; it said: {}",
            self.output.name,
            self.output.tail()
        )
    }

    /// Waits until it has ended by itself, and gives what it wrote to standard output. Fails if it did not succeed, or does
    /// not end within `timeout`; then it is killed.
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

    /// Waits until it has ended: the system sends SIGCHLD when any child ends.
    async fn ended(&mut self) -> std::io::Result<ExitStatus> {
        // Before the first look, so that no end falls between the look and the wait.
        let mut ends = signal(SignalKind::child())?;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            ends.recv().await;
        }
    }

    /// Asks it to end, and waits until it has; kills it if it takes too long.
    pub(super) async fn stop(mut self) {
        self.signal(Signal::SIGTERM);
        let ended = tokio::time::timeout(STOP_TIMEOUT, self.ended()).await;
        if ended.is_ok() {
            return;
        }
        tracing::warn!(
            "{} did not end within {STOP_TIMEOUT:?} and is killed",
            self.output.name
        );
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    fn signal(&self, signal: Signal) {
        // It may have ended by itself; it is still ours to wait for, so the pid is nobody else's.
        let _ = kill(addressee(self.id() as i32), signal);
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            self.signal(Signal::SIGKILL);
            // It cannot resist, and leaves no zombie.
            let _ = self.child.wait();
        }
    }
}
