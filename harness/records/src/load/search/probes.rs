//! The search for the highest rate that meets every objective.
//!
//! The search doubles the rate until an objective is missed, then bisects on a logarithmic scale. All probes have the
//! same seed: their schedules are one schedule, compressed or stretched, so a higher rate is never an easier load.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use crate::load::{Conclusion, Record};
use poolproof_model::verdict::Verdict;
use poolproof_model::workload::Series;
use poolproof_stats::interval;

/// The result of a probe at one rate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Probe {
    /// Requests per second.
    pub rate_per_s: f64,
    /// The verdict over all objectives: pass, fail, or inconclusive.
    pub verdict: Verdict,
    /// The objectives that were missed or not decided, each with its result.
    pub broke: Vec<String>,
    /// Why the measurement cannot be trusted.
    pub doubts: Vec<String>,
    /// The counted requests.
    pub requests: u64,
    /// TTFT p95 in milliseconds: `null` if it is that of a failure, absent if the sample does not support it. Older records have `null` in
    /// both cases.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "present"
    )]
    pub ttft_p95_ms: Option<Option<f64>>,
    /// Response tokens per second.
    pub output_tokens_per_s: f64,
}

/// A value that is there, `null` included.
fn present<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Option<f64>>, D::Error> {
    Option::deserialize(value).map(Some)
}

impl Probe {
    /// The probe for the record of a run.
    pub fn new(rate_per_s: f64, record: &Record) -> Self {
        let broke = record
            .slos
            .iter()
            .filter(|slo| slo.verdict != Verdict::Pass);
        Self {
            rate_per_s,
            verdict: match record.conclusion() {
                Conclusion::Met => Verdict::Pass,
                Conclusion::Missed => Verdict::Fail,
                Conclusion::Undecided | Conclusion::Interrupted => Verdict::Inconclusive,
            },
            broke: broke
                .map(|slo| {
                    format!(
                        "{} ({:.1} %, limit {:.1} %)",
                        slo.slo,
                        100.0 * slo.share,
                        100.0 * slo.share_limit
                    )
                })
                .collect(),
            doubts: record.doubts.clone(),
            requests: record.total.requests,
            ttft_p95_ms: record.total.percentile_ms(Series::Ttft, 95.0),
            output_tokens_per_s: record.total.output_tokens_per_s,
        }
    }

    /// TTFT p95 in words.
    pub fn ttft_p95(&self) -> String {
        match self.ttft_p95_ms {
            Some(Some(ms)) => format!("{ms:.1}"),
            Some(None) if self.supports_p95() => "never".to_owned(),
            Some(None) | None => "-".to_owned(),
        }
    }

    /// Whether there are enough requests for a p95. In an older record `null` means that there are not.
    fn supports_p95(&self) -> bool {
        interval::ranks(self.requests, 0.95).is_some()
    }

    /// The missed or undecided objectives, and the reasons to doubt the measurement.
    pub fn remarks(&self) -> String {
        [self.broke.as_slice(), &self.doubts].concat().join("; ")
    }
}

/// A search, with its probes so far.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Search {
    /// The rate of the first probe, per second.
    pub first_per_s: f64,
    /// The target ratio, above 1, between the rates on both sides of the limit.
    pub precision: f64,
    /// The probes, in the order in which they were made.
    pub probes: Vec<Probe>,
}

/// The largest factor between the first rate and any other rate, up or down.
const SPAN: f64 = 4096.0;

impl Search {
    /// A search without probes.
    pub fn new(first_per_s: f64, precision: f64) -> Self {
        Self {
            first_per_s,
            precision,
            probes: Vec::new(),
        }
    }

    /// The highest rate that met every objective, below all rates that did not.
    pub fn met(&self) -> Option<&Probe> {
        let bad = self
            .not_met()
            .map_or(f64::INFINITY, |probe| probe.rate_per_s);
        let met = self
            .probes
            .iter()
            .filter(|probe| probe.verdict == Verdict::Pass && probe.rate_per_s < bad);
        met.max_by(|a, b| a.rate_per_s.total_cmp(&b.rate_per_s))
    }

    /// The lowest rate at which an objective was missed or not decided.
    pub fn not_met(&self) -> Option<&Probe> {
        let bad = self
            .probes
            .iter()
            .filter(|probe| probe.verdict != Verdict::Pass);
        bad.min_by(|a, b| a.rate_per_s.total_cmp(&b.rate_per_s))
    }

    /// Whether the client was the bottleneck of the last probe. Then the search has not found the limit of the server.
    pub fn client_was_the_limit(&self) -> bool {
        self.probes
            .last()
            .is_some_and(|probe| !probe.doubts.is_empty())
    }

    /// The rate of the next probe; `None` at the end of the search.
    pub fn next_per_s(&self) -> Option<f64> {
        let rate = |probe: &Probe| probe.rate_per_s;
        let next = match (self.met().map(rate), self.not_met().map(rate)) {
            (None, None) => self.first_per_s,
            (Some(met), None) => met * 2.0,
            (None, Some(bad)) => bad / 2.0,
            (Some(met), Some(bad)) if bad / met > self.precision => (met * bad).sqrt(),
            _ => return None,
        };
        let within = self.first_per_s / SPAN..=self.first_per_s * SPAN;
        (!self.client_was_the_limit() && within.contains(&next)).then_some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(first: f64, limit: f64) -> Search {
        let mut search = Search::new(first, 1.05);
        while let Some(rate_per_s) = search.next_per_s() {
            search.probes.push(Probe {
                rate_per_s,
                verdict: match rate_per_s {
                    rate if rate <= limit => Verdict::Pass,
                    rate if rate <= limit * 1.01 => Verdict::Inconclusive,
                    _ => Verdict::Fail,
                },
                broke: vec![],
                doubts: vec![],
                requests: 0,
                ttft_p95_ms: None,
                output_tokens_per_s: 0.0,
            });
        }
        search
    }

    #[test]
    fn the_search_closes_in_on_the_limit_from_both_sides() {
        for (first, limit) in [(1.0, 777.0), (1000.0, 12.5), (50.0, 50.0)] {
            let search = search(first, limit);
            let met = search.met().map(|probe| probe.rate_per_s);
            let bad = search.not_met().map(|probe| probe.rate_per_s);
            let (Some(met), Some(bad)) = (met, bad) else {
                unreachable!("{search:?}")
            };
            assert!(
                met <= limit && limit < bad && bad / met <= 1.05,
                "{met} {bad}"
            );
            assert!(search.probes.len() < 20, "{}", search.probes.len());
        }
    }

    #[test]
    fn a_p95_of_a_failure_and_one_that_the_sample_lacks_are_told_apart_after_reading() {
        let probe = |requests, ttft_p95_ms| Probe {
            rate_per_s: 1.0,
            verdict: Verdict::Fail,
            broke: vec![],
            doubts: vec![],
            requests,
            ttft_p95_ms,
            output_tokens_per_s: 0.0,
        };
        let read = |text: String| serde_json::from_str::<Probe>(&text).ok();
        for (probe, words) in [
            (probe(400, Some(None)), "never"),
            (probe(400, Some(Some(5.0))), "5.0"),
            (probe(100, None), "-"),
        ] {
            let text = serde_json::to_string(&probe).unwrap_or_default();
            assert_eq!(read(text).as_ref(), Some(&probe));
            assert_eq!(probe.ttft_p95(), words);
        }
        // An older record.
        let text = serde_json::to_string(&probe(100, Some(None))).unwrap_or_default();
        let old = read(text).map(|old| old.ttft_p95());
        assert_eq!(old.as_deref(), Some("-"));
    }

    #[test]
    fn the_search_ends_without_a_limit_or_without_a_rate_below_it() {
        assert!(search(1.0, f64::INFINITY).not_met().is_none());
        assert!(search(1.0, 0.0).met().is_none());
    }

    #[test]
    fn the_search_ends_when_the_client_is_the_limit() {
        let mut search = search(1.0, 100.0);
        search.probes.truncate(3);
        assert!(search.next_per_s().is_some());
        if let Some(last) = search.probes.last_mut() {
            last.doubts.push("busy".into());
        }
        assert!(search.next_per_s().is_none());
    }
}
