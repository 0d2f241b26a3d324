//! The sweep of rates from idle to beyond saturation: throughput against latency.
//!
//! The sweep finds its rates itself. One request at a time shows the idle server, growing numbers of users show its capacity, then rates
//! from 10 % to 130 % of the capacity show the curve in an open loop, and two more rates close in on the knee. Requests of a step end
//! before the next one begins, and the server is back at its idle times before a step that follows an overload.

mod pace;
mod plan;

use anyhow::anyhow;
use jiff::Timestamp;

use super::Error;
use super::engine::Snapshot;
use super::run::{Run, Runner};
use pace::Pace;
use poolproof_model::workload::trace::Trace;
use poolproof_model::workload::{Series, Workload};
use poolproof_records::load::sweep::{Kind, Knee, METHOD, RateSweep, SCHEMA, Step};
use poolproof_records::load::{Record, without_header_values};
use url::Url;

pub use plan::{Idle, Load, Plan};

/// The progress of a sweep.
#[derive(Debug)]
pub enum Progress<'a> {
    /// A step with this load begins.
    Begun(Kind, Load),
    /// The progress of a step, once a second.
    Sending(&'a Snapshot),
    /// A step has ended.
    Ended(&'a Step),
}

/// What is sent in a sweep.
#[derive(Clone, Copy, Debug)]
pub struct Sending<'a> {
    /// The name of the workload.
    pub name: &'a str,
    /// The prompts of a workload that has a dataset.
    pub trace: Option<&'a Trace>,
    /// Addresses to use in turn instead of the gateway.
    pub urls: &'a [Url],
}

type Watch<'a> = dyn FnMut(Progress<'_>) + Send + 'a;

/// The steps so far, and how to make the next one.
struct Sweep<'a> {
    runner: &'a Runner<'a>,
    sending: Sending<'a>,
    plan: Plan,
    steps: Vec<Step>,
    runs: u64,
    ended_early: Option<String>,
}

/// Users of the capacity steps, each this many times those before.
const USERS_FACTOR: usize = 4;
/// Users of the first capacity step.
const USERS_FIRST: usize = 4;
/// The most users.
const USERS_MAX: usize = 1024;
/// More users are tried while they raise the answers per second by this factor.
const GROWTH_MIN: f64 = 1.1;
/// More users are not tried once this share of requests fails.
const FAILED_MAX: f64 = 0.5;
/// Latency this many times that of the idle server is far beyond saturation, if the server also falls behind.
const FAR_BEYOND: f64 = 10.0;
/// The server has settled once a request takes this many times as long as on the idle server.
const SETTLED: f64 = 1.5;
/// Requests that may be slower than that, before the server counts as not settled.
const SETTLING_TRIES: usize = 20;
/// Rates beyond the planned ones, while the server keeps up.
const RATES_MORE: usize = 6;
/// The factor between them.
const RATE_FACTOR: f64 = 1.3;
/// A gap between two rates around the knee is divided if it is larger than this factor.
const GAP_MIN: f64 = 1.1;

/// Sweeps the rates until the server is far beyond saturation, or sending is interrupted.
pub async fn sweep(
    runner: &Runner<'_>,
    sending: Sending<'_>,
    plan: Plan,
    watch: &mut Watch<'_>,
) -> Result<RateSweep, Error> {
    let started = Timestamp::now();
    let requested = plan.workload.clone();
    let mut sweep = Sweep {
        runner,
        sending,
        plan,
        steps: Vec::new(),
        runs: 0,
        ended_early: None,
    };
    sweep.make(watch).await?;
    Ok(RateSweep {
        schema: SCHEMA.to_owned(),
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        started,
        interrupted: runner.interrupted(),
        name: sending.name.to_owned(),
        workload: without_header_values(requested),
        seed: runner.seed,
        stack: runner.stack.to_owned(),
        flaw: runner.flaw.clone(),
        components: runner.components.to_vec(),
        environment: runner.environment.clone(),
        knee: Knee::of(&sweep.steps),
        steps: sweep.steps,
        timeout_s: sweep.plan.workload.timeout_s,
        method: METHOD.to_owned(),
        ended_early: sweep.ended_early,
    })
}

impl Sweep<'_> {
    async fn make(&mut self, watch: &mut Watch<'_>) -> Result<(), Error> {
        let Some(idle) = self.step(Kind::Idle, Load::Users(1), watch).await? else {
            return Ok(());
        };
        let Some(idle) = Idle::of(&self.steps[idle]) else {
            self.ended_early = Some("one request at a time got no response".to_owned());
            return Ok(());
        };
        self.plan.set_idle(idle);
        let Some(capacity) = self.capacity(watch).await? else {
            return Ok(());
        };
        let mut rates = plan::rates(capacity);
        let mut place = 0;
        while let Some(rate) = rates.get(place).copied() {
            if !self.settle(idle).await? {
                return Ok(());
            }
            let Some(step) = self.step(Kind::Rate, Load::Rate(rate), watch).await? else {
                return Ok(());
            };
            let step = &self.steps[step];
            place += 1;
            if let Some(reason) = far_beyond(step, idle) {
                if place < rates.len() {
                    self.ended_early = Some(reason);
                }
                break;
            }
            let may_grow = rates.len() < plan::RATES.len() + RATES_MORE;
            if place == rates.len() && may_grow && !step.falls_behind() && step.doubts.is_empty() {
                rates.push(rate * RATE_FACTOR);
            }
        }
        for rate in self.beside_the_knee() {
            if !self.settle(idle).await? {
                return Ok(());
            }
            let step = self.step(Kind::Refined, Load::Rate(rate), watch).await?;
            if step.is_none() {
                break;
            }
        }
        Ok(())
    }

    /// Raises the number of users until that does not raise the answers per second. Returns the most answers per second; `None` if
    /// there were none, or sending was interrupted.
    async fn capacity(&mut self, watch: &mut Watch<'_>) -> Result<Option<f64>, Error> {
        let mut most = self.steps.last().map_or(0.0, |step| step.answered_per_s);
        let mut users = USERS_FIRST;
        while users <= self.plan.users_max(USERS_MAX) {
            let Some(step) = self.step(Kind::Capacity, Load::Users(users), watch).await? else {
                return Ok(None);
            };
            let step = &self.steps[step];
            let grows = step.answered_per_s >= GROWTH_MIN * most;
            let refuses = step.failed_share() > FAILED_MAX;
            most = most.max(step.answered_per_s);
            if let Some(times) = step.requests.times.get(Series::E2e.name()) {
                self.plan.set_slowest_s(times.mean_ms / 1000.0);
            }
            if !grows || refuses || !step.doubts.is_empty() {
                break;
            }
            users *= USERS_FACTOR;
        }
        if most <= 0.0 {
            self.ended_early = Some("no number of users got a response in time".to_owned());
            return Ok(None);
        }
        Ok(Some(most))
    }

    /// The rates in the middle between the knee and the rates beside it, if these are far away.
    fn beside_the_knee(&self) -> Vec<f64> {
        let Some(knee) = Knee::of(&self.steps) else {
            return Vec::new();
        };
        let rates = self.steps.iter().filter_map(|step| step.offered_per_s);
        let below = rates.clone().filter(|rate| *rate < knee.rate_per_s);
        let above = rates.filter(|rate| *rate > knee.rate_per_s);
        let below = below.reduce(f64::max).map(|low| (low, knee.rate_per_s));
        let above = above.reduce(f64::min).map(|high| (knee.rate_per_s, high));
        let gaps = [below, above].into_iter().flatten();
        gaps.filter(|(low, high)| high / low > GAP_MIN)
            .map(|(low, high)| (low * high).sqrt())
            .collect()
    }

    /// Makes a step. Returns its place; `None` if it was interrupted.
    async fn step(
        &mut self,
        kind: Kind,
        load: Load,
        watch: &mut Watch<'_>,
    ) -> Result<Option<usize>, Error> {
        let workload = self.plan.workload_of(kind, load);
        workload
            .check()
            .map_err(|error| Error::Usage(error.context(format!("step of the sweep: {load}"))))?;
        watch(Progress::Begun(kind, load));
        let mut progress = |now: &Snapshot| watch(Progress::Sending(now));
        let record = self.send(&workload, &mut progress).await?;
        if self.runner.interrupted() {
            return Ok(None);
        }
        let counted = (workload.warm_up_s, workload.end_s(None));
        let step = step_of(kind, load, record, counted);
        watch(Progress::Ended(&step));
        self.steps.push(step);
        Ok(Some(self.steps.len() - 1))
    }

    /// Sends a workload. No two runs have the same seed, so that no prompt is in a prefix cache from an earlier one.
    async fn send(
        &mut self,
        workload: &Workload,
        watch: &mut (dyn FnMut(&Snapshot) + Send),
    ) -> Result<Record, Error> {
        let run = Run {
            name: self.sending.name,
            workload,
            trace: self.sending.trace,
            urls: self.sending.urls,
            seed: self.runs,
        };
        self.runs += 1;
        self.runner.record(run, watch).await
    }

    /// After a step that the server did not keep up with, sends single requests until one is about as fast as on the idle server.
    /// Returns false if that does not come, or sending is interrupted.
    async fn settle(&mut self, idle: Idle) -> Result<bool, Error> {
        let overloaded = self.steps.last().is_some_and(|step| {
            step.kind == Kind::Capacity || step.falls_behind() || step.requests.failures() > 0
        });
        if !overloaded {
            return Ok(!self.runner.interrupted());
        }
        for _ in 0..SETTLING_TRIES {
            let workload = self.plan.one_request();
            let record = self.send(&workload, &mut |_| {}).await?;
            if self.runner.interrupted() {
                return Ok(false);
            }
            let fastest_ms = record.total.times.get(Series::E2e.name());
            if fastest_ms.is_some_and(|times| times.min_ms <= SETTLED * idle.e2e_max_ms) {
                return Ok(true);
            }
        }
        self.ended_early = Some(format!(
            "after {}, {SETTLING_TRIES} series of single requests were all slower than {SETTLED} times the slowest on the idle server",
            self.steps.last().map_or(String::new(), Step::load_in_words)
        ));
        Ok(false)
    }
}

/// Why no higher rate is needed after this step.
fn far_beyond(step: &Step, idle: Idle) -> Option<String> {
    if !step.falls_behind() {
        return None;
    }
    let slow = match step.percentile_ms(Series::E2e, 50.0) {
        Some(Some(ms)) => ms > FAR_BEYOND * idle.e2e_mean_ms,
        Some(None) => true,
        None => step.requests.answered == 0,
    };
    let what = if step.failed_share() > FAILED_MAX {
        format!(
            "{:.0} % of the requests failed",
            100.0 * step.failed_share()
        )
    } else if slow {
        format!("half of the requests took over {FAR_BEYOND} times as long as on the idle server")
    } else {
        return None;
    };
    Some(format!(
        "at {} the server answered {:.2} per second and {what}: higher rates were left out",
        step.load_in_words(),
        step.answered_per_s
    ))
}

/// The step of a run whose requests counted between these offsets, in seconds.
fn step_of(kind: Kind, load: Load, record: Record, counted: (f64, f64)) -> Step {
    let total = &record.total;
    let windows = record.over_time.as_ref();
    let pace = windows.and_then(|it| Pace::of(&it.windows, counted));
    let e2e = total.times.get(Series::E2e.name());
    let mean_s = e2e.map(|times| times.mean_ms / 1000.0);
    let mean_s = mean_s.filter(|mean_s| *mean_s > 0.0 && total.failures() == 0);
    // Little's law, L = X * R (Little 1961): users without pauses are the mean number in flight. A count within a short window would
    // depend on how many waves of them it happens to hold.
    let by_users = load.users().zip(mean_s);
    let answered_per_s = match (by_users, pace) {
        (Some((users, mean_s)), _) => users as f64 / mean_s,
        (None, Some(pace)) => pace.answered_per_s,
        (None, None) => total.answered_per_s,
    };
    let tokens = total.output_tokens as f64 / total.answered.max(1) as f64;
    // A step that is too short for windows has Little's law.
    let by_law = mean_s.map(|mean_s| answered_per_s * mean_s);
    let in_flight = pace.map(|pace| pace.in_flight).or(by_law);
    Step {
        kind,
        offered_per_s: load.rate_per_s().map(|planned| {
            // A random process has its own number of arrivals, which is what the server got.
            let due = total.requests as f64 / record.window_s;
            if total.requests > 0 { due } else { planned }
        }),
        users: load.users(),
        window_s: record.window_s,
        answered_per_s,
        output_tokens_per_s: tokens * answered_per_s,
        in_flight: in_flight.unwrap_or(0.0),
        in_flight_max: pace.map_or(0, |pace| pace.in_flight_max.round() as u64),
        requests: record.total,
        doubts: record.doubts,
    }
}

/// The error of a workload that cannot be swept.
pub(crate) fn unsuitable(process: &str, remedy: &str) -> anyhow::Error {
    anyhow!("`arrival.process` is {process}, but a sweep chooses the rates itself: {remedy}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use poolproof_records::samples::sweep_step;

    const IDLE: Idle = Idle {
        e2e_mean_ms: 100.0,
        e2e_max_ms: 120.0,
    };

    #[test]
    fn only_a_server_that_falls_behind_and_is_slow_or_fails_is_far_beyond_saturation() {
        let reason = |answered_per_s, e2e_ms| {
            let step = sweep_step(Kind::Rate, 100.0, answered_per_s, e2e_ms);
            far_beyond(&step, IDLE)
        };
        assert_eq!(reason(99.0, Some(5000.0)), None, "it keeps up");
        assert_eq!(reason(80.0, Some(300.0)), None, "it is not slow yet");
        let slow = reason(80.0, Some(5000.0)).unwrap_or_default();
        assert!(
            slow.contains("100.00 req/s") && slow.contains("10 times"),
            "{slow}"
        );
        let mut refusing = sweep_step(Kind::Rate, 100.0, 30.0, None);
        refusing.requests.failed = [("http-429".to_owned(), 700)].into();
        let refused = far_beyond(&refusing, IDLE).unwrap_or_default();
        assert!(refused.contains("70 % of the requests failed"), "{refused}");
    }
}
