//! The knee of a curve of throughput against latency: the rate with the highest power.
//!
//! Power is throughput divided by response time (Kleinrock, "Power and deterministic rules of thumb for probabilistic problems in computer
//! communications", ICC 1979, section 43.1; Giessler and others 1978). Below its maximum, more load raises throughput by a larger factor
//! than latency; above it, latency by the larger one. It needs no limit that somebody has to choose, and no scale for the axes, as Kneedle
//! does (Satopaa and others 2011).
//!
//! The response time is a percentile of E2E in which failures are infinitely late; a server that refuses more than one request in twenty
//! has no power.
//! A rate may be the knee unless another rate has a higher power for sure, by the 95 % intervals of both percentiles. The interval of the
//! knee ends at the next rates on both sides of those that may be it.
//! It is about the sample at each rate: a disturbance of one step, such as other load on the machine, is not part of it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Kind, Step};
use crate::load::percentile::Percentile;
use poolproof_model::workload::Series;

/// The method in words.
pub const METHOD: &str = "highest power, answers per second / E2E percentile (Kleinrock 1979), by intervals of 95 % at the measured rates, to the rates beside them";

/// The percentiles that may be the response time, in order of preference.
const PERCENTILES: [f64; 4] = [95.0, 90.0, 75.0, 50.0];
/// A rate at which a larger share of requests fails has no power, by any percentile: that of p95.
const FAILED_MAX: f64 = 0.05;
/// Rates that must support a percentile.
const RATES_MIN: usize = 5;

/// The knee of a curve.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Knee {
    /// The rate with the highest power, per second.
    pub rate_per_s: f64,
    /// The rates between which the knee is, per second. The lower one is 0 if the lowest rate may be the knee; the upper one is `None` if
    /// the highest rate may be it.
    pub interval_per_s: (f64, Option<f64>),
    /// The percentile of E2E that is the response time.
    pub percentile: f64,
    /// That percentile at the knee, in milliseconds.
    pub e2e_ms: f64,
    /// Responses per second at the knee.
    pub answered_per_s: f64,
    /// Response tokens per second at the knee.
    pub output_tokens_per_s: f64,
}

/// A rate with its power and the interval of it.
#[derive(Clone, Copy, Debug)]
struct Power<'a> {
    step: &'a Step,
    rate_per_s: f64,
    e2e_ms: Option<f64>,
    power: f64,
    interval: (f64, f64),
}

impl Knee {
    /// The knee of steps in any order; `None` if no percentile is known at enough rates, or no rate has any power.
    pub fn of(steps: &[Step]) -> Option<Self> {
        let mut knees = PERCENTILES.iter().filter_map(|p| Self::by(steps, *p));
        let first = knees.next()?;
        // Low rates have few requests. A higher percentile is of no use if it leaves out all rates below the knee.
        let better = (first.interval_per_s.0 <= 0.0)
            .then(|| knees.find(|knee| knee.interval_per_s.0 > 0.0))
            .flatten();
        Some(better.unwrap_or(first))
    }

    /// The knee by this percentile; `None` if too few rates support it, or at all of them it is a failure.
    fn by(steps: &[Step], percentile: f64) -> Option<Self> {
        let powers = powers(steps, percentile);
        if powers.len() < RATES_MIN {
            return None;
        }
        let best = powers.iter().max_by(|a, b| a.power.total_cmp(&b.power))?;
        let e2e_ms = best.e2e_ms?;
        // The interval ends at measured rates that cannot be the knee.
        let may_be = |power: &Power<'_>| power.interval.1 >= best.interval.0;
        let low = powers.iter().position(may_be)?;
        let high = powers.iter().rposition(may_be)?;
        let below = low.checked_sub(1).and_then(|place| powers.get(place));
        let above = powers.get(high + 1);
        Some(Self {
            rate_per_s: best.rate_per_s,
            interval_per_s: (
                below.map_or(0.0, |power| power.rate_per_s),
                above.map(|power| power.rate_per_s),
            ),
            percentile,
            e2e_ms,
            answered_per_s: best.step.answered_per_s,
            output_tokens_per_s: best.step.output_tokens_per_s,
        })
    }

    /// The knee in a sentence.
    pub fn in_words(&self) -> String {
        let (low, high) = self.interval_per_s;
        let interval = match high {
            Some(high) => format!("between {low:.2} and {high:.2}"),
            None => format!("above {low:.2}, with no measured rate beyond it"),
        };
        format!(
            "knee: {:.2} req/s, {interval}; {:.0} tokens/s and E2E p{} {:.1} ms there",
            self.rate_per_s, self.output_tokens_per_s, self.percentile, self.e2e_ms
        )
    }
}

/// The rates whose sample supports this percentile, in ascending order.
fn powers(steps: &[Step], percentile: f64) -> Vec<Power<'_>> {
    let open = steps
        .iter()
        .filter(|step| matches!(step.kind, Kind::Rate | Kind::Refined));
    let mut powers: Vec<Power<'_>> = open
        .filter_map(|step| {
            let rate_per_s = step.offered_per_s?;
            // A median would bear failures of almost half of the requests, and without an answer there is no time at all.
            if step.failed_share() > FAILED_MAX {
                return Some(Power {
                    step,
                    rate_per_s,
                    e2e_ms: None,
                    power: 0.0,
                    interval: (0.0, 0.0),
                });
            }
            let times = step.requests.times.get(Series::E2e.name())?;
            let found: &Percentile = times
                .percentiles
                .iter()
                .find(|known| known.percentile == percentile)?;
            let power = |ms: Option<f64>| ms.map_or(0.0, |ms| step.answered_per_s / ms.max(1e-3));
            let (early, late) = found.interval_ms;
            Some(Power {
                step,
                rate_per_s,
                e2e_ms: found.ms,
                power: power(found.ms),
                interval: (power(late), power(early)),
            })
        })
        .collect();
    powers.sort_by(|a, b| a.rate_per_s.total_cmp(&b.rate_per_s));
    powers
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::samples::sweep_step;

    /// A server with this capacity whose E2E is `e2e(rate)`, at 10 % to 130 % of 100 requests per second.
    fn curve(e2e: impl Fn(f64) -> Option<f64>, capacity: f64) -> Vec<Step> {
        let rates = [10.0, 30.0, 50.0, 65.0, 80.0, 90.0, 100.0, 115.0, 130.0];
        rates
            .iter()
            .map(|rate| sweep_step(Kind::Rate, *rate, rate.min(capacity), e2e(*rate)))
            .collect()
    }

    #[test]
    fn the_knee_of_a_queue_lies_where_the_queue_begins() {
        let flat = |knee: f64| {
            move |rate: f64| {
                Some(if rate <= knee {
                    100.0
                } else {
                    100.0 + 100.0 * (rate - knee)
                })
            }
        };
        let knee = Knee::of(&curve(flat(90.0), 95.0)).unwrap();
        assert_eq!((knee.rate_per_s, knee.percentile), (90.0, 95.0));
        assert_eq!(knee.interval_per_s, (80.0, Some(100.0)));
        let early = Knee::of(&curve(flat(30.0), 95.0)).unwrap();
        assert_eq!(early.interval_per_s, (10.0, Some(50.0)));
    }

    #[test]
    fn the_knee_of_one_server_with_random_service_is_at_half_of_its_capacity() {
        // Response time of M/M/1: 1 / (capacity - rate). Kleinrock 1979: the power is highest at half.
        let knee = Knee::of(&curve(
            |rate| (rate < 100.0).then(|| 1000.0 / (100.0 - rate)),
            100.0,
        ))
        .unwrap();
        assert_eq!(knee.rate_per_s, 50.0);
    }

    #[test]
    fn a_server_that_refuses_has_its_knee_before_the_refusals() {
        let knee = Knee::of(&curve(|rate| (rate <= 65.0).then_some(100.0), 70.0)).unwrap();
        assert_eq!(knee.interval_per_s, (50.0, Some(80.0)));
        assert!(Knee::of(&curve(|_| None, 0.0)).is_none());
    }

    #[test]
    fn a_curve_that_never_bends_has_no_upper_end() {
        let knee = Knee::of(&curve(|_| Some(100.0), f64::INFINITY)).unwrap();
        assert_eq!(
            (knee.rate_per_s, knee.interval_per_s.1),
            (130.0, None),
            "{knee:?}"
        );
    }

    #[test]
    fn a_percentile_that_low_rates_lack_gives_way_to_one_that_they_have() {
        let mut steps = curve(|rate| (rate <= 65.0).then_some(100.0), 70.0);
        for step in steps
            .iter_mut()
            .filter(|step| step.offered_per_s <= Some(65.0))
        {
            for times in step.requests.times.values_mut() {
                times.percentiles.retain(|known| known.percentile < 90.0);
            }
        }
        // The rates that have p95 all fail.
        let knee = Knee::of(&steps).unwrap();
        assert_eq!(knee.percentile, 50.0);
        assert_eq!(knee.interval_per_s, (50.0, Some(80.0)));
    }

    #[test]
    fn too_few_rates_show_no_knee() {
        let mut steps = curve(|_| Some(100.0), 100.0);
        steps.truncate(4);
        assert!(Knee::of(&steps).is_none());
    }
}
