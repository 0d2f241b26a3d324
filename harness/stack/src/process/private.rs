//! A gateway of the user's own, started by a command.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::child::Child;
use super::group::{ProcessGroup, STOP_TIMEOUT};

/// A running command. Its output is kept as `gateway.out` and `gateway.err`. Dropping it kills it and the processes of its group.
#[derive(Debug)]
pub struct PrivateGateway {
    child: Option<Child>,
    group: Pid,
}

impl PrivateGateway {
    /// Starts a command in its folder. `program` is the poolproof program, `logs` an existing folder. The calling thread must outlive the
    /// command.
    pub fn start(program: PathBuf, logs: &Path, command: &Command) -> Result<Self> {
        let processes = ProcessGroup {
            program,
            logs: logs.to_owned(),
        };
        let child = processes.start("gateway", command)?;
        let group = Pid::from_raw(-(child.id() as i32));
        Ok(Self {
            child: Some(child),
            group,
        })
    }

    /// Fails with the end of its output if it has ended.
    pub fn check(&mut self) -> Result<()> {
        self.child.as_mut().map_or(Ok(()), Child::check)
    }

    /// Asks its process group to end, and waits until the command has. Kills what is left.
    pub async fn stop(mut self) {
        self.signal(Signal::SIGTERM);
        if let Some(child) = self.child.take() {
            child.stop(STOP_TIMEOUT).await;
        }
    }

    /// Each child leads a process group.
    fn signal(&self, signal: Signal) {
        // The group may have ended by itself.
        let _ = kill(self.group, signal);
    }
}

impl Drop for PrivateGateway {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
    }
}
