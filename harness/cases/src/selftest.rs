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
#[allow(clippy::unwrap_used)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use futures_util::FutureExt;

    use super::*;
    use crate::need::Need;
    use poolproof_model::topology::Topology;

    static SUITES: &[Suite] = &[Suite {
        id: "a",
        promise: "p",
        cases: &[
            Case::plain("a/caught"),
            Case::plain("a/never"),
            Case {
                needs: &[Need::time()],
                ..Case::plain("a/slow")
            },
        ],
        catches: &[],
    }];

    #[test]
    fn gaps_in_the_table_are_reported() {
        let catch = |flaw, must_fail, may_fail| Catch {
            flaw,
            must_fail,
            may_fail,
        };
        let mut rows: Vec<Catch> = Flaw::ALL[2..]
            .iter()
            .map(|flaw| catch(*flaw, &["a/caught"], &[]))
            .collect();
        rows.push(catch(Flaw::ALL[1], &[], &["a", "a/caught", "a/other"]));
        let suite = Suite {
            catches: rows.leak(),
            ..SUITES[0]
        };
        let faults = faults_of_table(vec![suite].leak());
        let (first, second) = (Flaw::ALL[0], Flaw::ALL[1]);
        assert_eq!(
            faults,
            [
                format!("flaw {first} has 0 rows: must have exactly one"),
                format!("no case must fail under {second}"),
                format!("row {second}: there is no case a/other"),
                "there is no flaw under which a/never must fail".to_owned(),
                "there is no flaw under which a/slow must fail".to_owned(),
            ]
        );
    }

    fn options(repeat: u64) -> Options {
        Options {
            run: run::Options {
                budget: Budget::new(SUITES, Settings::default()),
                timeouts: Timeouts::default(),
                fail_fast: false,
                known: Default::default(),
                stop: Default::default(),
                inside: None,
            },
            repeat,
            full: true,
            slow: false,
        }
    }

    #[tokio::test]
    async fn each_run_of_a_row_has_a_stack_of_its_own_that_is_stopped() {
        let events = Rc::new(RefCell::new(Vec::new()));
        let log = events.clone();
        let start = move |flaw: Option<Flaw>, seed| {
            let log = log.clone();
            log.borrow_mut().push(format!("start {flaw:?} {seed}"));
            let stop = async move { log.borrow_mut().push("stop".to_owned()) };
            let target = Target::planned(&Topology::default());
            let started = target.map(|target| Started {
                target,
                stop: stop.boxed_local(),
            });
            async { started }.boxed_local()
        };
        let row = row(SUITES, None, &options(2), &start, &mut |_| {}).await;
        let row = row.unwrap();
        assert_eq!((row.runs, row.interrupted), (2, false));
        assert!(row.cells.iter().all(|cell| cell.outcomes.len() == 2));
        let events = events.borrow();
        assert_eq!(*events, ["start None 1", "stop", "start None 2", "stop"]);
    }

    #[tokio::test]
    async fn a_stack_that_does_not_start_is_an_error_of_the_row() {
        let start = |_, _| async { Err("no stack") }.boxed_local();
        let row = row(SUITES, None, &options(1), &start, &mut |_| {}).await;
        assert_eq!(row.err(), Some("no stack"));
    }

    #[test]
    fn only_a_failure_catches_a_flaw_and_only_a_pass_or_a_skip_is_clean() {
        for (expected, fine) in [
            (Expected::Fail, vec![Verdict::Fail]),
            (Expected::Pass, vec![Verdict::Pass, Verdict::Skip]),
        ] {
            for verdict in Verdict::ALL {
                assert_eq!(expected.holds(verdict), fine.contains(&verdict));
            }
        }
    }

    /// The cases of a row.
    fn ids(catch: Option<&Catch>, full: bool, slow: bool) -> Vec<&'static str> {
        let options = Options {
            full,
            slow,
            ..options(1)
        };
        let cells = cells(SUITES, catch, &options);
        cells.iter().map(|cell| cell.case).collect()
    }

    #[test]
    fn a_slow_case_is_in_a_row_on_demand_or_if_only_slow_ones_must_fail() {
        let fast = Catch::new(Flaw::Random, &["a/caught"], &[]);
        let slow = Catch::new(Flaw::Random, &["a/slow"], &[]);
        assert!(!fast.is_slow(SUITES) && slow.is_slow(SUITES));
        assert_eq!(ids(Some(&slow), false, false), ["a/slow"]);
        assert_eq!(
            ids(Some(&fast), true, true),
            ["a/caught", "a/never", "a/slow"]
        );
        assert_eq!(ids(None, false, true).len(), 3);
    }

    #[test]
    fn a_quick_row_has_the_cases_that_must_fail_and_a_row_without_flaw_has_all() {
        let catch = Catch::new(Flaw::Random, &["a/caught"], &[]);
        assert_eq!(ids(Some(&catch), false, false), ["a/caught"]);
        assert_eq!(ids(Some(&catch), true, false), ["a/caught", "a/never"]);
        assert_eq!(ids(None, false, false), ["a/caught", "a/never"]);
    }
}
