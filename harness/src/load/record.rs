//! The record of a load run, as it is saved in `load.json`.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::calibration::Calibration;
use super::engine::{Cost, Measured};
use super::failure::Failure;
use super::percentile::{Percentile, percentile};
use super::recorder::{Cell, Key, Recorder, Series};
use super::slo::Judged;
use super::workload::Workload;
use crate::report::record::without_credentials;
use crate::stack::{Component, Stack};
use crate::target::Target;
use crate::verdict::Verdict;

/// The version of the record's schema.
pub const SCHEMA: &str = "poolproof/load/1";

/// A load run.
#[derive(Clone, Debug, Serialize, Deserialize)]
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
    /// By stage, where there are several.
    pub stages: Vec<Group>,
    /// By pool and endpoint, as answers named them.
    pub pools: Vec<PoolShare>,
    /// Requests whose answers named no endpoint, or one that the target does not have.
    pub unattributed: u64,
    /// Examples of failures.
    pub examples: Vec<Example>,
    /// What the client itself did and took.
    pub client: Client,
}

/// Requests that have something in common.
#[derive(Clone, Debug, Serialize, Deserialize)]
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
#[derive(Clone, Debug, Serialize, Deserialize)]
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
#[derive(Clone, Debug, Serialize, Deserialize)]
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

/// A failure, as an example.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Example {
    /// Its kind.
    pub kind: String,
    /// The number of the request.
    pub request: u64,
    /// What there is to say about it.
    pub detail: String,
}

/// What the client did and took.
#[derive(Clone, Debug, Serialize, Deserialize)]
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

/// What all of it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conclusion {
    /// Every objective was met.
    Met,
    /// One was missed.
    Missed,
    /// None was missed, but one was not decided; or the measurement is not to be trusted.
    Undecided,
    /// The run was interrupted.
    Interrupted,
}

/// A request is late if it leaves so long after it was due, in milliseconds.
pub const LATE_MS: f64 = 10.0;
/// Late requests that a measurement bears, over all.
const LATE_MAX: f64 = 0.01;
/// The part of a thread's time that may be processor time: above, answers wait until they are looked at.
const BUSY_MAX: f64 = 0.9;

const PERCENTILES: [f64; 6] = [50.0, 75.0, 90.0, 95.0, 99.0, 99.9];

/// What a run was about.
pub struct About<'a> {
    /// The name of its workload.
    pub name: &'a str,
    /// The workload.
    pub workload: Workload,
    /// The seed.
    pub seed: u64,
    /// The stack.
    pub stack: &'a Stack,
    /// The defect that was put in.
    pub flaw: Option<String>,
    /// When the last request was due, in seconds.
    pub end_s: f64,
    /// Whether it was interrupted.
    pub interrupted: bool,
}

impl Record {
    /// The record of a run.
    pub fn new(about: About<'_>, measured: &Measured) -> Self {
        let About {
            name,
            workload,
            seed,
            stack,
            flaw,
            end_s,
            interrupted,
        } = about;
        let recorder = &measured.recorder;
        let ran_s = match interrupted {
            true => measured
                .costs
                .iter()
                .map(|it| it.wall_ms / 1000.0)
                .fold(0.0, f64::max),
            false => end_s,
        };
        let window_s = (ran_s - workload.warm_up_s).max(0.001);
        let group =
            |name: &str, of: &dyn Fn(&Key) -> bool| Group::new(name, &sum(recorder, of), window_s);
        let class = |(place, class): (usize, &super::workload::Class)| {
            let cell = sum(recorder, &|key| key.class == place);
            Group::new(&class.class, &cell, window_s).with_histograms(&cell)
        };
        let stages = match workload.arrival.stage_count() {
            1 => Vec::new(),
            count => (0..count)
                .map(|stage| group(&format!("stage {}", stage + 1), &|key| key.stage == stage))
                .collect(),
        };
        let slos = workload.judged();
        let slos = slos.iter().map(|slo| {
            let about = |key: &Key| slo.is_about(&workload.mix[key.class].class);
            slo.judge(&sum(recorder, &about))
        });
        let client = Client::new(measured);
        let examples = recorder.examples.iter().map(|example| Example {
            kind: example.kind.to_string(),
            request: example.request,
            detail: example.detail.clone(),
        });
        let endpoint_is = |name: &str, key: &Key| {
            key.endpoint
                .is_some_and(|place| recorder.endpoints()[place] == name)
        };
        Self {
            schema: SCHEMA.to_owned(),
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
            started: measured.started,
            window_s,
            interrupted,
            seed,
            name: name.to_owned(),
            stack: stack.name.clone(),
            flaw,
            components: stack.components.clone(),
            target: without_credentials(&stack.target),
            doubts: doubts(&client, recorder),
            slos: slos.collect(),
            formulas: Series::ALL
                .map(|it| (it.name().to_owned(), it.formula().to_owned()))
                .into(),
            total: group("all", &|_| true),
            classes: workload.mix.iter().enumerate().map(class).collect(),
            stages,
            pools: pools(&stack.target, |endpoint| {
                group(endpoint, &|key| endpoint_is(endpoint, key))
            }),
            unattributed: sum(recorder, &|key| {
                let name = key.endpoint.map(|place| &recorder.endpoints()[place]);
                name.is_none_or(|name| stack.target.pool_of(name).is_none())
            })
            .requests,
            examples: examples.collect(),
            workload: without_header_values(workload),
            client,
        }
    }

    /// Reads a record that [`Record::save`] wrote.
    pub fn read(path: &Path) -> Result<Self> {
        let text =
            std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let record: Self = serde_json::from_slice(&text)
            .with_context(|| format!("{} is not the record of a load run", path.display()))?;
        anyhow::ensure!(
            record.schema == SCHEMA,
            "{}: schema is {:?}, which another version of poolproof wrote; this one reads {SCHEMA:?}",
            path.display(),
            record.schema
        );
        Ok(record)
    }

    /// Saves the record.
    pub fn save(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string(self).context("writing the record")?;
        std::fs::write(path, text + "\n").with_context(|| format!("saving {}", path.display()))
    }

    /// What all of it says.
    pub fn conclusion(&self) -> Conclusion {
        let some = |verdict| self.slos.iter().any(|slo| slo.verdict == verdict);
        if self.interrupted {
            Conclusion::Interrupted
        } else if !self.doubts.is_empty() {
            Conclusion::Undecided
        } else if some(Verdict::Fail) {
            Conclusion::Missed
        } else if some(Verdict::Inconclusive) {
            Conclusion::Undecided
        } else {
            Conclusion::Met
        }
    }
}

impl Group {
    fn new(name: &str, cell: &Cell, window_s: f64) -> Self {
        let failures = cell.failures();
        let share = |part: u64, of: u64| part as f64 / of.max(1) as f64;
        let times = Series::ALL.iter().filter_map(|series| {
            // A gap between tokens does not fail, an answer does.
            let failed = match series {
                Series::ItlChunk => 0,
                _ => failures,
            };
            let times = Times::new(cell.series(*series)?, failed)?;
            Some((series.name().to_owned(), times))
        });
        Self {
            name: name.to_owned(),
            requests: cell.requests,
            answered: cell.answered,
            failed: cell
                .failed
                .iter()
                .map(|(kind, n)| (kind.to_string(), *n))
                .collect(),
            goodput: share(cell.good, cell.requests),
            answered_per_s: cell.answered as f64 / window_s,
            input_tokens: cell.input_tokens,
            output_tokens: cell.output_tokens,
            output_tokens_per_s: cell.output_tokens as f64 / window_s,
            chunks_together: share(cell.together, cell.chunks),
            without_usage: cell.without_usage,
            times: times.collect(),
        }
    }

    fn with_histograms(mut self, cell: &Cell) -> Self {
        for series in Series::ALL {
            let times = self.times.get_mut(series.name());
            if let (Some(times), Some(histogram)) = (times, cell.series(series)) {
                times.histogram_us = histogram
                    .iter_recorded()
                    .map(|value| (value.value_iterated_to(), value.count_at_value()))
                    .collect();
            }
        }
        self
    }

    /// A percentile of one of its times, in milliseconds, if its sample supports it; the inner `None` is later than any.
    pub fn percentile_ms(&self, series: Series, percentile: f64) -> Option<Option<f64>> {
        let percentiles = &self.times.get(series.name())?.percentiles;
        let found = percentiles.iter().find(|it| it.percentile == percentile)?;
        Some(found.ms)
    }
}

impl Times {
    /// What there is to say of recorded times; `None` if there are none.
    fn new(times_us: &Histogram<u64>, failed: u64) -> Option<Self> {
        (!times_us.is_empty()).then(|| Self {
            n: times_us.len(),
            mean_ms: times_us.mean() / 1000.0,
            min_ms: times_us.min() as f64 / 1000.0,
            max_ms: times_us.max() as f64 / 1000.0,
            percentiles: PERCENTILES
                .iter()
                .filter_map(|p| percentile(times_us, failed, *p))
                .collect(),
            histogram_us: Vec::new(),
        })
    }
}

impl Client {
    fn new(measured: &Measured) -> Self {
        let lag = &measured.recorder.lag.0;
        let late = super::percentile::above(lag, LATE_MS);
        let cpu_ms: f64 = measured.costs.iter().map(|cost| cost.cpu_ms).sum();
        Self {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            started_requests: measured.started_requests,
            unfinished: measured.unfinished,
            lag: Times::new(lag, 0),
            late: late as f64 / lag.len().max(1) as f64,
            connect: Times::new(&measured.recorder.connect.0, 0),
            threads: measured.costs.clone(),
            calibration: Calibration::last(),
            cpu_us_per_request: cpu_ms * 1000.0 / measured.started_requests.max(1) as f64,
        }
    }
}

/// The workload without the values of its headers, which may be credentials.
fn without_header_values(mut workload: Workload) -> Workload {
    for value in workload
        .mix
        .iter_mut()
        .flat_map(|class| class.headers.values_mut())
    {
        *value = "(not recorded)".to_owned();
    }
    workload
}

/// All that was measured of some keys.
fn sum(recorder: &Recorder, of: &dyn Fn(&Key) -> bool) -> Cell {
    let mut sum = Cell::default();
    for (_, cell) in recorder.cells().filter(|(key, _)| of(key)) {
        sum.merge(cell);
    }
    sum
}

fn pools(target: &Target, endpoint: impl Fn(&str) -> Group) -> Vec<PoolShare> {
    let mut pools = Vec::new();
    for model in &target.models {
        let first = pools.len();
        for pool in &model.pools {
            let endpoints = pool.endpoints.iter().map(|it| endpoint(&it.name));
            let endpoints: Vec<Group> = endpoints.collect();
            let counts: Vec<f64> = endpoints.iter().map(|it| it.requests as f64).collect();
            pools.push(PoolShare {
                pool: pool.name.clone(),
                model: model.name.clone(),
                share: counts.iter().sum(),
                weight_share: f64::from(pool.weight) / f64::from(model.total_weight()),
                jain: jain(&counts),
                endpoints,
            });
        }
        let of_model: f64 = pools[first..].iter().map(|pool| pool.share).sum();
        for pool in &mut pools[first..] {
            pool.share /= of_model.max(1.0);
        }
        // What got nothing at all was not asked for.
        if of_model == 0.0 {
            pools.truncate(first);
        }
    }
    pools
}

/// Jain's index of fairness; 1 where there is nothing to share.
fn jain(counts: &[f64]) -> f64 {
    let sum: f64 = counts.iter().sum();
    let squares: f64 = counts.iter().map(|count| count * count).sum();
    match squares > 0.0 {
        true => sum * sum / (counts.len() as f64 * squares),
        false => 1.0,
    }
}

/// Why a measurement is not to be trusted: the client was what was measured.
fn doubts(client: &Client, recorder: &Recorder) -> Vec<String> {
    let mut doubts = Vec::new();
    if client.late > LATE_MAX {
        doubts.push(format!(
            "{:.1} % of the requests left more than {LATE_MS} ms after they were due: this machine could not keep up",
            100.0 * client.late
        ));
    }
    let busy = client
        .threads
        .iter()
        .map(|it| it.cpu_ms / it.wall_ms.max(1.0));
    let busiest = busy.fold(0.0, f64::max);
    if busiest > BUSY_MAX {
        doubts.push(format!(
            "a sending thread was busy for {:.0} % of the time: answers waited to be looked at",
            100.0 * busiest
        ));
    }
    let limited = sum(recorder, &|_| true)
        .failed
        .get(&Failure::ClientLimit)
        .copied();
    if let Some(count) = limited {
        doubts.push(format!(
            "{count} requests found no port or descriptor on this machine: see `poolproof doctor`"
        ));
    }
    doubts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jains_index_tells_even_from_uneven() {
        assert_eq!(jain(&[5.0, 5.0, 5.0]), 1.0);
        assert_eq!(jain(&[9.0, 0.0, 0.0]), 1.0 / 3.0);
        assert_eq!(jain(&[0.0, 0.0]), 1.0);
    }

    #[test]
    fn a_late_or_busy_client_is_doubted() {
        let client = |late, cpu_ms| Client {
            cores: 2,
            started_requests: 1,
            unfinished: 0,
            lag: None,
            late,
            connect: None,
            threads: vec![Cost {
                wall_ms: 1000.0,
                cpu_ms,
                run_queue_ms: 0.0,
            }],
            cpu_us_per_request: 0.0,
            calibration: None,
        };
        let recorder = Recorder::default();
        assert!(doubts(&client(0.009, 800.0), &recorder).is_empty());
        assert_eq!(doubts(&client(0.02, 800.0), &recorder).len(), 1);
        assert_eq!(doubts(&client(0.02, 950.0), &recorder).len(), 2);
    }
}
