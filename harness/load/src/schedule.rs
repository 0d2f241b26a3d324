//! The schedule of an open loop: each request, and the moment at which it leaves.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Exp, Gamma};

use poolproof_model::workload::Arrival;
use poolproof_model::workload::trace::Trace;

/// A request that is due.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Due {
    /// Its place in the schedule.
    pub number: u64,
    /// When it is due, in nanoseconds from the start.
    pub at_ns: u64,
    /// The stage that it belongs to; of a session, the turn.
    pub stage: usize,
}

/// All requests of an open loop, in order. Two schedules of the same arrival, seed and duration are the same, so that each
/// worker goes through all of it and sends its own share.
#[derive(Clone, Debug)]
pub struct Schedule<'a> {
    arrival: &'a Arrival,
    trace: Option<&'a Trace>,
    rng: ChaCha8Rng,
    end_s: f64,
    number: u64,
    /// The last arrival of a random process, in seconds.
    at_s: f64,
    stage: usize,
    /// Where the current stage began, in seconds.
    stage_began_s: f64,
}

impl<'a> Schedule<'a> {
    /// The schedule of the first `end_s` seconds. Empty where there are users.
    pub fn new(arrival: &'a Arrival, trace: Option<&'a Trace>, seed: u64, end_s: f64) -> Self {
        Self {
            arrival,
            trace,
            rng: ChaCha8Rng::seed_from_u64(seed),
            end_s,
            number: 0,
            at_s: 0.0,
            stage: 0,
            stage_began_s: 0.0,
        }
    }

    /// The time of the next request, in seconds.
    fn next_s(&mut self) -> Option<f64> {
        let number = self.number as f64;
        match self.arrival {
            Arrival::Constant { rate_per_s } => Some(number / rate_per_s),
            Arrival::Poisson { rate_per_s } => {
                self.at_s += Exp::new(*rate_per_s).ok()?.sample(&mut self.rng);
                Some(self.at_s)
            }
            Arrival::Gamma {
                rate_per_s,
                burstiness,
            } => {
                let scale = 1.0 / (rate_per_s * burstiness);
                self.at_s += Gamma::new(*burstiness, scale).ok()?.sample(&mut self.rng);
                Some(self.at_s)
            }
            Arrival::Ramp {
                from_per_s,
                to_per_s,
            } => ramp_s(number, *from_per_s, *to_per_s, self.end_s),
            Arrival::Stages { stages } => loop {
                let stage = stages.get(self.stage)?;
                let ends_s = self.stage_began_s + stage.duration_s;
                let at_s = self.at_s + Exp::new(stage.rate_per_s).ok()?.sample(&mut self.rng);
                if at_s < ends_s {
                    self.at_s = at_s;
                    return Some(at_s);
                }
                // The process has no memory: it begins anew where the rate changes.
                (self.at_s, self.stage_began_s) = (ends_s, ends_s);
                self.stage += 1;
            },
            Arrival::Trace { .. } => {
                let row = self.trace?.rows.get(self.number as usize)?;
                Some(row.at_ms / 1000.0)
            }
            Arrival::Closed { .. } | Arrival::Sessions { .. } => None,
        }
    }
}

/// When the request of this number leaves, if the rate goes from one to the other in a straight line: where the integral of the rate
/// reaches the number.
fn ramp_s(number: f64, from_per_s: f64, to_per_s: f64, duration_s: f64) -> Option<f64> {
    let growth = (to_per_s - from_per_s) / duration_s;
    let root = from_per_s * from_per_s + 2.0 * growth * number;
    // This form divides by no growth, and does not lose digits where it is small.
    (root >= 0.0).then(|| match number {
        0.0 => 0.0,
        _ => 2.0 * number / (from_per_s + root.sqrt()),
    })
}

impl Iterator for Schedule<'_> {
    type Item = Due;

    fn next(&mut self) -> Option<Due> {
        let at_s = self.next_s().filter(|at_s| *at_s < self.end_s)?;
        let number = self.number;
        self.number += 1;
        Some(Due {
            number,
            at_ns: (at_s * 1e9).round() as u64,
            stage: self.stage,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use poolproof_model::workload::Stage;

    fn times_s(arrival: &Arrival, seed: u64, end_s: f64) -> Vec<f64> {
        let schedule = Schedule::new(arrival, None, seed, end_s);
        schedule.map(|due| due.at_ns as f64 / 1e9).collect()
    }

    fn gaps(times: &[f64]) -> (f64, f64) {
        let gaps: Vec<f64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let n = gaps.len() as f64;
        let mean = gaps.iter().sum::<f64>() / n;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / n;
        (mean, variance.sqrt() / mean)
    }

    #[test]
    fn constant_is_constant_to_the_nanosecond() {
        let times = times_s(&Arrival::Constant { rate_per_s: 3.0 }, 1, 1000.0);
        assert_eq!(times.len(), 3000);
        assert!((times[2999] - 2999.0 / 3.0).abs() < 1e-9);
    }

    #[test]
    fn random_gaps_have_the_mean_and_the_spread_of_their_process() {
        // The standard errors of mean and spread over 100,000 gaps are 0.003 and 0.003 to 0.007: five of them.
        let poisson = Arrival::Poisson { rate_per_s: 100.0 };
        let (mean, spread) = gaps(&times_s(&poisson, 7, 1000.0));
        assert!((mean * 100.0 - 1.0).abs() < 0.016, "{mean}");
        assert!((spread - 1.0).abs() < 0.016, "{spread}");
        for burstiness in [0.25, 4.0] {
            let gamma = Arrival::Gamma {
                rate_per_s: 100.0,
                burstiness,
            };
            let (mean, spread) = gaps(&times_s(&gamma, 7, 1000.0));
            assert!((mean * 100.0 - 1.0).abs() < 0.035, "{mean}");
            let wanted = 1.0 / burstiness.sqrt();
            assert!((spread / wanted - 1.0).abs() < 0.035, "{spread}");
        }
    }

    #[test]
    fn a_ramp_sends_as_many_as_the_area_under_it() {
        for (from_per_s, to_per_s) in [(0.0, 100.0), (100.0, 0.0), (50.0, 50.0)] {
            let ramp = Arrival::Ramp {
                from_per_s,
                to_per_s,
            };
            let times = times_s(&ramp, 1, 10.0);
            assert!((499..=501).contains(&times.len()), "{}", times.len());
            let first_half = times.iter().filter(|at| **at < 5.0).count();
            let wanted = match from_per_s as u32 {
                0 => 125,
                50 => 250,
                _ => 375,
            };
            assert!(first_half.abs_diff(wanted) <= 1, "{first_half}");
        }
    }

    #[test]
    fn stages_keep_their_rates_and_their_bounds() {
        let stage = |rate_per_s| Stage {
            rate_per_s,
            duration_s: 100.0,
        };
        let stages = Arrival::Stages {
            stages: vec![stage(10.0), stage(100.0)],
        };
        let all: Vec<Due> = Schedule::new(&stages, None, 3, 200.0).collect();
        let first = all.iter().filter(|due| due.stage == 0);
        assert!(first.clone().all(|due| due.at_ns < 100_000_000_000));
        assert!(first.count().abs_diff(1000) < 5 * 32);
        let second = all.iter().filter(|due| due.stage == 1);
        assert!(second.clone().all(|due| due.at_ns >= 100_000_000_000));
        assert!(second.count().abs_diff(10_000) < 5 * 100);
    }

    #[test]
    fn the_seed_decides_everything() {
        let poisson = Arrival::Poisson { rate_per_s: 50.0 };
        assert_eq!(times_s(&poisson, 1, 10.0), times_s(&poisson, 1, 10.0));
        assert_ne!(times_s(&poisson, 1, 10.0), times_s(&poisson, 2, 10.0));
    }
}
