//! How the start of a stack goes on, and why it failed.

use std::time::{Duration, Instant};

use poolproof_model::component::Step;

/// Reports how a start goes on, and measures its steps.
pub struct Progress<'a> {
    steps: Vec<Step>,
    since: Instant,
    tell: &'a mut (dyn FnMut(&str) + Send),
}

impl<'a> Progress<'a> {
    /// Calls `tell` with the name of each step that is done.
    pub(crate) fn new(tell: &'a mut (dyn FnMut(&str) + Send)) -> Self {
        Self {
            steps: Vec::new(),
            since: Instant::now(),
            tell,
        }
    }

    /// Ends the step that ran until now.
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

    /// The steps that are done.
    pub(crate) fn into_steps(self) -> Vec<Step> {
        self.steps
    }
}

/// Why a stack could not be started.
#[derive(Debug)]
pub enum StartError {
    /// What was asked for makes no sense: wrong use or a wrong file.
    Config(anyhow::Error),
    /// It was not there, or did not come up.
    Unavailable(anyhow::Error),
}
