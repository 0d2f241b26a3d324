//! The workers of a distributed load run: child processes on this machine, or pods beside a stack in a cluster.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::options::Options;
use super::places::deployment::load_job::{self, LoadJob};
use super::places::place;
use super::process::{Folder, Process, ProcessGroup};
use super::running::Stack;
use super::worker;

pub use super::worker::Worker;

/// A process listens within milliseconds; many at once on a busy machine take longer.
const READY_TIMEOUT: Duration = Duration::from_secs(30);

/// Running workers. [`Workers::stop`] ends them.
pub struct Workers {
    /// The workers, in the order of their parts.
    pub list: Vec<Worker>,
    /// The gateway's URL for workers, if it differs from that of the target.
    pub gateway: Option<Url>,
    running: Running,
}

enum Running {
    Processes(Vec<Mutex<Process>>, Folder),
    Pods(Box<LoadJob>),
}

impl Stack {
    /// Starts `count` workers and waits until all of them listen. They are pods of a Job if the stack is in a cluster,
    /// otherwise processes of this machine. A start that fails, or is cancelled by `stop`, leaves nothing behind.
    pub async fn start_workers(
        &self,
        count: usize,
        program: &Path,
        stop: &CancellationToken,
    ) -> Result<Workers> {
        let Some((pods, _)) = self.running.in_cluster() else {
            return processes(count, program).await;
        };
        let (job, list) = LoadJob::start(pods, count, stop).await?;
        Ok(Workers {
            list,
            gateway: pods.gateway.clone(),
            running: Running::Pods(Box::new(job)),
        })
    }
}

/// The Job that a stack of these options would create for `count` workers; `None` if workers would be processes of this
/// machine.
pub fn planned_job(options: &Options, count: usize) -> Result<Option<Value>> {
    let Some((namespace, image)) = place(options.kind).own_pods(options)? else {
        return Ok(None);
    };
    let job = load_job::manifest(&load_job::new_name(), &namespace, &image, count);
    Ok(Some(job))
}

async fn processes(count: usize, program: &Path) -> Result<Workers> {
    let (group, folder) = ProcessGroup::in_new_folder(program.to_owned())?;
    let mut processes = Vec::new();
    for number in 0..count {
        let mut command = Command::new(program);
        command.args(["serve", "worker"]);
        let process = group.start(&worker::name(number), &command)?;
        let place = format!("process {}", process.id());
        processes.push((place, Process::Child(process)));
    }
    let mut list = Vec::new();
    for (number, (place, process)) in processes.iter_mut().enumerate() {
        let address = process.listening_on(READY_TIMEOUT).await?;
        list.push(Worker {
            name: worker::name(number),
            place: place.clone(),
            url: format!("http://{address}/").parse().context("its url")?,
        });
    }
    Ok(Workers {
        list,
        gateway: None,
        running: Running::Processes(
            processes
                .into_iter()
                .map(|(_, it)| Mutex::new(it))
                .collect(),
            folder,
        ),
    })
}

impl Workers {
    /// Whether the workers are pods instead of local processes.
    pub fn are_pods(&self) -> bool {
        matches!(self.running, Running::Pods(_))
    }

    /// How a worker has ended, if it has.
    pub async fn gone(&self, number: usize) -> Option<String> {
        match &self.running {
            Running::Processes(processes, _) => {
                let mut process = processes.get(number)?.lock().await;
                process
                    .check()
                    .await
                    .err()
                    .map(|error| format!("{error:#}"))
            }
            Running::Pods(job) => job.gone(number).await,
        }
    }

    /// Ends the workers, and waits until they and everything created for them are gone.
    pub async fn stop(self) {
        match self.running {
            Running::Processes(processes, _folder) => {
                for process in processes {
                    process.into_inner().stop().await;
                }
            }
            Running::Pods(job) => job.stop().await,
        }
    }
}
