//! A run that several workers send together. Each is a process of its own, on this machine or in a pod.
//!
//! A coordinator sends each worker its assignment and the start time over HTTP, polls its progress, and fetches what it measured. A worker
//! listens on its loopback only; a pod's worker is reached through the API of its cluster. A pod's log cannot carry this: container
//! runtimes rotate it and cut its lines at 16 KiB. Neither can a ConfigMap or a Secret: they hold 1 MiB, traces are larger, and keys of
//! gateways would be stored in the cluster.

mod assignment;
mod clock;
mod coordinator;
mod remote;
mod worker;

pub use assignment::Assignment;
pub use coordinator::{Sending, Workers, run};
pub use worker::Server;

use serde::{Deserialize, Serialize};
use url::Url;

use super::engine::Snapshot;
use super::recorder::Recorder;
use poolproof_records::load::Cost;

/// A worker that listens, as its coordinator reaches it.
#[derive(Clone, Debug)]
pub struct Address {
    /// Its name.
    pub name: String,
    /// Where it runs: a process of this machine, or a pod and its node.
    pub place: String,
    /// Where its coordinator reaches it.
    pub url: Url,
}

/// The progress of a worker.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Progress {
    /// Its live counters.
    live: Snapshot,
    /// Whether it has ended, successfully or not.
    done: bool,
}

/// The result of a worker at the end of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct HandedOver {
    /// Its measurements.
    recorder: Recorder,
    /// The resource use of each thread.
    costs: Vec<Cost>,
    /// Requests that it started, those of the warm-up included.
    started_requests: u64,
    /// Of these, those that had not ended when the run was interrupted.
    unfinished: u64,
    /// The processors that it may use.
    cores: usize,
}
