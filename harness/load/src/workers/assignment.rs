//! What a worker sends, as its coordinator posts it: JSON, whose floats serde_json's `float_roundtrip` reads back exactly.

use std::net::IpAddr;

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::engine::{Job, Part, Sender};
use crate::tokenizer::Vocabulary;
use poolproof_model::target::{Revealed, Target};
use poolproof_model::workload::Workload;
use poolproof_model::workload::trace::Trace;
use poolproof_records::limits;
use poolproof_records::run::without_credentials;

/// A worker's part of a run.
#[derive(Clone, Serialize, Deserialize)]
pub struct Assignment {
    /// Which requests it sends.
    pub part: Part,
    /// The seed of the schedule and of the requests.
    pub seed: u64,
    /// Threads that send; `None`: one per processor of the worker.
    pub threads: Option<usize>,
    /// Where requests go, in turn.
    pub urls: Vec<Url>,
    /// What a serialized target does not have.
    pub access: Revealed,
    /// Addresses of the worker's machine to connect from, in turn.
    pub sources: Vec<IpAddr>,
    /// The words of prompts, if they are made for a tokenizer: workers do not have its file.
    pub vocabulary: Option<Vocabulary>,
    workload: Workload,
    target: Target,
    trace: Option<Trace>,
}

impl Assignment {
    /// The assignment of a whole workload, before it is divided; requests go to the target's gateway.
    pub fn new(workload: &Workload, trace: Option<&Trace>, target: &Target, seed: u64) -> Self {
        Self {
            part: Part::whole(),
            seed,
            threads: None,
            urls: vec![target.url.clone()],
            access: target.access.reveal(),
            sources: Vec::new(),
            vocabulary: None,
            workload: workload.clone(),
            target: Target {
                // Only the coordinator changes the stack.
                changes: None,
                statuses: None,
                ..without_credentials(target)
            },
            trace: trace.cloned(),
        }
    }

    /// The part of worker `index` of `count`.
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

    /// The worker's job.
    pub(super) async fn job(self) -> Result<Job> {
        ensure!(
            self.part.index < self.part.count,
            "part {} of {}: there is none",
            self.part.index,
            self.part.count
        );
        self.workload.check()?;
        let mut target = self.target;
        target.access = self.access.hide();
        let sender = Sender {
            urls: &self.urls,
            sources: &self.sources,
            vocabulary: self.vocabulary.as_ref(),
            threads: self.threads.unwrap_or_else(limits::cores).max(1),
            seed: self.seed,
            part: self.part,
        };
        Job::new(self.workload, self.trace, &target, sender).await
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
    fn a_workload_survives_the_way_to_a_worker_exactly() {
        let rows = (0..2000).map(|number| Row {
            at_ms: f64::from(number) * 1000.0 / 3.0 + 0.1,
            input_tokens: 20,
            output_tokens: 5,
            blocks: vec![u64::from(number as u32)],
        });
        let trace = Trace {
            rows: rows.collect(),
            ..Trace::default()
        };
        let mut target = Target::planned(&Topology::default()).unwrap();
        target.url = "http://user:secret@127.0.0.1:9/".parse().unwrap();
        for (name, _) in SHIPPED {
            let (mut workload, _) = Workload::load(name).unwrap();
            workload.duration_s = Some(0.1 + 0.2);
            workload.mix[0]
                .body
                .insert("temperature".into(), (0.1 + 0.7).into());
            let assignment = Assignment::new(&workload, Some(&trace), &target, u64::MAX);
            let text = serde_json::to_string(&assignment.of(1, 3)).unwrap();
            let read: Assignment = serde_json::from_str(&text).unwrap();
            assert_eq!((read.part.index, read.part.count), (1, 3));
            assert_eq!((read.part.run, read.seed), (assignment.part.run, u64::MAX));
            assert_eq!(read.workload, workload, "{name}");
            assert_eq!(read.trace.as_ref(), Some(&trace));
            assert_eq!(read.target, assignment.target);
            assert!(read.target.changes.is_none());
            let target = serde_json::to_string(&read.target).unwrap();
            assert!(!target.contains("secret"));
        }
    }

    #[test]
    fn a_float_is_read_back_to_its_last_bit() {
        for bits in (0..20_000_u64).map(|number| number.wrapping_mul(0x9e37_79b9_7f4a_7c15)) {
            let float = f64::from_bits(bits);
            if float.is_finite() {
                let text = serde_json::to_string(&float).unwrap();
                let read: f64 = serde_json::from_str(&text).unwrap();
                assert_eq!(read.to_bits(), bits, "{text}");
            }
        }
    }
}
