//! Claims that no request does something. A sample can only bound a share, so such a claim is a planned test: a correct gateway has
//! none of them, and a small share must be caught.

use anyhow::Result;
use poolproof_cases::budget::Rates;
use poolproof_cases::expect::Found;
use poolproof_client::{Client, Exchange, Request, drive};
use poolproof_model::verdict::Findings;
use poolproof_stats::binomial::{Plan, Question};

/// The share of wrong requests that must be caught.
pub(crate) const SHARE: f64 = 0.02;
/// The share that must be caught where a request costs too much to be sent by the hundred: large bodies, long streams.
pub(crate) const SHARE_OF_COSTLY: f64 = 0.2;

/// The parts in which a sample is sent, after a first one of as many requests as are in flight. A part with a wrong request is the last
/// one: the claim is refuted, and more requests cannot change that.
const PARTS: usize = 4;

/// The sample that catches a share of wrong requests. A correct gateway has none: no alpha is spent.
pub(crate) fn plan(share: f64, rates: &Rates) -> Result<Plan> {
    let question = Question::AtMost {
        null: 0.0,
        bad: share,
    };
    Plan::new(question, rates.alpha, rates.power)
}

/// Sends a sample, `in_flight` requests at a time. Adds what is wrong with each request, by `judge`, and the share of wrong ones.
/// Returns the exchanges in the order of the requests.
pub(crate) async fn send(
    client: &Client,
    in_flight: usize,
    (plan, of): (&Plan, &str),
    asked: Vec<(String, Request)>,
    findings: &mut Findings,
    mut judge: impl FnMut(usize, &str, &Exchange) -> Vec<Found>,
) -> Vec<Exchange> {
    let (mut exchanges, mut wrong) = (Vec::new(), 0);
    let (first, rest) = asked.split_at(in_flight.min(asked.len()));
    let rest = rest.chunks(rest.len().div_ceil(PARTS).max(1));
    for part in std::iter::once(first).chain(rest) {
        let requests: Vec<Request> = part.iter().map(|(_, request)| request.clone()).collect();
        let sent = drive::closed_loop(client, in_flight, requests.into_iter()).await;
        for ((what, _), exchange) in part.iter().zip(&sent) {
            let found = judge(exchanges.len(), what, exchange);
            wrong += u64::from(found.iter().any(Result::is_err));
            found.into_iter().for_each(|found| findings.add(found));
            exchanges.push(exchange.clone());
        }
        if wrong > 0 {
            break;
        }
    }
    findings.add_statistic(plan.decide(of, wrong, exchanges.len() as u64));
    exchanges
}
