//! A run that several workers send together. Each is a process of its own, on this machine or in a pod.
//!
//! A coordinator tells each worker over HTTP what to send and when the clock begins to run, asks how far it has come, and fetches what it
//! measured. A worker listens on its loopback only; a pod's is reached through the API of its cluster. Not by the pod's log: that is cut
//! where it grows, its lines are cut at 16 KiB by container runtimes, and nothing can be said to a pod that way. And not by a ConfigMap
//! or a Secret: these hold a mebibyte, which traces are larger than, and keys of gateways would lie in the cluster.

mod assignment;
mod clock;
mod coordinator;
mod distribute;
mod remote;
mod worker;

pub use assignment::Assignment;
pub use coordinator::{Sending, Workers, run};
pub use worker::Server;

pub(crate) use distribute::distribute;

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
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
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
