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
        outcome,
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
/// time, so cases run in parallel without a common part. The record is saved at `path` after each case and at the end, so it survives
/// any end of the process. The observer is called at the start and the end of each case.
pub async fn run(
    cases: &[&'static Case],
    targets: &[Arc<Target>],
    options: &Options,
    record: &mut Record,
    path: &Path,
    observe: &mut (dyn FnMut(Event<'_>) + Send),
) -> Result<()> {
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
        record.save(path)?;
        observe(Event::Ended(&record.cases[before], record));
        let stops = judged.fails(case.level) || judged.leaves_undecided(case.level);
        if options.fail_fast && stops {
            waiting.clear();
        }
    }
    record.save(path)
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
#[allow(clippy::unwrap_used)]
mod tests {
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
}
