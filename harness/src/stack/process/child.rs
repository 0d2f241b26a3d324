//! Child processes: started so that they end with us, stopped in order.

use std::convert::Infallible;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::group::{Nursery, Output, POLL_INTERVAL, STOP_TIMEOUT};

/// A running child. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Child {
    pub(super) output: Output,
    child: std::process::Child,
}

impl Nursery {
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
        let deadline = Instant::now() + timeout;
        while Instant::now() < deadline {
            let status = self.child.try_wait().context("looking after a process")?;
            match status {
                Some(status) if status.success() => {
                    return std::fs::read_to_string(&self.output.stdout)
                        .with_context(|| format!("output of {}", self.output.name));
                }
                Some(status) => bail!("{}: {status}: {}", self.output.name, self.output.tail()),
                None => tokio::time::sleep(POLL_INTERVAL).await,
            }
        }
        bail!("{}: not done within {timeout:?}", self.output.name)
    }

    /// Asks it to end, and waits until it has; kills it if it takes too long.
    pub(super) async fn stop(mut self) {
        self.signal(Signal::SIGTERM);
        let deadline = Instant::now() + STOP_TIMEOUT;
        while Instant::now() < deadline {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            tokio::time::sleep(POLL_INTERVAL).await;
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
        let _ = kill(Pid::from_raw(self.id() as i32), signal);
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

/// Becomes another program, which is killed when the thread that started us ends. `parent` is the process of that thread.
pub fn exec_child(parent: u32, command: &[String]) -> Result<Infallible> {
    set_pdeathsig(Signal::SIGKILL).context("tying a process to its parent")?;
    // The parent may have ended before the line above.
    ensure!(
        std::os::unix::process::parent_id() == parent,
        "the parent has ended"
    );
    let (program, arguments) = command.split_first().context("no program")?;
    let error = Command::new(program).args(arguments).exec();
    Err(error).with_context(|| format!("starting {program}"))
}
