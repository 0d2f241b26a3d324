//! A sample: requests of all kinds for one model on an idle stack, with a fixed number in flight, and who served them.

use anyhow::Result;
use poolproof_cases::context::Context;
use poolproof_cases::expect;
use poolproof_client::evidence::cross_check::{
    Agreement, Answers, CrossCheck, Disagreement, Kind as Cause,
};
use poolproof_client::evidence::served;
use poolproof_client::{Client, Exchange, drive};
use poolproof_model::target::{Model, Pool};
use poolproof_model::verdict::{Findings, Outcome};
use poolproof_stats::sequential::{Progress, Sequential};
use rand_chacha::ChaCha8Rng;

use crate::mix::{KIND_SHARE, Kind, Kinds, Mix, requests_for};

/// Requests after which the clock is looked at.
const BATCH: u64 = 64;

/// A share of a sample that is judged: that of the answers by some endpoints.
#[derive(Clone, Debug)]
pub(crate) struct ShareTest<'a> {
    /// What it is the share of.
    pub(crate) of: String,
    /// The names of the endpoints.
    pub(crate) endpoints: Vec<&'a str>,
    /// The kind of request that it is about; `None`: all.
    pub(crate) kind: Option<Kind>,
    /// The test.
    pub(crate) test: Sequential,
}

impl ShareTest<'_> {
    /// The test, and its part of a sample of all kinds.
    pub(crate) fn of_sample(&self) -> (&Sequential, f64) {
        let part = match self.kind {
            Some(_) => KIND_SHARE,
            None => 1.0,
        };
        (&self.test, part)
    }

    fn progress(&self, exchanges: &[Exchange], kinds: &Kinds) -> Progress {
        let own = exchanges.iter().filter(|it| kinds.is(it, self.kind));
        let served = own.filter_map(served::endpoint_of);
        self.test
            .progress(served.map(|name| self.endpoints.contains(&name)))
    }
}

/// A sample that grows until it is judged.
pub(crate) struct Sample<'a> {
    ctx: &'a Context,
    client: &'a Client,
    model: &'a Model,
    in_flight: usize,
    rng: ChaCha8Rng,
    mix: Mix,
    kinds: Kinds,
    check: CrossCheck<'a>,
    /// The requests that were still to be sent when the time was over.
    missing: u64,
    /// The first exchange that tests look at.
    judged_from: usize,
    /// All exchanges, in the order in which they were sent.
    pub(crate) exchanges: Vec<Exchange>,
}

impl<'a> Sample<'a> {
    /// An empty sample of requests for a model, `in_flight` at a time.
    pub(crate) async fn start(
        ctx: &'a Context,
        client: &'a Client,
        model: &'a Model,
        in_flight: usize,
    ) -> Result<Self> {
        Ok(Self {
            ctx,
            client,
            model,
            in_flight,
            rng: ctx.rng("prompts"),
            mix: Mix::default(),
            kinds: Kinds::default(),
            check: CrossCheck::start(&ctx.http, model.pools.iter()).await?,
            missing: 0,
            judged_from: 0,
            exchanges: Vec::new(),
        })
    }

    /// Sends `n` more requests, or as many as time allows, and waits for their answers.
    pub(crate) async fn more(&mut self, n: u64) {
        self.missing = n;
        while self.missing > 0 && !self.ctx.is_late() {
            let batch = self.missing.min(BATCH);
            let kinds: Vec<Kind> = (0..batch).map(|_| self.mix.kind(&mut self.rng)).collect();
            let requests = kinds.iter().copied().map(|kind: Kind| {
                let request = kind.request(&self.model.name, 1, &mut self.rng);
                request.timeout(self.ctx.timeouts.request)
            });
            let exchanges = drive::closed_loop(self.client, self.in_flight, requests).await;
            for (exchange, kind) in exchanges.iter().zip(kinds) {
                self.kinds.keep(exchange, kind);
            }
            self.exchanges.extend(exchanges);
            self.missing -= batch;
        }
    }

    /// Leaves what was sent so far out of what tests look at.
    pub(crate) fn judge_from_here(&mut self) {
        self.judged_from = self.exchanges.len();
    }

    /// What tests look at.
    pub(crate) fn judged(&self) -> &[Exchange] {
        &self.exchanges[self.judged_from..]
    }

    /// Sends requests until all tests have ended, and adds what they say. A request that is not answered ends the sample: it is a
    /// failure whatever the shares are.
    pub(crate) async fn settle(&mut self, tests: &[ShareTest<'_>], findings: &mut Findings) {
        loop {
            let missing = tests.iter().map(|it| match self.progress(it) {
                Progress::Open { missing } => requests_for(it.kind, missing),
                Progress::Ended { .. } => 0,
            });
            let missing = missing.max().unwrap_or(0);
            if missing == 0 || !self.exchanges.iter().all(Exchange::is_success) {
                break;
            }
            self.more(missing).await;
            if self.missing > 0 {
                let most = tests
                    .iter()
                    .map(|it| requests_for(it.kind, it.test.n_max()));
                let most = most.max().unwrap_or(0);
                self.missing = most.saturating_sub(self.judged().len() as u64);
                break;
            }
        }
        for it in tests {
            if let Progress::Ended { look, hits } = self.progress(it) {
                findings.add_statistic(it.test.decide(it.of.as_str(), look, hits));
            }
        }
    }

    fn progress(&self, test: &ShareTest<'_>) -> Progress {
        test.progress(self.judged(), &self.kinds)
    }

    /// The outcome: every request has to be answered with 200, and run once.
    pub(crate) async fn conclude(self, mut findings: Findings, summary: String) -> Result<Outcome> {
        for exchange in &self.exchanges {
            findings.add(expect::success("every request of the sample", exchange));
        }
        let answers = Answers::of(self.exchanges.iter());
        let timeout = self.ctx.timeouts.counters;
        let agreement = self.check.finish(&self.ctx.http, &answers, timeout);
        let more = (self.missing > 0).then(|| {
            format!(
                "{} requests were answered in {:?}, {} more at most would decide; --case-timeout gives it more time",
                self.exchanges.len(),
                self.ctx.timeouts.case,
                self.missing
            )
        });
        let all_answered = self.exchanges.iter().all(Exchange::is_success);
        let agreement = agreement.await?;
        Ok(outcome(findings, summary, agreement, all_answered, more))
    }
}

/// What follows from the findings of a sample and the counters. `more`: why the sample is too small, if it is.
fn outcome(
    mut findings: Findings,
    summary: String,
    agreement: Agreement,
    all_answered: bool,
    more: Option<String>,
) -> Outcome {
    match agreement {
        Agreement::Agrees(agreed) => findings.note(agreed.sources),
        Agreement::Explained(found) => {
            for Disagreement { kind, mismatch } in found {
                match kind {
                    // About who was asked, not about who served: routing/known-model fails for it.
                    Cause::AnotherPicker | Cause::PickNotFollowed => findings.note(format!(
                        "answers and endpoint pickers differ, judged by answers: {mismatch}"
                    )),
                    Cause::PickUnused | Cause::RanTwice | Cause::ServedByNobody => {
                        findings.add(Err(mismatch));
                    }
                }
            }
        }
        // An answer that was cut off may not name who served it.
        Agreement::Doubtful(doubt) if !all_answered => findings.note(doubt),
        Agreement::Doubtful(doubt) => return Outcome::invalid(doubt),
    }
    match more {
        Some(more) if !findings.failed() => Outcome::inconclusive(more),
        _ => findings.outcome(summary),
    }
}

/// Whether a pool served an exchange.
pub(crate) fn is_of(pool: &Pool, exchange: &Exchange) -> bool {
    let name = served::endpoint_of(exchange);
    name.is_some_and(|name| pool.endpoints.iter().any(|it| it.name == name))
}

#[cfg(test)]
mod tests {
    use poolproof_client::evidence::cross_check::Agreed;
    use poolproof_model::verdict::{Mismatch, Verdict};

    use super::*;

    fn findings(holds: bool) -> Findings {
        let mut findings = Findings::default();
        findings.add(expect::that(holds, "share", 1, 0));
        findings
    }

    fn explained(kind: Cause) -> Agreement {
        let mismatch = Mismatch {
            what: "counts".to_owned(),
            expected: 1.into(),
            actual: 2.into(),
        };
        Agreement::Explained(vec![Disagreement { kind, mismatch }])
    }

    fn verdict(holds: bool, agreement: Agreement, all_answered: bool, more: bool) -> Verdict {
        let more = more.then(|| "more".to_owned());
        outcome(
            findings(holds),
            String::new(),
            agreement,
            all_answered,
            more,
        )
        .verdict
    }

    fn agrees() -> Agreement {
        Agreement::Agrees(Agreed {
            sources: "a header".to_owned(),
            unnamed: None,
        })
    }

    #[test]
    fn a_sample_that_is_too_small_is_inconclusive_unless_it_failed() {
        assert_eq!(verdict(true, agrees(), true, false), Verdict::Pass);
        assert_eq!(verdict(true, agrees(), true, true), Verdict::Inconclusive);
        assert_eq!(verdict(false, agrees(), true, true), Verdict::Fail);
    }

    #[test]
    fn a_request_that_ran_twice_and_an_unused_pick_are_failures() {
        for kind in [Cause::RanTwice, Cause::PickUnused, Cause::ServedByNobody] {
            assert_eq!(verdict(true, explained(kind), true, false), Verdict::Fail);
            assert_eq!(verdict(true, explained(kind), true, true), Verdict::Fail);
        }
    }

    #[test]
    fn a_share_is_judged_by_answers_whichever_picker_was_asked() {
        for kind in [Cause::AnotherPicker, Cause::PickNotFollowed] {
            assert_eq!(verdict(true, explained(kind), true, false), Verdict::Pass);
            assert_eq!(verdict(false, explained(kind), true, false), Verdict::Fail);
        }
    }

    #[test]
    fn doubt_makes_a_sample_invalid_unless_a_request_was_not_answered() {
        let doubt = || Agreement::Doubtful("a counter went back".to_owned());
        assert_eq!(verdict(true, doubt(), true, false), Verdict::Invalid);
        assert_eq!(verdict(false, doubt(), false, false), Verdict::Fail);
    }
}
