//! Why load was not sent, or why a run failed.

use std::fmt;

/// An error of a run, a search or a comparison, by whose fault it is.
#[derive(Debug)]
pub enum Error {
    /// The request is invalid: a value is out of range, or the target lacks what the workload needs.
    Usage(anyhow::Error),
    /// The engine, a worker or this machine failed. Says nothing about the server.
    Internal(anyhow::Error),
}

impl From<anyhow::Error> for Error {
    /// An unclassified error is an internal one.
    fn from(error: anyhow::Error) -> Self {
        Self::Internal(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Usage(error) | Self::Internal(error)) = self;
        write!(f, "{error:#}")
    }
}

impl std::error::Error for Error {}
