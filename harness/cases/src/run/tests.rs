//! Runs of cases made for it, on a target without a gateway.

#![allow(clippy::unwrap_used)]

use super::attempt::out_of_time;
use super::*;
use crate::case::Suite;
use crate::context::{Context, Settings};
use crate::need::{Canary, Find, Need};
use poolproof_client::{Api, Connections, Request};
use poolproof_records::samples::record;
use std::sync::atomic::{AtomicU32, Ordering};

static UNDONE: AtomicU32 = AtomicU32::new(0);
static NEXT: tokio::sync::Notify = tokio::sync::Notify::const_new();
static MEASURED: AtomicU32 = AtomicU32::new(0);

const fn case(
    id: &'static str,
    needs: &'static [Need],
    run: for<'a> fn(&'a Context) -> futures_util::future::BoxFuture<'a, Result<Outcome>>,
) -> Case {
    Case {
        needs,
        plan: |_, _| Ok(crate::effort::Effort::requests(40)),
        run,
        ..Case::plain(id)
    }
}

static SUITES: &[Suite] = &[Suite {
    id: "a",
    promise: "p",
    cases: &[
        case("a/passes", &[], |_| {
            Box::pin(async { Ok(Outcome::pass("")) })
        }),
        case("a/panics", &[], |ctx| {
            Box::pin(async {
                ctx.undo("it", async {
                    UNDONE.fetch_add(1, Ordering::SeqCst);
                    Ok(())
                });
                panic!("oh")
            })
        }),
        case("a/needs", &[Canary::NEED], |_| {
            Box::pin(async { Ok(Outcome::pass("")) })
        }),
        case("a/passes-too", &[], |_| Box::pin(std::future::pending())),
        case("a/settles", &[], |_| {
            Box::pin(async {
                Ok(match MEASURED.fetch_add(1, Ordering::SeqCst) {
                    0 => Outcome::invalid("a busy machine"),
                    _ => Outcome::pass("fine"),
                })
            })
        }),
        case("a/stays-invalid", &[], |_| {
            Box::pin(async { Ok(Outcome::invalid("always")) })
        }),
        case("a/waits-for-the-next", &[], |_| {
            Box::pin(async {
                NEXT.notified().await;
                Ok(Outcome::pass(""))
            })
        }),
        case("a/is-the-next", &[], |_| {
            Box::pin(async {
                NEXT.notify_one();
                Ok(Outcome::pass(""))
            })
        }),
        case("a/finds", &[], |ctx| {
            Box::pin(async {
                let model = Canary::find(&ctx.target).context("at the start")?;
                Ok(Outcome::pass(model.name.clone()))
            })
        }),
    ],
    catches: &[],
}];

fn options() -> Options {
    Options {
        budget: Budget::new(SUITES, Settings::default()),
        timeouts: Timeouts::default(),
        fail_fast: false,
        known: BTreeMap::new(),
        stop: CancellationToken::new(),
        inside: None,
    }
}

#[tokio::test]
async fn panics_are_errors_unmet_needs_are_skips_and_changes_are_undone() {
    let mut record = record(&[]);
    let target = Arc::new(record.target.clone());
    let cases = &select(SUITES, &[], false).unwrap()[..3];
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("run.json");
    let target = [target];
    run(cases, &target, &options(), &mut record, &path, &mut |_| {})
        .await
        .unwrap();
    assert_eq!(Record::read(&path).unwrap().cases.len(), 3);
    let verdicts: Vec<Verdict> = record.cases.iter().map(|c| c.outcome.verdict).collect();
    assert_eq!(verdicts, [Verdict::Pass, Verdict::Error, Verdict::Skip]);
    assert!(record.cases[1].outcome.summary.contains("oh"));
    assert_eq!(UNDONE.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn two_stacks_run_two_cases_at_a_time_and_the_record_keeps_their_order() {
    let mut record = record(&[]);
    let target = Arc::new(record.target.clone());
    let ids = ["a/waits-for-the-next", "a/is-the-next", "a/passes"];
    let cases = ids.map(|id| select(SUITES, &[id.to_owned()], false).unwrap()[0]);
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("run.json");
    let targets = [target.clone(), target];
    let mut ended = Vec::new();
    let mut observe = |event: Event<'_>| {
        if let Event::Ended(case, _) = event {
            ended.push(case.id.clone());
        }
    };
    let options = options();
    let run = run(&cases, &targets, &options, &mut record, &path, &mut observe);
    tokio::time::timeout(Duration::from_secs(10), run)
        .await
        .unwrap()
        .unwrap();
    let saved = Record::read(&path).unwrap();
    let recorded: Vec<&str> = saved.cases.iter().map(|case| case.id.as_str()).collect();
    assert_eq!(recorded, ids);
    ended.sort_unstable();
    assert_eq!(ended, ["a/is-the-next", "a/passes", "a/waits-for-the-next"]);
}

#[tokio::test]
async fn a_case_with_an_unmet_need_is_skipped_with_the_reason() {
    let mut target = record(&[]).target;
    target.models.truncate(1);
    let case = select(SUITES, &["a/finds".to_owned()], false).unwrap()[0];
    let outcome = run_case(case, &Arc::new(target), &options()).await.unwrap();
    assert_eq!(outcome.verdict, Verdict::Skip);
    assert!(
        outcome.summary.contains(Canary::WHAT),
        "{}",
        outcome.summary
    );
}

#[tokio::test]
async fn an_invalid_measurement_is_repeated_once_and_reported() {
    let target = Arc::new(record(&[]).target);
    let outcome = async |id: &str| {
        let case = select(SUITES, &[id.to_owned()], false).unwrap()[0];
        run_case(case, &target, &options()).await.unwrap()
    };
    let settled = outcome("a/settles").await;
    assert_eq!(settled.verdict, Verdict::Pass);
    assert!(settled.evidence[0].contains("a busy machine"));
    assert_eq!(outcome("a/stays-invalid").await.verdict, Verdict::Invalid);
}

#[tokio::test]
async fn a_case_that_runs_out_of_time_reports_what_would_decide() {
    let target = Arc::new(record(&[]).target);
    let mut options = options();
    options.timeouts.case = std::time::Duration::ZERO;
    let endless = select(SUITES, &["a/passes-too".to_owned()], false).unwrap()[0];
    let outcome = run_case(endless, &target, &options).await.unwrap();
    assert_eq!(outcome.verdict, Verdict::Inconclusive);
    let summary = outcome.summary;
    assert!(
        summary.contains("0 requests")
            && summary.contains("40 more")
            && summary.contains("--case-timeout"),
        "{summary}"
    );
}

#[tokio::test]
async fn a_case_that_ran_out_of_time_without_responses_has_failed() {
    // Accepts connections and never answers.
    let silent = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await;
    let address = silent.as_ref().unwrap().local_addr().unwrap();
    let mut target = record(&[]).target;
    target.url = format!("http://{address}/").parse().unwrap();
    let timeouts = Timeouts {
        request: Duration::from_millis(2),
        ..Timeouts::default()
    };
    let case = select(SUITES, &["a/passes".to_owned()], false).unwrap()[0];
    let rates = options().budget.rates(case);
    let context = Context::new(target.into(), timeouts, 1, rates, case.id, 0);
    let context = context.unwrap();
    let client = context.client(Connections::KeepAlive).unwrap();
    for (given, verdict) in [
        (timeouts.request / 2, Verdict::Inconclusive),
        (timeouts.request, Verdict::Fail),
    ] {
        let request = Request::new(Api::Completions, "m", 1, &mut rand::rng());
        client.send(request.timeout(given)).await;
        assert_eq!(out_of_time(case, &context).verdict, verdict);
    }
    let summary = out_of_time(case, &context).summary;
    assert!(summary.contains("none to 1 of 2"), "{summary}");
}

#[tokio::test]
async fn a_record_is_marked_as_interrupted_until_its_last_case_has_ended() {
    let mut record = record(&[]);
    let target = [Arc::new(record.target.clone())];
    let cases = [select(SUITES, &["a/passes".to_owned()], false).unwrap()[0]; 2];
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("run.json");
    let mut seen = Vec::new();
    let mut observe = |_: Event<'_>| {
        let saved = Record::read(&path).unwrap();
        seen.push((saved.cases.len(), saved.interrupted));
    };
    run(
        &cases,
        &target,
        &options(),
        &mut record,
        &path,
        &mut observe,
    )
    .await
    .unwrap();
    assert_eq!(seen, [(0, true), (1, true), (1, true), (2, true)]);
    let saved = Record::read(&path).unwrap();
    assert!(!saved.interrupted && saved.digest.is_some());
}

#[tokio::test]
async fn a_stop_ends_the_case_and_leaves_the_record() {
    let mut record = record(&[]);
    let target = [Arc::new(record.target.clone())];
    let options = options();
    let cases = [
        select(SUITES, &[], false).unwrap()[0],
        select(SUITES, &[], false).unwrap()[3],
    ];
    let stop = options.stop.clone();
    let mut observe = |event: Event<'_>| {
        if let Event::Started(case) = event
            && case.id == "a/passes-too"
        {
            stop.cancel();
        }
    };
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("run.json");
    run(&cases, &target, &options, &mut record, &path, &mut observe)
        .await
        .unwrap();
    let saved = Record::read(&path).unwrap();
    assert!(saved.interrupted);
    assert_eq!(saved.cases.len(), 1);
}
