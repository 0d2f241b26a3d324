//! A gateway of the user's own, started by a command.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Error, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use poolproof_client::lock::lock;

use super::child::Child;
use super::group::{ProcessGroup, STOP_TIMEOUT};

/// How often it is looked after while it starts.
const CHECK_INTERVAL: Duration = Duration::from_millis(50);

/// The groups of all running commands.
static GROUPS: Mutex<BTreeSet<Pid>> = Mutex::new(BTreeSet::new());

/// Kills the commands of all private gateways with their groups, for an exit that drops nothing.
pub fn kill_private_gateways() {
    for group in lock(&GROUPS).iter() {
        // It may have ended by itself.
        let _ = kill(*group, Signal::SIGKILL);
    }
}

/// A running command. Its output is kept as `gateway.out` and `gateway.err`. Dropping it kills it and the processes of its group.
#[derive(Debug)]
pub(crate) struct PrivateGateway {
    child: Option<Child>,
    group: Pid,
}

impl PrivateGateway {
    /// Starts a command in its folder. `program` is the poolproof program, `logs` an existing folder. The calling thread must outlive the
    /// command.
    pub(crate) fn start(program: PathBuf, logs: &Path, command: &Command) -> Result<Self> {
        let processes = ProcessGroup {
            program,
            logs: logs.to_owned(),
        };
        let child = processes.start("gateway", command)?;
        let group = Pid::from_raw(-(child.id() as i32));
        lock(&GROUPS).insert(group);
        Ok(Self {
            child: Some(child),
            group,
        })
    }

    /// Waits until it has ended, and returns how, with the end of its output.
    pub(crate) async fn failed(&mut self) -> Error {
        loop {
            if let Err(error) = self.child.as_mut().map_or(Ok(()), Child::check) {
                return error.context(
                    "`start_command` ended before the gateway served; a script starts it with `exec`, in the foreground",
                );
            }
            tokio::time::sleep(CHECK_INTERVAL).await;
        }
    }

    /// What helps if it does not serve in time, with the end of its output.
    pub(crate) fn not_ready(&self) -> String {
        let output = self.child.as_ref().map(|child| child.output.tail());
        format!(
            "`start_command` runs, but the gateway does not serve: check its address against `url` of the target file, or raise `wait_ready`; its output: {}",
            output.unwrap_or_default()
        )
    }

    /// Asks its process group to end, and waits until the command has. Kills what is left.
    pub(crate) async fn stop(mut self) {
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
        lock(&GROUPS).remove(&self.group);
    }
}
