//! Results of other load generators: their times by the definitions of this one, with the spread that their percentiles tell.

mod aiperf;
mod guidellm;
mod inference_perf;
mod llm_d;
mod quantiles;
mod vllm;

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use super::figure::{Figure, Spread};
use super::records::{FILES, Records};
use poolproof_model::workload::Series;
use poolproof_records::load::Record;

use quantiles::Quantiles;

/// The tools whose results are read.
pub const TOOLS: &str =
    "guidellm, aiperf, inference-perf, `vllm bench serve` or llm-d's Benchmark Report";

/// The percentiles that are compared, if both results have them.
const PERCENTILES: [f64; 4] = [50.0, 90.0, 95.0, 99.0];

/// The result of a load generator, all requests as one group.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The tool, with its version if the result names it.
    tool: String,
    /// Requests that were answered.
    answered: u64,
    /// Requests that were not, and count as infinitely late.
    failed: u64,
    /// Times of the answered requests.
    times: Vec<(Series, Quantiles)>,
    /// Answers per second, and output tokens per second.
    rates: [Option<f64>; 2],
}

impl Peer {
    /// Reads a result of any of [`TOOLS`].
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        // Benchmark Reports are YAML.
        let value = serde_json::from_str(&text).or_else(|_| serde_saphyr::from_str::<Value>(&text));
        let value = value.unwrap_or_default();
        let readers = [
            guidellm::read,
            aiperf::read,
            inference_perf::read,
            llm_d::read,
            vllm::read,
        ];
        let found = readers.iter().find_map(|read| read(&value));
        found.with_context(|| {
            let ours = FILES.join(", ");
            let path = path.display();
            format!(
                "{path}: must be a folder with {ours}, one of these files, or a result of {TOOLS}"
            )
        })
    }

    /// A load run in the same form.
    fn of(record: &Record) -> Self {
        let series = [
            Series::TtftFromSend,
            Series::E2eFromSend,
            Series::Tpot,
            Series::ItlChunk,
        ];
        let times = series
            .into_iter()
            .filter_map(|series| Some((series, Quantiles::of(record, series)?)));
        Self {
            tool: format!("poolproof {}", record.tool_version),
            answered: record.total.answered,
            failed: record.total.failures(),
            times: times.collect(),
            rates: [
                Some(record.total.answered_per_s),
                Some(record.total.output_tokens_per_s),
            ],
        }
    }

    /// What a reader of a comparison has to know about the result.
    pub(super) fn note(&self) -> String {
        format!(
            "{}: {} requests answered, {} failed, which count as infinitely late; whether it sent the same load cannot be seen",
            self.tool, self.answered, self.failed
        )
    }

    pub(super) fn figures(&self) -> Vec<Figure<'static>> {
        let mut figures = Vec::new();
        for (series, quantiles) in &self.times {
            for percentile in PERCENTILES {
                let q = percentile / 100.0;
                // Each answer has some gaps; a failed request has no number of them.
                let failed = match series.is_per_answer() {
                    true => self.failed,
                    false => 0,
                };
                let Some(value) = quantiles.at(q, failed) else {
                    continue;
                };
                figures.push(Figure {
                    name: format!("load {} p{percentile}", series.name()),
                    value,
                    unit: "ms",
                    more_is_better: false,
                    spread: Spread::Drawn(quantiles.draws(q, failed)),
                });
            }
        }
        let names = ["load answers", "load output tokens"];
        for (name, rate) in names.into_iter().zip(self.rates) {
            figures.extend(rate.map(|value| Figure {
                name: name.to_owned(),
                value,
                unit: "/s",
                more_is_better: true,
                spread: Spread::Drawn(Vec::new()),
            }));
        }
        figures
    }
}

/// Both results as those of load generators, if one of them is another's.
pub(super) fn both(baseline: &Records, run: &Records) -> (Option<Peer>, Option<Peer>) {
    if baseline.peer.is_none() && run.peer.is_none() {
        return (None, None);
    }
    let load = |records: &Records| records.load.as_ref().map(Peer::of);
    let peer = |records: &Records| records.peer.clone().or_else(|| load(records));
    (peer(baseline), peer(run))
}

/// The number at a path of keys.
fn number(value: &Value, path: &[&str]) -> Option<f64> {
    let found = path.iter().try_fold(value, |at, key| at.get(key))?;
    found.as_f64()
}

/// The whole number at a path of keys. Tools write some counts as 30.0.
fn count(value: &Value, path: &[&str]) -> Option<u64> {
    number(value, path).map(|number| number.round() as u64)
}

#[cfg(test)]
mod tests;
