//! A worker of a load run, either a process or a pod.

use url::Url;

/// A worker.
#[derive(Clone, Debug)]
pub struct Worker {
    /// Its name.
    pub name: String,
    /// Where it runs.
    pub place: String,
    /// The URL of its API.
    pub url: Url,
}

/// The name of the worker with this number.
pub(crate) fn name(number: usize) -> String {
    format!("worker-{number}")
}
