//! The self-test: runs cases on a stack with one flaw at a time, and checks the verdicts against the catches of the
//! suites.
//!
//! The caller starts the stacks; this module does not depend on them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use futures_util::future::LocalBoxFuture;
use poolproof_fixtures::flaw::Flaw;
use serde::Serialize;

use crate::budget::Budget;
use crate::case::{Case, Catch, Suite, catches};
use crate::context::{Settings, Timeouts};
use crate::run;
use poolproof_model::target::Target;
use poolproof_model::verdict::{Outcome, Verdict};

/// The expected verdict of a case under a flaw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Expected {
    /// It must fail.
    Fail,
    /// It may pass or fail.
    Either,
    /// It must pass or be skipped.
    Pass,
}

impl Expected {
    /// Whether a verdict is as expected.
    pub fn holds(self, verdict: Verdict) -> bool {
        match self {
            Self::Fail => verdict == Verdict::Fail,
            Self::Either => true,
            Self::Pass => matches!(verdict, Verdict::Pass | Verdict::Skip),
        }
    }
}

/// A case under a flaw, over all runs.
#[derive(Debug, Serialize)]
pub struct Cell {
    /// The id of the case.
    pub case: &'static str,
    /// The expected verdict.
    pub expected: Expected,
    /// The outcome of each run.
    pub outcomes: Vec<Outcome>,
}

impl Cell {
    /// The number of failures.
    pub fn failures(&self) -> usize {
        self.outcomes
            .iter()
            .filter(|outcome| outcome.failed())
            .count()
    }

    /// The outcomes that are not as expected.
    pub fn deviations(&self) -> impl Iterator<Item = &Outcome> {
        let deviates = |outcome: &&Outcome| !self.expected.holds(outcome.verdict);
        self.outcomes.iter().filter(deviates)
    }
}

/// One flaw, or none, and the cases that were run under it.
#[derive(Debug, Serialize)]
pub struct Row {
    /// The name of the flaw; `None` for a stack without one.
    pub flaw: Option<&'static str>,
    /// The cases, in execution order.
    pub cells: Vec<Cell>,
    /// The number of completed runs.
    pub runs: usize,
    /// The number of runs in which every case that must fail did fail.
    pub caught: usize,
    /// The duration of all runs, in milliseconds.
    pub took_ms: u64,
    /// Whether it was stopped before its last run.
    pub interrupted: bool,
}

impl Row {
    /// Whether every verdict in every run is as expected.
    pub fn holds(&self) -> bool {
        self.cells
            .iter()
            .all(|cell| cell.deviations().next().is_none())
    }
}

/// Errors in the table of catches itself, independent of verdicts. Empty if there are none.
pub fn faults_of_table(suites: &'static [Suite]) -> Vec<String> {
    let ids: BTreeSet<&str> = cases(suites).map(|case| case.id).collect();
    let mut faults = Vec::new();
    for flaw in Flaw::ALL {
        let rows = catches(suites).filter(|catch| catch.flaw == *flaw);
        match rows.count() {
            1 => {}
            count => faults.push(format!(
                "flaw {flaw} has {count} rows: must have exactly one"
            )),
        }
    }
    for catch in catches(suites) {
        let flaw = catch.flaw;
        if catch.must_fail.is_empty() {
            faults.push(format!("no case must fail under {flaw}"));
        }
        let unknown_id = |id: &&&str| !ids.contains(**id);
        let unknown_selector = |selector: &&&str| !ids.iter().any(|id| run::matches(selector, id));
        let must = catch.must_fail.iter().filter(unknown_id);
        let may = catch.may_fail.iter().filter(unknown_selector);
        for id in must.chain(may) {
            faults.push(format!("row {flaw}: there is no case {id}"));
        }
    }
    for id in ids {
        if !catches(suites).any(|catch| catch.must_fail.contains(&id)) {
            faults.push(format!("there is no flaw under which {id} must fail"));
        }
    }
    faults
}

/// A stack on which a self-test runs cases.
pub struct Started {
    /// The target.
    pub target: Target,
    /// Stops the stack.
    pub stop: LocalBoxFuture<'static, ()>,
}

/// Starts a stack with this flaw, or none, and this seed. Dropping the future cleans up an unfinished start.
pub type Start<'a, E> =
    &'a dyn Fn(Option<Flaw>, u64) -> LocalBoxFuture<'static, Result<Started, E>>;

/// The options of a self-test.
pub struct Options {
    /// The options of runs. The self-test sets its own timeouts, and increments the seed with each run.
    pub run: run::Options,
    /// The number of runs per flaw.
    pub repeat: u64,
    /// Whether to run all cases under each flaw, not only those that must fail.
    pub full: bool,
    /// Whether to run slow cases as well. A flaw that only slow cases catch is always tested with them.
    pub slow: bool,
}

/// Runs the cases of a flaw, or all cases on a stack without one. `watch` is called at the start of each case.
pub async fn row<E>(
    suites: &'static [Suite],
    catch: Option<&Catch>,
    options: &Options,
    start: Start<'_, E>,
    watch: &mut (dyn FnMut(&Case) + Send),
) -> Result<Row, E> {
    let started = Instant::now();
    let flaw = catch.map(|catch| catch.flaw);
    let mut row = Row {
        flaw: flaw.map(|flaw| flaw.name()),
        cells: cells(suites, catch, options),
        runs: 0,
        caught: 0,
        took_ms: 0,
        interrupted: false,
    };
    for number in 0..options.repeat {
        let before = options.run.budget.settings();
        let settings = Settings {
            seed: before.seed + number,
            ..*before
        };
        let run = run::Options {
            budget: Budget::new(suites, settings),
            timeouts: Timeouts::embedded(),
            ..options.run.clone()
        };
        let stack = tokio::select! {
            started = start(flaw, settings.seed) => Some(started?),
            () = run.stop.cancelled() => None,
        };
        row.interrupted = match stack {
            Some(stack) => !once(suites, stack, &run, &mut row.cells, watch).await,
            None => true,
        };
        if row.interrupted {
            break;
        }
        row.runs += 1;
        let caught = |cell: &Cell| {
            cell.expected != Expected::Fail || cell.outcomes.last().is_some_and(Outcome::failed)
        };
        row.caught += usize::from(row.cells.iter().all(caught));
    }
    row.took_ms = started.elapsed().as_millis() as u64;
    Ok(row)
}

/// Runs the cases once, and stops the stack. Returns whether all cases have ended.
async fn once(
    suites: &'static [Suite],
    stack: Started,
    options: &run::Options,
    cells: &mut [Cell],
    watch: &mut (dyn FnMut(&Case) + Send),
) -> bool {
    let target = Arc::new(stack.target);
    let mut ended = true;
    for cell in cells {
        let Some(case) = cases(suites).find(|case| case.id == cell.case) else {
            continue;
        };
        watch(case);
        match run::run_case(case, &target, options).await {
            Some(outcome) => cell.outcomes.push(outcome),
            None => {
                ended = false;
                break;
            }
        }
    }
    stack.stop.await;
    ended
}

fn cells(suites: &'static [Suite], catch: Option<&Catch>, options: &Options) -> Vec<Cell> {
    let expected = |id: &str| match catch {
        Some(catch) if catch.must_fail.contains(&id) => Expected::Fail,
        Some(catch)
            if catch
                .may_fail
                .iter()
                .any(|selector| run::matches(selector, id)) =>
        {
            Expected::Either
        }
        _ => Expected::Pass,
    };
    let is_about_slow = catch.is_some_and(|catch| catch.is_slow(suites));
    let is_run = |case: &&Case| {
        let must_fail = expected(case.id) == Expected::Fail;
        let has_time = !case.is_slow() || options.slow || is_about_slow && must_fail;
        has_time && (options.full || catch.is_none() || must_fail)
    };
    let run = cases(suites).filter(is_run).map(|case| Cell {
        case: case.id,
        expected: expected(case.id),
        outcomes: Vec::new(),
    });
    run.collect()
}

fn cases(suites: &'static [Suite]) -> impl Iterator<Item = &'static Case> {
    suites.iter().flat_map(|suite| suite.cases)
}

#[cfg(test)]
mod tests;
