//! A worker of a load run, whether it is a process or a pod.

use url::Url;

/// A worker.
#[derive(Clone, Debug)]
pub struct Worker {
    /// Its name.
    pub name: String,
    /// Where it runs.
    pub place: String,
    /// Where it is told what to do.
    pub url: Url,
}

/// The name of a worker, by its number.
pub(crate) fn name(number: usize) -> String {
    format!("worker-{number}")
}
