//! A sample: requests for one model on an idle stack, with a fixed number in flight, and who served them.

use anyhow::Result;
use poolproof_harness::client::{Api, Client, Ending, Exchange, Request, drive};
use poolproof_harness::context::Context;
use poolproof_harness::evidence::served::{self, CrossCheck};
use poolproof_harness::expect;
use poolproof_harness::stats::sequential::{Progress, Sequential};
use poolproof_harness::target::{Model, Pool};
use poolproof_harness::verdict::{Findings, Outcome};
use rand_chacha::ChaCha8Rng;

/// Requests after which the clock is looked at.
const BATCH: u64 = 64;

/// A share of a sample that is judged: that of the answers by some endpoints.
#[derive(Clone, Debug)]
pub(crate) struct ShareTest<'a> {
    /// What it is the share of.
    pub(crate) of: String,
    /// The names of the endpoints.
    pub(crate) endpoints: Vec<&'a str>,
    /// The test.
    pub(crate) test: Sequential,
}

impl ShareTest<'_> {
    fn progress(&self, exchanges: &[Exchange]) -> Progress {
        let served = exchanges.iter().filter_map(served::endpoint_of);
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
            check: CrossCheck::start(&ctx.http, model.pools.iter()).await?,
            missing: 0,
            judged_from: 0,
            exchanges: Vec::new(),
        })
    }

    /// Sends so many more requests, or as many as there is time for, and waits for their answers.
    pub(crate) async fn more(&mut self, n: u64) {
        self.missing = n;
        while self.missing > 0 && !self.ctx.is_late() {
            let batch = self.missing.min(BATCH);
            let requests = (0..batch).map(|_| {
                let request = Request::new(Api::Completions, &self.model.name, 1, &mut self.rng);
                request.timeout(self.ctx.timeouts.request)
            });
            let exchanges = drive::closed_loop(self.client, self.in_flight, requests).await;
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
            let missing = tests.iter().map(|it| match it.progress(self.judged()) {
                Progress::Open { missing } => missing,
                Progress::Ended { .. } => 0,
            });
            let missing = missing.max().unwrap_or(0);
            if missing == 0 || !self.exchanges.iter().all(Exchange::is_success) {
                break;
            }
            self.more(missing).await;
            if self.missing > 0 {
                let most = tests.iter().map(|it| it.test.n_max()).max().unwrap_or(0);
                self.missing = most.saturating_sub(self.judged().len() as u64);
                break;
            }
        }
        for it in tests {
            if let Progress::Ended { look, hits } = it.progress(self.judged()) {
                findings.add_statistic(it.test.decide(it.of.as_str(), look, hits));
            }
        }
    }

    /// The outcome: every request has to be answered with 200; a sample whose sources disagree is invalid whatever it says,
    /// unless answers were cut off.
    pub(crate) async fn conclude(self, mut findings: Findings, summary: String) -> Result<Outcome> {
        for exchange in &self.exchanges {
            findings.add(expect::success("every request of the sample", exchange));
        }
        let answered = served::by_endpoint(self.exchanges.iter());
        let timeout = self.ctx.timeouts.counters;
        let sources = self.check.finish(&self.ctx.http, &answered, false, timeout);
        match sources.await? {
            Ok(_) if self.missing > 0 && !findings.failed() => Ok(Outcome::inconclusive(format!(
                "{} requests were answered in {:?}, {} more at most would decide; --case-timeout gives it more time",
                self.exchanges.len(),
                self.ctx.timeouts.case,
                self.missing
            ))),
            Ok(sources) => {
                findings.note(sources);
                Ok(findings.outcome(summary))
            }
            // Whoever was cut off cannot say by whom it was served.
            Err(disagreement)
                if self
                    .exchanges
                    .iter()
                    .any(|it| it.ending != Ending::Complete) =>
            {
                findings.note(disagreement);
                Ok(findings.outcome(summary))
            }
            Err(disagreement) => Ok(Outcome::invalid(disagreement)),
        }
    }
}

/// Whether a pool served an exchange.
pub(crate) fn is_of(pool: &Pool, exchange: &Exchange) -> bool {
    let name = served::endpoint_of(exchange);
    name.is_some_and(|name| pool.endpoints.iter().any(|it| it.name == name))
}
