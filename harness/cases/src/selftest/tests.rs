//! Rows of the self-test, with cases made for it.

#![allow(clippy::unwrap_used)]

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
