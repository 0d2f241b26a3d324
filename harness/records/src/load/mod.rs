//! The record of a load run, saved as `load.json`.

pub mod calibration;
mod cost;
mod judged;
pub mod over_time;
pub mod overhead;
pub mod percentile;
pub mod picker;
pub mod search;
mod snapshot;
mod spread;
pub mod sweep;
mod worker;

pub use cost::Cost;
pub use judged::Judged;
pub use snapshot::Snapshot;
pub use spread::Spread;
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
use over_time::OverTime;
use percentile::Percentile;
use poolproof_model::component::Component;
use poolproof_model::target::Target;
use poolproof_model::verdict::Verdict;
use poolproof_model::workload::slo::Metric;
use poolproof_model::workload::{Series, Workload};

/// The version of the record's schema.
pub const SCHEMA: &str = crate::file::Kind::Load.schema();

/// A load run.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Record {
    /// [`SCHEMA`].
    pub schema: String,
    /// The version of poolproof.
    pub tool_version: String,
    /// When the clock started.
    pub started: Timestamp,
    /// The duration in which requests were counted, in seconds, without the warm-up.
    pub window_s: f64,
    /// Whether the run was interrupted.
    pub interrupted: bool,
    /// Whether the run was aborted because requests piled up.
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
    /// The flaw that was switched on, if any.
    pub flaw: Option<String>,
    /// The components of the stack, as detected.
    pub components: Vec<Component>,
    /// The stack under load.
    pub target: Target,
    /// Why the measurement cannot be trusted; empty if it can.
    pub doubts: Vec<String>,
    /// The results of the objectives.
    pub slos: Vec<Judged>,
    /// The formula of each time.
    pub formulas: BTreeMap<String, String>,
    /// All counted requests.
    pub total: Group,
    /// By class.
    pub classes: Vec<Group>,
    /// By class and LoRA adapter, for classes with adapters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub adapters: Vec<AdapterShare>,
    /// By stage, if there are several. In workloads with sessions, by turn.
    pub stages: Vec<Group>,
    /// By pool and endpoint, as identified by responses.
    pub pools: Vec<PoolShare>,
    /// Requests whose responses identified no endpoint, or one that is not in the target.
    pub unattributed: u64,
    /// Examples of failures.
    pub examples: Vec<Example>,
    /// The behaviour and resource use of the client; with workers, of all workers.
    pub client: Client,
    /// The tokenizer of the prompts. If absent, prompts consist of common words of about one token each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<TokenizerFile>,
    /// The machine of the client, before the start of the stack. Absent in older records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<Environment>,
    /// The workers, if several processes sent requests.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub workers: Vec<Worker>,
    /// The run over time. Absent in older records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over_time: Option<OverTime>,
}

/// A group of requests.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Group {
    /// The name of the group.
    pub name: String,
    /// Requests that were due.
    pub requests: u64,
    /// How many of them got a complete response.
    pub answered: u64,
    /// Failed requests, by kind of failure.
    pub failed: BTreeMap<String, u64>,
    /// The share of all requests that met every time limit of the workload.
    pub goodput: f64,
    /// Responses per second.
    pub answered_per_s: f64,
    /// Prompt tokens, as counted by the servers.
    pub input_tokens: u64,
    /// Response tokens.
    pub output_tokens: u64,
    /// Response tokens per second.
    pub output_tokens_per_s: f64,
    /// The share of text frames that arrived in the same read as the previous one. Above 0, something on the path
    /// buffers them.
    pub chunks_together: f64,
    /// Responses that did not report their token count.
    pub without_usage: u64,
    /// Tokens that the answered requests asked for. 0 in older records.
    #[serde(default)]
    pub asked_tokens: u64,
    /// Streamed responses without a token that was understood. They are beyond every limit on the time to one.
    #[serde(default)]
    pub textless: u64,
    /// Responses with each remark: deviations from the API that the common SDKs accept, and what a reader of the figures
    /// should know.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub remarks: BTreeMap<String, u64>,
    /// The measured times.
    pub times: BTreeMap<String, Times>,
}

/// The times of a group. In percentiles, failures count as infinitely late.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Times {
    /// The number of values.
    pub n: u64,
    /// The mean in milliseconds, over responses only.
    pub mean_ms: f64,
    /// The smallest value, in milliseconds.
    pub min_ms: f64,
    /// The largest value, in milliseconds.
    pub max_ms: f64,
    /// The percentiles that the sample supports.
    pub percentiles: Vec<Percentile>,
    /// All values, as pairs of a value in microseconds and its count, to three digits. Present for classes, so that
    /// runs can be merged; all other groups are derived from them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub histogram_us: Vec<(u64, u64)>,
}

/// A pool's share of the requests.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PoolShare {
    /// The name of the pool.
    pub pool: String,
    /// The model that the pool serves.
    pub model: String,
    /// Its share of the requests of the model.
    pub share: f64,
    /// The share according to its weight.
    pub weight_share: f64,
    /// Jain's index over its endpoints: 1 if all got the same number of requests, 1/n if one got all (Jain, Chiu, Hawe
    /// 1984).
    pub jain: f64,
    /// Its endpoints, including those without requests.
    pub endpoints: Vec<Group>,
}

/// The requests of a class for one adapter.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct AdapterShare {
    /// The class.
    pub class: String,
    /// The requests. The group has the name of the adapter.
    pub group: Group,
    /// The requests by the endpoint that served them.
    pub endpoints: Vec<Served>,
}

/// The requests that an endpoint served.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Served {
    /// The pool of the endpoint.
    pub pool: String,
    /// The name of the endpoint.
    pub endpoint: String,
    /// The number of requests.
    pub requests: u64,
}

/// An example of a failure.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Example {
    /// The kind of failure.
    pub kind: String,
    /// The number of the request.
    pub request: u64,
    /// The details.
    pub detail: String,
}

/// The behaviour and resource use of the client.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Client {
    /// Processors of the machine.
    pub cores: usize,
    /// Requests that were started, including the warm-up.
    pub started_requests: u64,
    /// How many of them had not ended when the run was interrupted.
    pub unfinished: u64,
    /// The send lag: the time from due to sent.
    pub lag: Option<Times>,
    /// The share of requests that were sent more than [`LATE_MS`] after they were due.
    pub late: f64,
    /// The time to open a connection.
    pub connect: Option<Times>,
    /// The resource use of each thread.
    pub threads: Vec<Cost>,
    /// Processor time per request, in microseconds.
    pub cpu_us_per_request: f64,
    /// The last calibration of this machine.
    pub calibration: Option<Calibration>,
    /// Requests that were sent again on another connection, since the server had refused them without processing them (RFC 9113,
    /// section 8.7).
    #[serde(default)]
    pub resent: u64,
    /// Pauses of the users of a closed loop or of sessions after failures, by `retry-after` or in growing steps.
    #[serde(default)]
    pub pauses: u64,
    /// How long they were in all, in milliseconds.
    #[serde(default)]
    pub paused_ms: f64,
}

/// A tokenizer file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TokenizerFile {
    /// The path, as given by the user.
    pub file: String,
    /// The SHA-256 of its content, in hexadecimal.
    pub sha256: String,
}

impl TokenizerFile {
    /// Path and hash in words.
    pub fn in_words(&self) -> String {
        format!("{} (sha256:{})", self.file, self.sha256)
    }
}

/// The conclusion of a load run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conclusion {
    /// Every objective was met.
    Met,
    /// An objective was missed, or requests piled up without end.
    Missed,
    /// No objective was missed, but one was not decided or the measurement cannot be trusted.
    Undecided,
    /// The run was interrupted.
    Interrupted,
}

/// The kind of a failure for which this machine had no port or descriptor left.
pub const CLIENT_LIMIT: &str = "client-limit";

/// The start of the doubt that poolproof itself did not run for a while: every failure may come from that.
pub const STOOD_STILL: &str = "poolproof stood still";

/// The kind of a failure without an answer in time.
const TIMED_OUT: &str = "timed-out";

/// A request counts as late if it is sent this long after it was due, in milliseconds.
pub const LATE_MS: f64 = 10.0;

impl Record {
    /// Reads a record that [`Record::save`] wrote.
    pub fn read(path: &Path) -> Result<Self> {
        file::read_as(path, SCHEMA)
    }

    /// Saves the record, and keeps the last one beside it.
    pub fn save(&self, path: &Path) -> Result<()> {
        file::save_and_keep_last(self, path)
    }

    /// Whether no request was answered, though this machine could send: no doubt about its speed changes that.
    pub fn every_request_failed(&self) -> bool {
        let total = &self.total;
        let could_send = !total.failed.contains_key(CLIENT_LIMIT) && !self.stood_still();
        total.requests > 0 && total.answered == 0 && could_send
    }

    /// Whether poolproof itself did not run for a while.
    fn stood_still(&self) -> bool {
        let mut doubts = self.doubts.iter();
        doubts.any(|doubt| doubt.starts_with(STOOD_STILL))
    }

    /// Whether an objective on failures was missed, and this machine cannot have caused any of them by being slow.
    fn failed_by_servers(&self) -> bool {
        let own = [CLIENT_LIMIT, TIMED_OUT];
        let missed = |judged: &Judged| {
            judged.slo.metric == Metric::FAILED && judged.verdict == Verdict::Fail
        };
        self.slos.iter().any(missed)
            && !self.stood_still()
            && !own.iter().any(|kind| self.total.failed.contains_key(*kind))
    }

    /// The conclusion over all objectives.
    pub fn conclusion(&self) -> Conclusion {
        let some = |verdict| self.slos.iter().any(|slo| slo.verdict == verdict);
        if self.interrupted {
            Conclusion::Interrupted
        } else if self.every_request_failed() || self.failed_by_servers() {
            Conclusion::Missed
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
    /// The number of failed requests of all kinds.
    pub fn failures(&self) -> u64 {
        self.failed.values().sum()
    }

    /// A percentile of a series in milliseconds, if the sample supports it. The inner `None` means later than any
    /// response.
    pub fn percentile_ms(&self, series: Series, percentile: f64) -> Option<Option<f64>> {
        self.times.get(series.name())?.percentile_ms(percentile)
    }
}

impl Times {
    /// A percentile, as in [`Group::percentile_ms`].
    pub fn percentile_ms(&self, percentile: f64) -> Option<Option<f64>> {
        let found = self
            .percentiles
            .iter()
            .find(|known| known.percentile == percentile)?;
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn failures_of_servers_are_missed_objectives_even_if_the_measurement_is_in_doubt() {
        let committed = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../reports/load-local-envoy/load.json"
        );
        let conclusion = |kinds: &[&str]| {
            let mut record = Record::read(Path::new(committed)).unwrap();
            record.doubts = vec!["users paused".to_owned()];
            for slo in &mut record.slos {
                if slo.slo.metric == Metric::FAILED {
                    slo.verdict = Verdict::Fail;
                }
            }
            let failed = kinds.iter().map(|kind| ((*kind).to_owned(), 90));
            record.total.failed = failed.collect();
            record.conclusion()
        };
        assert_eq!(conclusion(&["status-503"]), Conclusion::Missed);
        assert_eq!(
            conclusion(&["status-503", TIMED_OUT]),
            Conclusion::Undecided
        );
        assert_eq!(
            conclusion(&["status-503", CLIENT_LIMIT]),
            Conclusion::Undecided
        );
    }
}
