//! The workers of a load run that several processes send: children of ours beside a stack of this machine, pods beside one in a cluster.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::kubernetes::load_job::{self, LoadJob};
use super::local::listening_on;
use super::process::{Folder, Nursery, Process};
use super::{Options, Running, Stack, StackKind};
use crate::load::workers::{self, Address};

/// A process is there within milliseconds, but of many on a busy machine some wait.
const READY_TIMEOUT: Duration = Duration::from_secs(30);

/// Running workers. [`Workers::stop`] ends them.
pub struct Workers {
    /// The workers, in the order of their parts.
    pub list: Vec<Address>,
    /// Where they reach the gateway, if not where its target says.
    pub gateway: Option<Url>,
    running: Hands,
}

enum Hands {
    Processes(Vec<Mutex<Process>>, Folder),
    Pods(Box<LoadJob>),
}

impl Stack {
    /// Starts so many workers, and waits until all of them listen: pods of a Job in the stack's cluster if it is in one, else processes
    /// of this machine. A start that fails, or is ended by `stop`, leaves nothing behind.
    pub async fn start_workers(
        &self,
        count: usize,
        program: &Path,
        stop: &CancellationToken,
    ) -> Result<Workers> {
        let inside = match &self.running {
            Running::Kind(kind) => Some(&kind.inside),
            Running::Cluster(cluster) => Some(&cluster.inside),
            Running::Embedded(_) | Running::Local(_) | Running::Url => None,
        };
        match inside {
            Some(inside) => {
                let (job, list) = LoadJob::start(inside, count, stop).await?;
                Ok(Workers {
                    list,
                    gateway: inside.gateway.clone(),
                    running: Hands::Pods(Box::new(job)),
                })
            }
            None => processes(count, program).await,
        }
    }
}

/// The Job that a stack of these options would have for so many workers; `None` if they would be processes of this machine.
pub fn planned_job(options: &Options, count: usize) -> Result<Option<Value>> {
    let (namespace, image) = match options.kind {
        StackKind::Kind => super::kind::pods_of_ours(options)?,
        StackKind::Cluster => super::cluster::pods_of_ours(options),
        _ => return Ok(None),
    };
    let job = load_job::manifest(&load_job::new_name(), &namespace, &image, count);
    Ok(Some(job))
}

async fn processes(count: usize, program: &Path) -> Result<Workers> {
    let (nursery, folder) = Nursery::in_new_folder(program.to_owned())?;
    let mut processes = Vec::new();
    for number in 0..count {
        let mut command = Command::new(program);
        command.args(["serve", "worker"]);
        let process = nursery.start(&name(number), &command)?;
        let place = format!("process {}", process.id());
        processes.push((place, Process::Child(process)));
    }
    let mut list = Vec::new();
    for (number, (place, process)) in processes.iter_mut().enumerate() {
        let address = listening_on(process, READY_TIMEOUT).await?;
        list.push(Address {
            name: name(number),
            place: place.clone(),
            url: format!("http://{address}/").parse().context("its url")?,
        });
    }
    Ok(Workers {
        list,
        gateway: None,
        running: Hands::Processes(
            processes
                .into_iter()
                .map(|(_, it)| Mutex::new(it))
                .collect(),
            folder,
        ),
    })
}

pub(super) fn name(number: usize) -> String {
    format!("worker-{number}")
}

impl Workers {
    /// Whether they are pods, elsewhere than this process.
    pub fn are_pods(&self) -> bool {
        matches!(self.running, Hands::Pods(_))
    }

    /// Ends them, and waits until they and all that was made for them is gone.
    pub async fn stop(self) {
        match self.running {
            Hands::Processes(processes, _folder) => {
                for process in processes {
                    process.into_inner().stop().await;
                }
            }
            Hands::Pods(job) => job.stop().await,
        }
    }
}

impl workers::Workers for Workers {
    fn addresses(&self) -> &[Address] {
        &self.list
    }

    async fn gone(&self, number: usize) -> Option<String> {
        match &self.running {
            Hands::Processes(processes, _) => {
                let mut process = processes.get(number)?.lock().await;
                process
                    .check()
                    .await
                    .err()
                    .map(|error| format!("{error:#}"))
            }
            Hands::Pods(job) => job.gone(number).await,
        }
    }
}
