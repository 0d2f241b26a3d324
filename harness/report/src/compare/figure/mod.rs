//! Figures of two runs: the ratio of each, with its interval, compared with a margin.
//!
//! The interval comes from repeated draws of both figures (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, section 13.3).
//! A percentile of a recorded distribution is drawn from the law of its order statistic (David and Nagaraja, "Order Statistics", 2003,
//! section 2.2), a share from its posterior with Jeffreys' prior, a figure with an interval from the normal law of its logarithm. The
//! interval covers the spread within a run. Differences between runs of the same stack are left to `margin`, and to drift over many runs.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::peers;
use super::records::Records;
use super::verdicts::shape;
use poolproof_model::workload::Series;
use poolproof_records::load::Record;
use poolproof_records::load::overhead::Overhead;
use poolproof_stats::interval::CONFIDENCE;

mod picker;
mod spread;

pub(super) use spread::{Spread, draws};

/// One figure of a run.
#[derive(Clone, Debug)]
pub struct Figure<'a> {
    /// Its record, class and name: `load chat ttft p95`.
    pub name: String,
    /// Its value; infinite if it belongs to a failed request.
    pub value: f64,
    /// Its unit; empty for a ratio or a share.
    pub unit: &'static str,
    /// True if a higher value is better.
    pub more_is_better: bool,
    pub(super) spread: Spread<'a>,
}

/// The conclusion from the ratio of a figure to its earlier value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Says {
    /// Worse by more than the margin.
    Worse,
    /// Better by more than the margin.
    Better,
    /// Differs by less than the margin.
    Same,
    /// None of these can be shown.
    NotDecided,
}

/// A figure of two runs.
#[derive(Clone, Debug, Serialize)]
pub struct Compared {
    /// The name of the figure.
    pub figure: String,
    /// Its value before.
    pub before: f64,
    /// Its value now.
    pub now: f64,
    /// Its unit; empty for a ratio or a share.
    pub unit: &'static str,
    /// The ratio of now to before, inverted if needed so that above 1 is worse.
    pub worse_by: f64,
    /// The 95 % interval of `worse_by`, from the spread within both runs.
    pub interval: (f64, f64),
    /// The conclusion from the interval.
    pub says: Says,
}

/// Compares the figures that two runs share, and gives the reason for those that cannot be compared.
pub(super) fn compare_all(
    baseline: &Records,
    run: &Records,
    margin: f64,
) -> (Vec<Compared>, Vec<String>) {
    let (mut compared, mut refused) = (Vec::new(), Vec::new());
    let mut compare =
        |kind: &str, reason: Option<String>, before: Vec<Figure<'_>>, now: Vec<Figure<'_>>| {
            if let Some(reason) = reason {
                return refused.push(format!("{kind}: {reason}"));
            }
            compared.extend(pairs(&before, &now, margin));
        };
    if let (Some(before), Some(now)) = peers::both(baseline, run) {
        compare("load", None, before.figures(), now.figures());
    }
    if let (Some(before), Some(now)) = (&baseline.load, &run.load) {
        let reason = incomparable_load(before, now);
        compare("load", reason, of_load(before), of_load(now));
    }
    if let (Some(before), Some(now)) = (&baseline.overhead, &run.overhead) {
        let reason = incomparable_overhead(before, now);
        compare("overhead", reason, of_overhead(before), of_overhead(now));
    }
    if let (Some(before), Some(now)) = (&baseline.picker, &run.picker) {
        let reason = picker::incomparable(before, now);
        compare(
            "picker",
            reason,
            picker::figures(before),
            picker::figures(now),
        );
    }
    (compared, refused)
}

/// Compares the figures of a load run with those of the last one. On the same machine neither needs a calibration, since the error of
/// the client is in both. Returns the reason if they cannot be compared.
pub(super) fn compare_with_last(
    last: &Record,
    now: &Record,
    margin: f64,
) -> Result<Vec<Compared>, String> {
    let whose = [("the last run", last), ("this run", now)];
    let moved = last.client.cores != now.client.cores;
    let reason = other_stack(last, now)
        .or_else(|| other_requests(last, now))
        .or_else(|| unfinished(whose))
        .or_else(|| moved.then(|| uncalibrated(whose)).flatten());
    if let Some(reason) = reason {
        return Err(reason);
    }
    Ok(pairs(&of_load(last), &of_load(now), margin))
}

fn pairs(before: &[Figure<'_>], now: &[Figure<'_>], margin: f64) -> Vec<Compared> {
    let pairs = before.iter().filter_map(|before| {
        let now = now.iter().find(|figure| figure.name == before.name)?;
        Some(compare_one(before, now, margin))
    });
    pairs.collect()
}

/// The figures of a run that can be compared with those of another run.
pub fn comparable<'a>(run: &'a Records, with: &Records) -> Vec<Figure<'a>> {
    let mut figures = Vec::new();
    if let (Some(load), Some(other)) = (&run.load, &with.load)
        && incomparable_load(load, other).is_none()
    {
        figures.extend(of_load(load));
    }
    if let (Some(overhead), Some(other)) = (&run.overhead, &with.overhead)
        && incomparable_overhead(overhead, other).is_none()
    {
        figures.extend(of_overhead(overhead));
    }
    if let (Some(picker), Some(other)) = (&run.picker, &with.picker)
        && picker::incomparable(picker, other).is_none()
    {
        figures.extend(picker::figures(picker));
    }
    figures
}

fn incomparable_load(before: &Record, now: &Record) -> Option<String> {
    let whose = [("the baseline", before), ("the run", now)];
    unfinished(whose)
        .or_else(|| uncalibrated(whose))
        .or_else(|| other_requests(before, now))
}

fn unfinished(runs: [(&str, &Record); 2]) -> Option<String> {
    runs.into_iter().find_map(|(whose, record)| {
        let doubt = record.doubts.first();
        let doubtful = doubt.map(|doubt| format!("{whose} is invalid: {doubt}"));
        let interrupted = record
            .interrupted
            .then(|| format!("{whose} was interrupted"));
        interrupted.or(doubtful)
    })
}

fn uncalibrated(runs: [(&str, &Record); 2]) -> Option<String> {
    let mut runs = runs.into_iter();
    let (whose, _) = runs.find(|(_, record)| record.client.calibration.is_none())?;
    Some(format!(
        "{whose} ran on a machine without calibration; run `poolproof load calibrate` first"
    ))
}

/// A stack of another kind. Those that poolproof has not started are all of one kind.
fn other_stack(before: &Record, now: &Record) -> Option<String> {
    let is_found = |record: &Record| record.components.is_empty();
    let is_other = before.stack != now.stack && !(is_found(before) && is_found(now));
    is_other.then(|| format!("the stacks differ: {}, now {}", before.stack, now.stack))
}

fn other_requests(before: &Record, now: &Record) -> Option<String> {
    if before.workload != now.workload {
        return Some("the workloads differ".to_owned());
    }
    (shape(&before.target) != shape(&now.target)).then(|| "the topologies differ".to_owned())
}

fn incomparable_overhead(before: &Overhead, now: &Overhead) -> Option<String> {
    if before.workload != now.workload || before.uneven != now.uneven {
        return Some("the workloads differ".to_owned());
    }
    (before.pool != now.pool).then(|| "the pools differ".to_owned())
}

fn of_load(record: &Record) -> Vec<Figure<'_>> {
    let mut figures = Vec::new();
    for group in &record.classes {
        for series in [Series::Ttft, Series::Tpot, Series::E2e].map(Series::name) {
            let Some(times) = group.times.get(series) else {
                continue;
            };
            let percentiles = times.percentiles.iter();
            for percentile in percentiles.filter(|it| [50.0, 95.0, 99.0].contains(&it.percentile)) {
                let q = percentile.percentile / 100.0;
                figures.push(Figure {
                    name: format!("load {} {series} p{}", group.name, percentile.percentile),
                    value: percentile.ms.unwrap_or(f64::INFINITY),
                    unit: "ms",
                    more_is_better: false,
                    spread: Spread::Quantile {
                        times,
                        failed: group.failures(),
                        q,
                    },
                });
            }
        }
        figures.push(Figure {
            name: format!("load {} goodput", group.name),
            value: group.goodput,
            unit: "",
            more_is_better: true,
            spread: Spread::Share(group.goodput, group.requests),
        });
    }
    figures
}

/// Ratios of the gateway to round robin within the same run. A slow machine slows both alike.
fn of_overhead(record: &Overhead) -> Vec<Figure<'_>> {
    let figures = record.compared.iter().filter_map(|it| {
        let (ratio, interval) = it.ratio?;
        let figure = it.which()?;
        Some(Figure {
            name: format!("overhead {} gateway/round-robin", figure.label()),
            value: ratio,
            unit: "",
            more_is_better: figure.more_is_better(),
            spread: Spread::Interval(ratio, interval),
        })
    });
    figures.collect()
}

fn compare_one(before: &Figure<'_>, now: &Figure<'_>, margin: f64) -> Compared {
    let sign = if now.more_is_better { -1.0 } else { 1.0 };
    let ratio = |before: f64, now: f64| match before == now {
        // Two failures are equal.
        true => 1.0,
        false => (sign * (now - before)).exp(),
    };
    // Both sets of draws come from the same generator. Shuffling one of them removes the correlation.
    let pairs = before
        .spread
        .draws()
        .into_iter()
        .zip(shuffled(now.spread.draws()));
    let mut ratios: Vec<f64> = pairs.map(|(before, now)| ratio(before, now)).collect();
    ratios.sort_by(f64::total_cmp);
    let tail = (1.0 - CONFIDENCE) / 2.0;
    let at = |q: f64| ratios.get((ratios.len() as f64 * q) as usize).copied();
    let interval = match (at(tail), at(1.0 - tail)) {
        (Some(low), Some(high)) => (low, high),
        _ => (0.0, f64::INFINITY),
    };
    Compared {
        figure: now.name.clone(),
        before: before.value,
        now: now.value,
        unit: now.unit,
        worse_by: ratio(before.value.ln(), now.value.ln()),
        interval,
        says: says(interval, margin),
    }
}

fn shuffled(mut values: Vec<f64>) -> Vec<f64> {
    use rand::seq::SliceRandom;
    values.shuffle(&mut ChaCha8Rng::seed_from_u64(1));
    values
}

fn says((low, high): (f64, f64), margin: f64) -> Says {
    let (least, most) = (1.0 / (1.0 + margin), 1.0 + margin);
    if low > most {
        Says::Worse
    } else if high < least {
        Says::Better
    } else if low >= least && high <= most {
        Says::Same
    } else {
        Says::NotDecided
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use poolproof_records::load::Times;

    fn times(ms: u64, n: u64) -> Times {
        Times {
            n,
            mean_ms: 0.0,
            min_ms: 0.0,
            max_ms: 0.0,
            percentiles: Vec::new(),
            // Values spread over 20 %.
            histogram_us: (0..n).map(|i| (ms * 1000 + i * ms * 200 / n, 1)).collect(),
        }
    }

    fn figure(times: &Times, failed: u64) -> Figure<'_> {
        let least_ms = times.histogram_us[0].0 as f64 / 1000.0;
        Figure {
            name: "load chat ttft p50".into(),
            value: if failed > times.n {
                f64::INFINITY
            } else {
                least_ms * 1.1
            },
            unit: "ms",
            more_is_better: false,
            spread: Spread::Quantile {
                times,
                failed,
                q: 0.5,
            },
        }
    }

    #[test]
    fn ten_percent_is_worse_equal_is_equal_and_few_requests_decide_nothing() {
        let says = |a: &Figure<'_>, b: &Figure<'_>| compare_one(a, b, 0.05).says;
        let hundred = times(100, 3000);
        let before = figure(&hundred, 0);
        assert_eq!(says(&before, &figure(&times(112, 3000), 0)), Says::Worse);
        assert_eq!(says(&before, &figure(&times(90, 3000), 0)), Says::Better);
        assert_eq!(says(&before, &figure(&times(101, 3000), 0)), Says::Same);
        assert_eq!(
            says(&figure(&times(100, 20), 0), &figure(&times(106, 20), 0)),
            Says::NotDecided
        );
        let compared = compare_one(&before, &figure(&times(112, 3000), 0), 0.05);
        let (low, high) = compared.interval;
        assert!(
            low < 1.12 && high > 1.12 && high - low < 0.05,
            "{compared:?}"
        );
    }

    #[test]
    fn failures_are_slower_than_any_answer() {
        let hundred = times(100, 100);
        let lost = figure(&hundred, 200);
        let compared = compare_one(&figure(&times(100, 300), 0), &lost, 0.05);
        assert_eq!(compared.says, Says::Worse);
        assert_eq!(compare_one(&lost, &lost, 0.05).worse_by, 1.0);
    }

    #[test]
    fn a_lower_value_is_worse_if_more_is_better() {
        let share = |value: f64| Figure {
            name: "load chat goodput".into(),
            value,
            unit: "",
            more_is_better: true,
            spread: Spread::Share(value, 2000),
        };
        assert_eq!(
            compare_one(&share(0.99), &share(0.8), 0.05).says,
            Says::Worse
        );
        assert_eq!(
            compare_one(&share(0.99), &share(0.99), 0.05).says,
            Says::Same
        );
        let ratio = |value: f64| Figure {
            spread: Spread::Interval(value, (value * 0.97, value * 1.03)),
            ..share(value)
        };
        assert_eq!(
            compare_one(&ratio(0.5), &ratio(1.0), 0.05).says,
            Says::Better
        );
    }
}
