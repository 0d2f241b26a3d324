//! A run: selects cases, turns what the target lacks into skips, runs the rest one by one, and records each verdict.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, bail};
use futures_util::FutureExt;
use tokio_util::sync::CancellationToken;

use crate::case::{Case, Suite};
use crate::context::{Context, Settings, Timeouts};
use crate::expect;
use crate::inside::Inside;
use crate::records::run::{CaseRecord, Record};
use crate::target::Target;
use crate::verdict::{Findings, Outcome, Verdict};

/// What a run is made with.
#[derive(Clone, Debug)]
pub struct Options {
    /// What the user set about how cases judge.
    pub settings: Settings,
    /// The longest waits.
    pub timeouts: Timeouts,
    /// Whether the first Must case that does not pass ends the run.
    pub fail_fast: bool,
    /// Ends the run: the case that runs is abandoned, what it changed is undone.
    pub stop: CancellationToken,
    /// A pod that runs the cases that change nothing of the stack; `None`: all are run from here.
    pub inside: Option<Inside>,
}

/// The cases that the selectors name, in the order of the suites: a suite, a case id, or the start of ids and `*`.
pub fn select(suites: &'static [Suite], selectors: &[String]) -> Result<Vec<&'static Case>> {
    let all = || suites.iter().flat_map(|suite| suite.cases);
    for selector in selectors {
        if !all().any(|case| matches(selector, case.id)) {
            let ids: Vec<&str> = suites.iter().map(|suite| suite.id).collect();
            bail!(
                "selector {selector:?} matches no case; suites are {}, `poolproof list` names the cases",
                ids.join(", ")
            );
        }
    }
    let selected = |case: &&Case| {
        selectors.is_empty() || selectors.iter().any(|selector| matches(selector, case.id))
    };
    Ok(all().filter(selected).collect())
}

/// The record of a case that ended.
fn recorded(case: &Case, outcome: Outcome, took_ms: u64) -> CaseRecord {
    CaseRecord {
        id: case.id.to_owned(),
        requirement: case.requirement.to_owned(),
        level: case.level,
        source: case.source.to_owned(),
        took_ms,
        outcome,
    }
}

/// Whether a selector names a case.
pub(crate) fn matches(selector: &str, id: &str) -> bool {
    let rest = id.strip_prefix(selector.trim_end_matches(['*', '/']));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || selector.ends_with('*'))
}

/// What the observer of a run hears of.
#[derive(Debug)]
pub enum Event<'a> {
    /// A case starts.
    Started(&'a Case),
    /// A case ended; it stands last in the record.
    Ended(&'a Record),
}

/// Runs cases against a target and adds their results to the record. The observer hears of each start and each end.
pub async fn run(
    cases: &[&'static Case],
    target: &Arc<Target>,
    options: &Options,
    record: &mut Record,
    observe: &mut (dyn FnMut(Event<'_>) -> Result<()> + Send),
) -> Result<()> {
    for case in cases {
        observe(Event::Started(case))?;
        let started = Instant::now();
        let inside = options.inside.as_ref();
        let inside = inside.filter(|_| !case.changes() && missing(case, target).is_none());
        let ended = match inside {
            Some(inside) => inside.run_case(case, target, options).await,
            None => run_case(case, target, options).await,
        };
        let Some(outcome) = ended else {
            record.interrupted = true;
            return Ok(());
        };
        let took_ms = started.elapsed().as_millis() as u64;
        let verdict = outcome.verdict;
        record.cases.push(recorded(case, outcome, took_ms));
        observe(Event::Ended(record))?;
        let passed = matches!(verdict, Verdict::Pass | Verdict::Skip);
        if options.fail_fast && !passed && case.level == crate::case::Level::Must {
            return Ok(());
        }
    }
    Ok(())
}

/// Runs one case; `None` if the run was ended meanwhile. A measurement that is not to be trusted is made once more, and the
/// outcome says so; a failure is never measured again.
pub async fn run_case(
    case: &'static Case,
    target: &Arc<Target>,
    options: &Options,
) -> Option<Outcome> {
    if let Some(reason) = missing(case, target) {
        return Some(Outcome::skip(reason));
    }
    let first = attempt(case, target, options, 0).await?;
    if first.verdict != Verdict::Invalid {
        return Some(first);
    }
    let mut second = attempt(case, target, options, 1).await?;
    second.requests += first.requests;
    Some(second.evidence(format!(
        "measured twice; the first measurement was invalid: {}",
        first.summary
    )))
}

/// Runs one case once. What it changed is undone before this returns.
async fn attempt(
    case: &'static Case,
    target: &Arc<Target>,
    options: &Options,
    number: u8,
) -> Option<Outcome> {
    let (timeouts, settings) = (options.timeouts, options.settings);
    let context = match Context::new(target.clone(), timeouts, settings, case.id, number) {
        Ok(context) => context,
        Err(error) => return Some(Outcome::error(&error)),
    };
    let guarded = AssertUnwindSafe((case.run)(&context)).catch_unwind();
    let outcome = tokio::select! {
        ended = tokio::time::timeout(timeouts.case, guarded) => Some(match ended {
            Ok(Ok(Ok(outcome))) => outcome,
            Ok(Ok(Err(error))) => Outcome::error(&error),
            Ok(Err(panic)) => Outcome::error(&anyhow::anyhow!("the case panicked: {}", text(&*panic))),
            Err(_) => out_of_time(case, &context),
        }),
        () = options.stop.cancelled() => None,
    };
    let failed = context.undo_all().await;
    let mut outcome = outcome?;
    outcome.requests = context.sent();
    Some(failed.into_iter().fold(outcome, |outcome, line| {
        outcome.evidence(format!("could not be undone: {line}"))
    }))
}

/// What a case that ran out of time says: it failed if that was because requests were not answered.
fn out_of_time(case: &Case, context: &Context) -> Outcome {
    let unanswered = context.unanswered();
    if unanswered == 0 {
        return Outcome::inconclusive(undecided(case, context));
    }
    let mut findings = Findings::default();
    findings.add(expect::that(
        false,
        "every request that is not made to wait",
        format!("an answer within {:?}", context.timeouts.request),
        format!("none to {unanswered} of {}", context.sent()),
    ));
    findings.outcome("")
}

/// What a case that ran out of time lacks for a decision.
fn undecided(case: &Case, context: &Context) -> String {
    let sent = context.sent();
    let effort = (case.plan)(&context.target, &context.settings);
    let left = match effort.map(|effort| effort.requests_max.saturating_sub(sent)) {
        Ok(left) if left > 0 => format!(", {left} more at most would decide"),
        _ => String::new(),
    };
    format!(
        "{sent} requests were sent in {:?}{left}; --case-timeout gives it more time",
        context.timeouts.case
    )
}

/// Why a case cannot be run on this target, if it cannot.
pub fn missing(case: &Case, target: &Target) -> Option<String> {
    let missing: Vec<&str> = case
        .needs
        .iter()
        .filter(|need| !need.is_met(target))
        .map(|need| need.describe())
        .collect();
    (!missing.is_empty()).then(|| format!("the target lacks {}", missing.join("; ")))
}

fn text(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("for a reason that is no text")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::case::{Level, Need};
    use crate::client::{Api, Connections, Request};
    use crate::records::run::tests::record;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    static UNDONE: AtomicU32 = AtomicU32::new(0);
    static MEASURED: AtomicU32 = AtomicU32::new(0);

    const fn case(
        id: &'static str,
        needs: &'static [Need],
        run: for<'a> fn(&'a Context) -> futures_util::future::BoxFuture<'a, Result<Outcome>>,
    ) -> Case {
        Case {
            id,
            requirement: "r",
            level: Level::Must,
            source: "s",
            needs,
            plan: |_, _| Ok(crate::effort::Effort::requests(40)),
            run,
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
            case("a/needs", &[Need::Canary], |_| {
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
        ],
    }];

    fn options() -> Options {
        Options {
            settings: Settings::default(),
            timeouts: Timeouts::default(),
            fail_fast: false,
            stop: CancellationToken::new(),
            inside: None,
        }
    }

    #[test]
    fn selectors_name_suites_cases_and_starts() {
        let ids = |selector: &str| -> Vec<&str> {
            let selected = select(SUITES, &[selector.to_owned()]).unwrap();
            selected.iter().map(|case| case.id).collect()
        };
        assert_eq!(ids("a").len(), 6);
        assert_eq!(ids("a/"), ids("a"));
        assert_eq!(ids("a/passes"), ["a/passes"]);
        assert_eq!(ids("a/passes*"), ["a/passes", "a/passes-too"]);
        let message = select(SUITES, &["b".to_owned()]).unwrap_err().to_string();
        assert!(
            message.contains("\"b\"") && message.contains("poolproof list"),
            "{message}"
        );
    }

    #[tokio::test]
    async fn panics_are_errors_lacks_are_skips_and_changes_are_undone() {
        let mut record = record(&[]);
        let target = Arc::new(record.target.clone());
        let cases = &select(SUITES, &[]).unwrap()[..3];
        run(cases, &target, &options(), &mut record, &mut |_| Ok(()))
            .await
            .unwrap();
        let verdicts: Vec<Verdict> = record.cases.iter().map(|c| c.outcome.verdict).collect();
        assert_eq!(verdicts, [Verdict::Pass, Verdict::Error, Verdict::Skip]);
        assert!(record.cases[1].outcome.summary.contains("oh"));
        assert_eq!(UNDONE.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn an_invalid_measurement_is_made_once_more_and_shown() {
        let target = Arc::new(record(&[]).target);
        let outcome = async |id: &str| {
            let case = select(SUITES, &[id.to_owned()]).unwrap()[0];
            run_case(case, &target, &options()).await.unwrap()
        };
        let settled = outcome("a/settles").await;
        assert_eq!(settled.verdict, Verdict::Pass);
        assert!(settled.evidence[0].contains("a busy machine"));
        assert_eq!(outcome("a/stays-invalid").await.verdict, Verdict::Invalid);
    }

    #[tokio::test]
    async fn a_case_that_runs_out_of_time_says_what_would_decide() {
        let target = Arc::new(record(&[]).target);
        let mut options = options();
        options.timeouts.case = std::time::Duration::ZERO;
        let endless = select(SUITES, &["a/passes-too".to_owned()]).unwrap()[0];
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
    async fn a_case_that_ran_out_of_time_because_nobody_answered_has_failed() {
        // It takes connections and never answers.
        let silent = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await;
        let address = silent.as_ref().unwrap().local_addr().unwrap();
        let mut target = record(&[]).target;
        target.url = format!("http://{address}/").parse().unwrap();
        let timeouts = Timeouts {
            request: Duration::from_millis(2),
            ..Timeouts::default()
        };
        let case = select(SUITES, &["a/passes".to_owned()]).unwrap()[0];
        let context = Context::new(target.into(), timeouts, Settings::default(), case.id, 0);
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
    async fn a_stop_ends_the_case_and_leaves_the_record() {
        let mut record = record(&[]);
        let target = Arc::new(record.target.clone());
        let options = options();
        let cases = [
            select(SUITES, &[]).unwrap()[0],
            select(SUITES, &[]).unwrap()[3],
        ];
        let stop = options.stop.clone();
        let mut observe = |event: Event<'_>| {
            if let Event::Started(case) = event
                && case.id == "a/passes-too"
            {
                stop.cancel();
            }
            Ok(())
        };
        run(&cases, &target, &options, &mut record, &mut observe)
            .await
            .unwrap();
        assert!(record.interrupted);
        assert_eq!(record.cases.len(), 1);
    }
}
