//! The search for the highest rate that meets every objective: runs at one rate after the other. [`Search`] chooses the rates.

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;

use super::Error;
use super::adjust::set_scale;
use super::engine::Snapshot;
use super::run::{Run, Runner};
use poolproof_model::workload::Workload;
use poolproof_records::load::search::{Probe, RateSearch, SCHEMA, Search};
use poolproof_records::load::without_header_values;

/// A probe sends this many times the least number of requests that can decide, since some may be bad.
const MARGIN: f64 = 1.25;
/// A request without an answer after this many times the longest limit is cancelled. It has missed the limit and only delays the next probe.
const GIVEN_UP_AFTER: f64 = 4.0;
/// A request is not cancelled before this time, in seconds, whatever the limit.
const GIVEN_UP_AFTER_MIN_S: f64 = 1.0;
/// The largest warm-up of a probe whose duration is given, as a share of that duration.
const WARM_UP_SHARE: f64 = 0.2;
/// The permitted gap between the rates on both sides of the limit, in percent.
const PRECISION_PERCENT: std::ops::RangeInclusive<f64> = 0.1..=100.0;

/// A search that can begin: its workload was checked.
#[derive(Clone, Debug)]
pub struct Plan {
    workload: Workload,
    /// The least time of a probe after its warm-up, in seconds.
    counted_s: f64,
    search: Search,
}

/// A step of a search.
#[derive(Debug)]
pub enum Step<'a> {
    /// The probe of this rate, per second, begins.
    Begun(f64),
    /// The progress of a probe, once a second.
    Sending(&'a Snapshot),
    /// A probe has ended.
    Ended(&'a Probe),
}

impl Plan {
    /// Plans a search around the workload's own rate. `probe_s` is the duration of a probe in seconds, instead of the workload's duration;
    /// `precision_percent` is the largest gap between the rates on both sides of the limit. Fails if the workload has no single rate, or if
    /// a value is out of range.
    pub fn new(
        mut workload: Workload,
        probe_s: Option<f64>,
        precision_percent: f64,
    ) -> Result<Self> {
        let first_per_s = workload.arrival.rate_mut().copied().context(
            "`arrival.process` must be constant, poisson or gamma, since only these have one rate",
        )?;
        ensure!(
            PRECISION_PERCENT.contains(&precision_percent),
            "precision {precision_percent} %: must be 0.1 to 100"
        );
        if let Some(probe_s) = probe_s {
            workload.duration_s = Some(probe_s);
            workload.warm_up_s = workload.warm_up_s.min(WARM_UP_SHARE * probe_s);
        }
        let limits_ms = workload.slos.iter().filter_map(|slo| slo.at_most_ms);
        if let Some(longest_ms) = limits_ms.reduce(f64::max) {
            let given_up_s = (GIVEN_UP_AFTER * longest_ms / 1000.0).max(GIVEN_UP_AFTER_MIN_S);
            workload.timeout_s = workload.timeout_s.min(given_up_s);
        }
        workload.check().context("probe")?;
        Ok(Self {
            // A workload with a single rate has no trace.
            counted_s: workload.end_s(None) - workload.warm_up_s,
            search: Search::new(first_per_s, 1.0 + precision_percent / 100.0),
            workload,
        })
    }

    /// The rate of the next probe, per second, and its workload: long enough that the rate can be decided. `None` at the end of the search.
    fn next(&self) -> Result<Option<(f64, Workload)>> {
        let Some(rate_per_s) = self.search.next_per_s() else {
            return Ok(None);
        };
        let mut workload = self.workload.clone();
        set_scale(&mut workload, rate_per_s)?;
        let decided_s = MARGIN * workload.requests_min() / rate_per_s;
        workload.duration_s = Some(workload.warm_up_s + self.counted_s.max(decided_s));
        Ok(Some((rate_per_s, workload)))
    }
}

/// Probes rates until the limit is found or sending is interrupted. `name` is that of the workload; `watch` receives each step.
pub async fn find_limit(
    runner: &Runner<'_>,
    name: &str,
    mut plan: Plan,
    watch: &mut (dyn FnMut(Step<'_>) + Send),
) -> Result<RateSearch, Error> {
    let started = Timestamp::now();
    while let Some((rate_per_s, workload)) = plan.next()? {
        watch(Step::Begun(rate_per_s));
        let run = Run {
            name,
            workload: &workload,
            trace: None,
            urls: &[],
            seed: 0,
        };
        let mut progress = |now: &Snapshot| watch(Step::Sending(now));
        let record = runner.record(run, &mut progress).await?;
        if runner.interrupted() {
            break;
        }
        let probe = Probe::new(rate_per_s, &record);
        watch(Step::Ended(&probe));
        plan.search.probes.push(probe);
    }
    Ok(RateSearch {
        schema: SCHEMA.to_owned(),
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        started,
        interrupted: runner.interrupted(),
        name: name.to_owned(),
        workload: without_header_values(plan.workload),
        seed: runner.seed,
        stack: runner.stack.to_owned(),
        flaw: runner.flaw.clone(),
        components: runner.components.to_vec(),
        environment: runner.environment.clone(),
        search: plan.search,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use poolproof_model::verdict::Verdict;

    fn workload(arrival: &str) -> Workload {
        toml::from_str(&format!(
            "shows = 'x'\nduration_s = 60\nwarm_up_s = 5\narrival = {arrival}\n\
             [[mix]]\nclass = 'c'\ninput_tokens = 1\noutput_tokens = 1\n\
             [[slo]]\nmetric = 'ttft'\npercentile = 95\nat_most_ms = 500\n\
             [[slo]]\nmetric = 'failed'\nat_most = 0.2\n"
        ))
        .unwrap()
    }

    const POISSON: &str = "{ process = 'poisson', rate_per_s = 40 }";

    fn probe(rate_per_s: f64, verdict: Verdict) -> Probe {
        Probe {
            rate_per_s,
            verdict,
            broke: Vec::new(),
            doubts: Vec::new(),
            requests: 100,
            ttft_p95_ms: None,
            output_tokens_per_s: 1.0,
        }
    }

    #[test]
    fn a_probe_is_as_long_as_asked_and_longer_where_that_cannot_decide() {
        let mut plan = Plan::new(workload(POISSON), Some(10.0), 5.0).unwrap();
        let (rate, first) = plan.next().unwrap().unwrap();
        assert_eq!((rate, first.warm_up_s), (40.0, 2.0));
        // 8 counted seconds of 40 requests are more than the objectives need.
        assert!(MARGIN * first.requests_min() < 8.0 * 40.0);
        assert_eq!(first.duration_s, Some(10.0));
        // Misses halve the rate until the asked duration has too few requests.
        let mut last = first;
        while let Some((rate, workload)) = plan.next().unwrap() {
            let counted_s = workload.duration_s.unwrap() - workload.warm_up_s;
            assert!(counted_s * rate >= MARGIN * workload.requests_min() - 1e-6);
            plan.search.probes.push(probe(rate, Verdict::Fail));
            last = workload;
        }
        assert!(last.duration_s.unwrap() > 10.0, "{last:?}");
        assert_eq!(plan.workload.duration_s, Some(10.0));
    }

    #[test]
    fn a_request_is_given_up_after_four_times_the_longest_limit() {
        let timeout_s = |change: &dyn Fn(&mut Workload)| {
            let mut workload = workload(POISSON);
            change(&mut workload);
            let plan = Plan::new(workload, None, 5.0).unwrap();
            plan.workload.timeout_s
        };
        assert_eq!(timeout_s(&|_| {}), 2.0);
        assert_eq!(timeout_s(&|it| it.slos[0].at_most_ms = Some(20.0)), 1.0);
        assert_eq!(timeout_s(&|it| it.timeout_s = 1.5), 1.5);
        assert_eq!(timeout_s(&|it| it.slos.clear()), 60.0);
    }

    #[test]
    fn a_search_that_cannot_begin_is_refused_with_the_reason() {
        for (arrival, probe_s, precision, named) in [
            ("{ process = 'closed', users = 3 }", None, 5.0, "one rate"),
            (POISSON, None, 0.0, "precision 0 %"),
            (POISSON, Some(-1.0), 5.0, "`duration_s` is -1"),
        ] {
            let refused = Plan::new(workload(arrival), probe_s, precision);
            let message = format!("{:#}", refused.unwrap_err());
            assert!(message.contains(named), "{message}");
        }
    }
}
