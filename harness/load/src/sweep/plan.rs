//! The workloads of the steps of a sweep: how they arrive, and how long they last.

use std::fmt;

use anyhow::{Context, Result, ensure};

use super::unsuitable;
use crate::adjust::set_rate;
use poolproof_model::workload::{Arrival, Series, Workload};
use poolproof_records::limits;
use poolproof_records::load::sweep::{Kind, Step};

/// The shares of the capacity that are the rates of the curve.
pub(super) const RATES: [f64; 9] = [0.1, 0.3, 0.5, 0.65, 0.8, 0.9, 1.0, 1.15, 1.3];

/// The requests of a rate that support its 95th percentile, and a few more, since a random process brings fewer at times.
const REQUESTS_MIN: f64 = 240.0;
/// A step is at most this many times as long as asked, to get those requests.
const LONGER_MAX: f64 = 6.0;
/// The warm-up lasts this many times the mean E2E of the idle server, so that the server is as full as it gets at this rate.
const WARM_UP_E2E: f64 = 1.5;
/// The shortest warm-up, as a share of a step.
const WARM_UP_SHARE: f64 = 0.2;
/// A step lasts at least this many times the mean E2E of the idle server.
const COUNTED_E2E: f64 = 2.0;
/// A capacity step has this share of the time of a rate: it needs no percentile.
const CAPACITY_SHARE: f64 = 0.5;
/// A request without a response after this many times the slowest one of the idle server is cancelled. It is far beyond saturation, and
/// only delays the next step.
const GIVEN_UP_AFTER: f64 = 20.0;
/// A request is not cancelled before this time, in seconds, however fast the idle server is.
const GIVEN_UP_AFTER_MIN_S: f64 = 5.0;
/// The shortest step, in seconds: its pace is read from counters that come once a second.
const STEP_MIN_S: f64 = 3.0;
/// The duration of a run that sends a request, or a few if they are fast, in seconds.
const ONE_S: f64 = 0.2;

/// The load of a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Load {
    /// Users without pauses.
    Users(usize),
    /// Requests per second.
    Rate(f64),
}

impl Load {
    pub(super) fn users(self) -> Option<usize> {
        match self {
            Self::Users(users) => Some(users),
            Self::Rate(_) => None,
        }
    }

    pub(super) fn rate_per_s(self) -> Option<f64> {
        match self {
            Self::Users(_) => None,
            Self::Rate(rate) => Some(rate),
        }
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Users(users) => write!(f, "{users} users"),
            Self::Rate(rate) => write!(f, "{rate:.2} req/s"),
        }
    }
}

/// The times of the idle server, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Idle {
    /// The mean E2E.
    pub e2e_mean_ms: f64,
    /// The slowest response.
    pub e2e_max_ms: f64,
}

impl Idle {
    /// Those of the idle step; `None` if it had no response.
    pub fn of(step: &Step) -> Option<Self> {
        let times = step.requests.times.get(Series::E2e.name())?;
        Some(Self {
            e2e_mean_ms: times.mean_ms,
            e2e_max_ms: times.max_ms,
        })
    }
}

/// A sweep that can begin: its workload was checked.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(super) workload: Workload,
    /// The least time of a rate after its warm-up, in seconds.
    step_s: f64,
    /// The mean E2E of the slowest step of few requests so far, in seconds.
    e2e_s: f64,
}

/// The rates of the curve for this capacity.
pub(super) fn rates(capacity_per_s: f64) -> Vec<f64> {
    RATES.iter().map(|share| share * capacity_per_s).collect()
}

impl Plan {
    /// Plans a sweep; `step_s` is the duration of a step in seconds. Fails if the workload's arrivals are not a rate or a closed loop.
    pub fn new(workload: Workload, step_s: f64) -> Result<Self> {
        ensure!(
            step_s >= STEP_MIN_S && step_s.is_finite(),
            "a step of {step_s} s: must be {STEP_MIN_S} s or more"
        );
        let to_a_rate = "give it a rate, such as --rate 1";
        match &workload.arrival {
            Arrival::Constant { .. }
            | Arrival::Poisson { .. }
            | Arrival::Gamma { .. }
            | Arrival::Closed { .. } => {}
            Arrival::Sessions { .. } => {
                return Err(unsuitable(
                    "sessions",
                    "conversations have no rate; use a workload of single requests",
                ));
            }
            Arrival::Ramp { .. } => return Err(unsuitable("ramp", "use constant or poisson")),
            Arrival::Stages { .. } => return Err(unsuitable("stages", "use constant or poisson")),
            Arrival::Trace { .. } => {
                return Err(unsuitable(
                    "trace",
                    "leave out the trace, and give --input and --output like those of its requests",
                ));
            }
        }
        let plan = Self {
            workload,
            step_s,
            e2e_s: 0.0,
        };
        plan.workload_of(Kind::Rate, Load::Rate(1.0))
            .check()
            .context(to_a_rate)?;
        Ok(plan)
    }

    /// Takes the times of the idle server: warm-ups and the longest wait depend on them.
    pub(super) fn set_idle(&mut self, idle: Idle) {
        self.e2e_s = idle.e2e_mean_ms / 1000.0;
        let given_up_s = (GIVEN_UP_AFTER * idle.e2e_max_ms / 1000.0).max(GIVEN_UP_AFTER_MIN_S);
        self.workload.timeout_s = self.workload.timeout_s.min(given_up_s);
    }

    /// Takes the mean E2E with many users, in seconds.
    pub(super) fn set_slowest_s(&mut self, e2e_s: f64) {
        self.e2e_s = self.e2e_s.max(e2e_s);
    }

    /// The most users that this machine has connections for, up to `most`.
    pub(super) fn users_max(&self, most: usize) -> usize {
        let connections = limits::connections_max(1).unwrap_or(u64::MAX);
        most.min(usize::try_from(connections).unwrap_or(usize::MAX))
    }

    /// The workload of a step.
    pub(super) fn workload_of(&self, kind: Kind, load: Load) -> Workload {
        let mut workload = self.workload.clone();
        let least_s = match kind {
            Kind::Capacity => (CAPACITY_SHARE * self.step_s).max(STEP_MIN_S),
            Kind::Idle | Kind::Rate | Kind::Refined => self.step_s,
        };
        let least_s = least_s.max(COUNTED_E2E * self.e2e_s);
        let counted_s = match load {
            Load::Users(_) => least_s,
            Load::Rate(rate) => {
                let decided_s = REQUESTS_MIN / rate;
                least_s.max(decided_s.min(LONGER_MAX * self.step_s))
            }
        };
        workload.warm_up_s = (WARM_UP_SHARE * self.step_s).max(WARM_UP_E2E * self.e2e_s);
        workload.duration_s = Some(workload.warm_up_s + counted_s);
        match load {
            Load::Users(users) => {
                workload.arrival = Arrival::Closed { users, think_ms: 0 };
            }
            Load::Rate(rate) => {
                // Only arrivals with a rate, and closed loops, are planned for.
                let _ = set_rate(&mut workload, rate);
            }
        }
        workload
    }

    /// A workload of one request at a time, for a moment.
    pub(super) fn one_request(&self) -> Workload {
        let mut workload = self.workload.clone();
        workload.arrival = Arrival::Closed {
            users: 1,
            think_ms: 0,
        };
        workload.warm_up_s = 0.0;
        workload.duration_s = Some(ONE_S);
        workload
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::made::workload;

    #[test]
    fn a_low_rate_takes_longer_up_to_a_bound_and_covers_slow_answers() {
        let closed = workload("{ process = 'closed', users = 3, think_ms = 50 }");
        let mut plan = Plan::new(closed, 10.0).unwrap();
        let counted_s = |plan: &Plan, kind, load| {
            let workload = plan.workload_of(kind, load);
            workload.duration_s.unwrap() - workload.warm_up_s
        };
        assert_eq!(counted_s(&plan, Kind::Rate, Load::Rate(1000.0)), 10.0);
        assert_eq!(counted_s(&plan, Kind::Rate, Load::Rate(12.0)), 20.0);
        assert_eq!(counted_s(&plan, Kind::Rate, Load::Rate(0.1)), 60.0);
        assert_eq!(counted_s(&plan, Kind::Capacity, Load::Users(9)), 5.0);
        let users = plan.workload_of(Kind::Idle, Load::Users(1)).arrival;
        assert_eq!(
            users,
            Arrival::Closed {
                users: 1,
                think_ms: 0
            }
        );
        plan.set_idle(Idle {
            e2e_mean_ms: 8000.0,
            e2e_max_ms: 9000.0,
        });
        let slow = plan.workload_of(Kind::Capacity, Load::Users(9));
        assert_eq!((slow.warm_up_s, slow.duration_s), (12.0, Some(28.0)));
        assert_eq!(slow.timeout_s, 60.0);
        plan.set_idle(Idle {
            e2e_mean_ms: 10.0,
            e2e_max_ms: 20.0,
        });
        assert_eq!(plan.workload.timeout_s, GIVEN_UP_AFTER_MIN_S);
    }

    #[test]
    fn arrivals_without_a_rate_are_refused_with_a_remedy() {
        for (arrival, step_s, named) in [
            (
                "{ process = 'sessions', users = 3, turns = 2 }",
                10.0,
                "single requests",
            ),
            (
                "{ process = 'ramp', from_per_s = 1, to_per_s = 2 }",
                10.0,
                "constant or poisson",
            ),
            (
                "{ process = 'poisson', rate_per_s = 4 }",
                1.0,
                "3 s or more",
            ),
        ] {
            let message = format!("{:#}", Plan::new(workload(arrival), step_s).unwrap_err());
            assert!(message.contains(named), "{message}");
        }
        let gamma = workload("{ process = 'gamma', rate_per_s = 4, burstiness = 0.5 }");
        let plan = Plan::new(gamma, 10.0).unwrap();
        let step = plan.workload_of(Kind::Rate, Load::Rate(7.0));
        let wanted = Arrival::Gamma {
            rate_per_s: 7.0,
            burstiness: 0.5,
        };
        assert_eq!(step.arrival, wanted, "the kind of arrivals is kept");
    }
}
