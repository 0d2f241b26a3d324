//! What a worker is told to send.

use std::net::IpAddr;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::engine::{Job, Part, Sender};
use crate::requests::Header;
use crate::tokenizer::Vocabulary;
use poolproof_model::target::Target;
use poolproof_model::workload::Workload;
use poolproof_model::workload::trace::Trace;
use poolproof_records::limits;
use poolproof_records::run::without_credentials;

/// The part of a run that is a worker's.
#[derive(Clone, Serialize, Deserialize)]
pub struct Assignment {
    /// Which requests are its own.
    pub part: Part,
    /// The seed of the schedule and of the requests.
    pub seed: u64,
    /// Threads that send; `None`: one for each processor of the worker's.
    pub threads: Option<usize>,
    /// Where requests go, in turn.
    pub urls: Vec<Url>,
    /// Headers of every request.
    pub headers: Vec<Header>,
    /// Addresses of the worker's machine to connect from, in turn.
    pub sources: Vec<IpAddr>,
    /// What prompts are made of, if they are made for a tokenizer: its file is not where workers are.
    pub vocabulary: Option<Vocabulary>,
    /// [`What`], as TOML: from JSON, numbers are read to the last digit but one, and every request would be due a nanosecond beside.
    what: String,
}

/// What is sent.
#[derive(Serialize, Deserialize)]
struct What {
    workload: Workload,
    target: Target,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trace: Option<Trace>,
}

impl Assignment {
    /// The assignment of all of a workload, to be divided; requests go to the target's gateway.
    pub fn new(
        workload: &Workload,
        trace: Option<&Trace>,
        target: &Target,
        seed: u64,
    ) -> Result<Self> {
        let what = What {
            workload: workload.clone(),
            target: Target {
                // Nobody but its owner is to change the stack.
                changes: None,
                ..without_credentials(target)
            },
            trace: trace.cloned(),
        };
        Ok(Self {
            part: Part::whole(),
            seed,
            threads: None,
            urls: vec![target.url.clone()],
            headers: Vec::new(),
            sources: Vec::new(),
            vocabulary: None,
            what: toml::to_string(&what).context("writing down what workers are to send")?,
        })
    }

    /// The part of one worker, of so many.
    pub(super) fn of(&self, index: usize, count: usize) -> Self {
        Self {
            part: Part {
                index: index as u64,
                count: count as u64,
                ..self.part
            },
            ..self.clone()
        }
    }

    /// The job of it, for the worker.
    pub(super) async fn job(&self) -> Result<Job> {
        ensure!(
            self.part.index < self.part.count,
            "part {} of {}: there is none",
            self.part.index,
            self.part.count
        );
        let what: What = toml::from_str(&self.what).context("reading what is to be sent")?;
        what.workload.check()?;
        let sender = Sender {
            urls: &self.urls,
            headers: &self.headers,
            sources: &self.sources,
            vocabulary: self.vocabulary.as_ref(),
            threads: self.threads.unwrap_or_else(limits::cores).max(1),
            seed: self.seed,
            part: self.part,
        };
        Job::new(what.workload, what.trace, &what.target, sender).await
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use poolproof_model::topology::Topology;
    use poolproof_model::workload::SHIPPED;
    use poolproof_model::workload::trace::Row;

    #[test]
    fn a_worker_gets_every_number_as_it_was() {
        let rows = (0..2000).map(|number| Row {
            at_ms: f64::from(number) * 1000.0 / 3.0 + 0.1,
            input_tokens: 20,
            output_tokens: 5,
            blocks: vec![u64::from(number as u32)],
        });
        let trace = Trace {
            rows: rows.collect(),
        };
        let mut target = Target::planned(&Topology::default()).unwrap();
        target.url = "http://user:secret@127.0.0.1:9/".parse().unwrap();
        for (name, _) in SHIPPED {
            let (mut workload, _) = Workload::load(name).unwrap();
            workload.duration_s = Some(0.1 + 0.2);
            let assignment = Assignment::new(&workload, Some(&trace), &target, u64::MAX).unwrap();
            let text = serde_json::to_string(&assignment.of(1, 3)).unwrap();
            let read: Assignment = serde_json::from_str(&text).unwrap();
            assert_eq!((read.part.index, read.part.count), (1, 3));
            assert_eq!((read.part.run, read.seed), (assignment.part.run, u64::MAX));
            let what: What = toml::from_str(&read.what).unwrap();
            assert_eq!(what.workload, workload, "{name}");
            assert_eq!(what.trace.as_ref(), Some(&trace));
            assert_eq!(what.target.models, target.models);
            assert!(!read.what.contains("secret") && what.target.changes.is_none());
        }
    }
}
