//! The progress of a start, and its errors.

use std::time::{Duration, Instant};

use poolproof_model::component::Step;

/// Reports the progress of a start, and measures its steps.
pub struct Progress<'a> {
    steps: Vec<Step>,
    since: Instant,
    tell: &'a mut (dyn FnMut(&str) + Send),
}

impl<'a> Progress<'a> {
    /// Calls `tell` with the name of each finished step, and with what a step waits for.
    pub(crate) fn new(tell: &'a mut (dyn FnMut(&str) + Send)) -> Self {
        Self {
            steps: Vec::new(),
            since: Instant::now(),
            tell,
        }
    }

    /// Ends the current step.
    pub fn done(&mut self, step: impl Into<String>) {
        let took: Duration = self.since.elapsed();
        self.since = Instant::now();
        let name = step.into();
        (self.tell)(&name);
        self.steps.push(Step {
            name,
            took_ms: took.as_millis() as u64,
        });
    }

    /// Tells what the current step waits for.
    pub(crate) fn waits(&mut self, what: &str) {
        (self.tell)(what);
    }

    /// The finished steps.
    pub(crate) fn into_steps(self) -> Vec<Step> {
        self.steps
    }
}

/// Why a stack could not be started.
#[derive(Debug)]
pub enum StartError {
    /// The request is invalid: a usage error or a wrong file.
    Config(anyhow::Error),
    /// The stack was not found, or did not start.
    Unavailable(anyhow::Error),
}
