//! A run: skips cases whose needs are not met, runs the others one by one on each stack, and records and saves each verdict.

mod attempt;

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio_util::sync::CancellationToken;

use crate::budget::Budget;
use crate::case::Case;
use crate::context::Timeouts;
use crate::inside::Inside;
use crate::placed::Placed;
use poolproof_client::machine;
use poolproof_model::target::Target;
use poolproof_model::verdict::{Outcome, Verdict};
use poolproof_records::expect::Known;
use poolproof_records::run::{CaseRecord, Record};

use attempt::attempt;

pub(crate) use crate::select::matches;
pub use crate::select::select;

/// The options of a run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The error rates of the cases.
    pub budget: Budget,
    /// The timeouts.
    pub timeouts: Timeouts,
    /// Whether to stop after the first Must case that does not pass.
    pub fail_fast: bool,
    /// The cases that are expected to fail on this stack, by id.
    pub known: BTreeMap<String, Known>,
    /// Stops the run: the current case is abandoned and its changes are undone.
    pub stop: CancellationToken,
    /// A pod that runs the cases without changes of the stack. `None` runs all cases on this machine.
    pub inside: Option<Inside>,
}

impl Options {
    /// The timeouts of a case. A slow one has the length of a slow answer on top of what every case has.
    pub(crate) fn timeouts_of(&self, case: &Case) -> Timeouts {
        let mut timeouts = self.timeouts;
        if case.is_slow() {
            timeouts.case += self.budget.rates(case).slow_answer;
        }
        timeouts
    }
}

/// The record of a finished case.
fn case_record(case: &Case, known: Option<&Known>, outcome: Outcome, took: Duration) -> CaseRecord {
    CaseRecord {
        id: case.id.to_owned(),
        requirement: case.requirement.to_owned(),
        level: case.level,
        source: case.source.to_owned(),
        took_ms: took.as_millis() as u64,
        known: known.cloned(),
        outcome: outcome.without_secrets(),
    }
}

/// An event for the observer of a run.
#[derive(Debug)]
pub enum Event<'a> {
    /// A case starts.
    Started(&'a Case),
    /// A case has ended, and is in the record.
    Ended(&'a CaseRecord, &'a Record),
}

/// Runs cases and adds their results to the record, in the order of the cases. All targets are equal stacks: each runs one case at a
/// time, so cases run in parallel without a common part. The record is saved at `path` before the first case, after each case and at the
/// end, so it survives any end of the process; until the end it is marked as interrupted. The observer is called at the start and the end
/// of each case.
pub async fn run(
    cases: &[&'static Case],
    targets: &[Arc<Target>],
    options: &Options,
    record: &mut Record,
    path: &Path,
    observe: &mut (dyn FnMut(Event<'_>) + Send),
) -> Result<()> {
    machine::watch();
    save_unfinished(record, path)?;
    let mut waiting: VecDeque<_> = cases.iter().copied().enumerate().collect();
    let mut lanes: Vec<Lane> = targets.iter().map(Lane::new).collect();
    let mut running = FuturesUnordered::new();
    let mut recorded: Vec<usize> = Vec::new();
    loop {
        while let Some(lane) = lanes.pop() {
            let Some((place, case)) = waiting.pop_front() else {
                break;
            };
            observe(Event::Started(case));
            let started = Instant::now();
            let options = options.clone();
            let ended = tokio::spawn(async move {
                let outcome = lane.run(case, &options).await;
                (lane, case, place, outcome, started.elapsed())
            });
            running.push(ended);
        }
        let Some(ended) = running.next().await else {
            break;
        };
        let (lane, case, place, outcome, took) = ended.context("running a case")?;
        let Some(outcome) = outcome else {
            record.interrupted = true;
            waiting.clear();
            continue;
        };
        lanes.push(lane);
        let ended = case_record(case, options.known.get(case.id), outcome, took);
        let judged = ended.judged();
        let before = recorded.partition_point(|other| *other < place);
        recorded.insert(before, place);
        record.cases.insert(before, ended);
        // The disk may have room again at the end, and what was measured is not lost with this attempt.
        if let Err(error) = save_unfinished(record, path) {
            tracing::error!("{error:#}");
        }
        observe(Event::Ended(&record.cases[before], record));
        let stops = judged.fails(case.level) || judged.leaves_undecided(case.level);
        if options.fail_fast && stops {
            waiting.clear();
        }
    }
    record.save(path)
}

/// Saves a record of which cases are missing. It states so, whatever ends this process: the verdicts of some cases are not that of all.
fn save_unfinished(record: &mut Record, path: &Path) -> Result<()> {
    let interrupted = std::mem::replace(&mut record.interrupted, true);
    let saved = record.save(path);
    record.interrupted = interrupted;
    saved
}

/// A stack that runs one case at a time.
struct Lane {
    target: Arc<Target>,
    ballast: Arc<Placed>,
}

impl Lane {
    fn new(target: &Arc<Target>) -> Self {
        Self {
            target: target.clone(),
            ballast: Arc::default(),
        }
    }

    async fn run(&self, case: &'static Case, options: &Options) -> Option<Outcome> {
        let inside = options.inside.as_ref();
        let inside = inside.filter(|_| !case.changes() && missing(case, &self.target).is_none());
        match inside {
            Some(inside) => inside.run_case(case, &self.target, options).await,
            None => run_after(&self.ballast, case, &self.target, options).await,
        }
    }
}

/// Runs one case. Returns `None` if the run was stopped meanwhile. An invalid measurement is repeated once, and the
/// outcome reports that. A failure is never repeated.
pub async fn run_case(
    case: &'static Case,
    target: &Arc<Target>,
    options: &Options,
) -> Option<Outcome> {
    run_after(&Arc::default(), case, target, options).await
}

/// Runs one case. Earlier cases may have left ballast.
async fn run_after(
    ballast: &Arc<Placed>,
    case: &'static Case,
    target: &Arc<Target>,
    options: &Options,
) -> Option<Outcome> {
    if let Some(reason) = missing(case, target) {
        return Some(Outcome::skip(reason));
    }
    let first = attempt(ballast, case, target, options, 0).await?;
    if first.verdict != Verdict::Invalid {
        return Some(first);
    }
    let mut second = attempt(ballast, case, target, options, 1).await?;
    second.requests += first.requests;
    Some(second.evidence(format!(
        "measured twice; the first measurement was invalid: {}",
        first.summary
    )))
}

/// The needs of a case that the target does not meet, in words; `None` if it meets all.
pub fn missing(case: &Case, target: &Target) -> Option<String> {
    let missing: Vec<&str> = case
        .needs
        .iter()
        .filter(|need| !need.is_met(target))
        .map(|need| need.describe())
        .collect();
    (!missing.is_empty()).then(|| format!("the target lacks {}", missing.join("; ")))
}

#[cfg(test)]
mod tests;
