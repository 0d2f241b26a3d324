//! The record of a load run, as it is saved in `load.json`.

pub mod calibration;
mod cost;
mod judged;
pub mod overhead;
pub mod percentile;
pub mod search;
mod snapshot;
mod worker;

pub use cost::Cost;
pub use judged::Judged;
pub use snapshot::Snapshot;
pub use worker::Worker;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::environment::Environment;
use super::file;
use calibration::Calibration;
use percentile::Percentile;
use poolproof_model::component::Component;
use poolproof_model::target::Target;
use poolproof_model::verdict::Verdict;
use poolproof_model::workload::{Series, Workload};

/// The version of the record's schema.
pub const SCHEMA: &str = "poolproof/load/1";

/// A load run.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Record {
    /// [`SCHEMA`].
    pub schema: String,
    /// The version of poolproof.
    pub tool_version: String,
    /// When the clock began to run.
    pub started: Timestamp,
    /// For how long requests were counted, in seconds: the warm-up is not.
    pub window_s: f64,
    /// Whether it was interrupted.
    pub interrupted: bool,
    /// Whether it was ended because requests piled up.
    #[serde(default)]
    pub saturated: bool,
    /// The seed of the schedule and of the requests.
    pub seed: u64,
    /// The name of the workload.
    pub name: String,
    /// The workload.
    pub workload: Workload,
    /// The name of the stack.
    pub stack: String,
    /// The defect that was put in, if any.
    pub flaw: Option<String>,
    /// What the stack consists of, as found.
    pub components: Vec<Component>,
    /// The stack under load.
    pub target: Target,
    /// Why the measurement is not to be trusted; empty if it is.
    pub doubts: Vec<String>,
    /// The objectives, judged.
    pub slos: Vec<Judged>,
    /// The formula of each time.
    pub formulas: BTreeMap<String, String>,
    /// All requests that were counted.
    pub total: Group,
    /// By class.
    pub classes: Vec<Group>,
    /// By class and LoRA adapter, where a class names some.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub adapters: Vec<AdapterShare>,
    /// By stage, where there are several; of sessions, by turn.
    pub stages: Vec<Group>,
    /// By pool and endpoint, as answers named them.
    pub pools: Vec<PoolShare>,
    /// Requests whose answers named no endpoint, or one that the target does not have.
    pub unattributed: u64,
    /// Examples of failures.
    pub examples: Vec<Example>,
    /// What the client itself did and took; where there are workers, all of them.
    pub client: Client,
    /// The tokenizer that prompts were made for; left out where they are of common words, which are about one token each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<TokenizerFile>,
    /// The machine of the client, before the stack was started; records of before have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<Environment>,
    /// The workers, where several processes sent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub workers: Vec<Worker>,
}

/// Requests that have something in common.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Group {
    /// What they have in common.
    pub name: String,
    /// Requests that were due.
    pub requests: u64,
    /// Of these, those that were answered as a whole.
    pub answered: u64,
    /// Those that failed, by kind.
    pub failed: BTreeMap<String, u64>,
    /// Those that kept every time limit of the workload, over all requests.
    pub goodput: f64,
    /// Requests that were answered, per second.
    pub answered_per_s: f64,
    /// Tokens of prompts, as their servers counted them.
    pub input_tokens: u64,
    /// Tokens of answers.
    pub output_tokens: u64,
    /// The same, per second.
    pub output_tokens_per_s: f64,
    /// Frames with text that arrived together with the one before, over all: above 0, somebody on the way gathers them.
    pub chunks_together: f64,
    /// Answers that did not say how many tokens they had.
    pub without_usage: u64,
    /// Times.
    pub times: BTreeMap<String, Times>,
}

/// The times of a group. In percentiles, failures are later than any answer.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Times {
    /// Values.
    pub n: u64,
    /// The mean of the values, in milliseconds: of what was answered only.
    pub mean_ms: f64,
    /// The smallest, in milliseconds.
    pub min_ms: f64,
    /// The largest, in milliseconds.
    pub max_ms: f64,
    /// Those that the sample supports.
    pub percentiles: Vec<Percentile>,
    /// All values, as pairs of a value in microseconds and how often it was seen, to three digits: of classes, so that runs can be
    /// merged; all else is made of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub histogram_us: Vec<(u64, u64)>,
}

/// A pool's share of the requests.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PoolShare {
    /// Its name.
    pub pool: String,
    /// The model whose requests it gets.
    pub model: String,
    /// Its share of the requests of its model.
    pub share: f64,
    /// The share that its weight stands for.
    pub weight_share: f64,
    /// Jain's index over its endpoints: 1 if all got the same, 1/n if one got all (Jain, Chiu, Hawe 1984).
    pub jain: f64,
    /// Its endpoints, also those that got nothing.
    pub endpoints: Vec<Group>,
}

/// The requests of a class that named an adapter as their model.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct AdapterShare {
    /// The class.
    pub class: String,
    /// The requests, under the name of the adapter.
    pub group: Group,
    /// How many of them which endpoint served.
    pub endpoints: Vec<Served>,
}

/// Requests that an endpoint served.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Served {
    /// Its pool.
    pub pool: String,
    /// Its name.
    pub endpoint: String,
    /// How many.
    pub requests: u64,
}

/// A failure, as an example.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Example {
    /// Its kind.
    pub kind: String,
    /// The number of the request.
    pub request: u64,
    /// What there is to say about it.
    pub detail: String,
}

/// What the client did and took.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Client {
    /// Processors of the machine.
    pub cores: usize,
    /// Requests that were started, those of the warm-up included.
    pub started_requests: u64,
    /// Of these, those that had not ended when the run was interrupted.
    pub unfinished: u64,
    /// How late requests left, after they were due.
    pub lag: Option<Times>,
    /// Requests that left more than [`LATE_MS`] after they were due, over all.
    pub late: f64,
    /// How long it took to open a connection.
    pub connect: Option<Times>,
    /// What each thread took.
    pub threads: Vec<Cost>,
    /// Processor time for each request, in microseconds.
    pub cpu_us_per_request: f64,
    /// How far off this tool was on this machine when that was last measured.
    pub calibration: Option<Calibration>,
}

/// The file of a tokenizer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TokenizerFile {
    /// Where it was, as it was named.
    pub file: String,
    /// The SHA-256 of what was in it, in hexadecimal digits.
    pub sha256: String,
}

impl TokenizerFile {
    /// Both in words.
    pub fn in_words(&self) -> String {
        format!("{} (sha256:{})", self.file, self.sha256)
    }
}

/// What all of it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conclusion {
    /// Every objective was met.
    Met,
    /// One was missed, or requests piled up without an end.
    Missed,
    /// None was missed, but one was not decided; or the measurement is not to be trusted.
    Undecided,
    /// The run was interrupted.
    Interrupted,
}

/// A request is late if it leaves so long after it was due, in milliseconds.
pub const LATE_MS: f64 = 10.0;

impl Record {
    /// Reads a record that [`Record::save`] wrote.
    pub fn read(path: &Path) -> Result<Self> {
        file::read_as(path, SCHEMA)
    }

    /// Saves the record.
    pub fn save(&self, path: &Path) -> Result<()> {
        file::save(self, path)
    }

    /// What all of it says.
    pub fn conclusion(&self) -> Conclusion {
        let some = |verdict| self.slos.iter().any(|slo| slo.verdict == verdict);
        if self.interrupted {
            Conclusion::Interrupted
        } else if !self.doubts.is_empty() {
            Conclusion::Undecided
        } else if self.saturated || some(Verdict::Fail) {
            Conclusion::Missed
        } else if some(Verdict::Inconclusive) {
            Conclusion::Undecided
        } else {
            Conclusion::Met
        }
    }
}

impl Group {
    /// Requests that failed, of all kinds.
    pub fn failures(&self) -> u64 {
        self.failed.values().sum()
    }

    /// A percentile of one of its times, in milliseconds, if its sample supports it; the inner `None` is later than any.
    pub fn percentile_ms(&self, series: Series, percentile: f64) -> Option<Option<f64>> {
        self.times.get(series.name())?.percentile_ms(percentile)
    }
}

impl Times {
    /// One of its percentiles, as [`Group::percentile_ms`] has it.
    pub fn percentile_ms(&self, percentile: f64) -> Option<Option<f64>> {
        let found = self
            .percentiles
            .iter()
            .find(|it| it.percentile == percentile)?;
        Some(found.ms)
    }
}

/// The workload without the values of its headers, which may be credentials.
pub fn without_header_values(mut workload: Workload) -> Workload {
    for value in workload
        .mix
        .iter_mut()
        .flat_map(|class| class.headers.values_mut())
    {
        *value = "(not recorded)".to_owned();
    }
    workload
}
