//! Requests whose clients have left, and what became of them at the endpoints.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Result;
use futures_util::future::try_join_all;
use poolproof_cases::context::Context;
use poolproof_cases::expect;
use poolproof_client::evidence::control::{self, LoggedRequest, Outcome};
use poolproof_client::evidence::{endpoint, scrapes};
use poolproof_client::poll;
use poolproof_client::{Ending, Exchange};
use poolproof_model::target::Model;
use poolproof_model::verdict::Findings;

/// How long an endpoint may go on after a client has left.
pub(super) const FREED: Duration = Duration::from_secs(2);
/// How much later than the client's leave a request may arrive that was on its way.
const ON_ITS_WAY: Duration = Duration::from_millis(500);

/// The requests that endpoints logged, by their ids.
pub(super) async fn logged(ctx: &Context) -> Result<HashMap<String, LoggedRequest>> {
    let endpoints = ctx.target.endpoints().filter(|it| it.control.is_some());
    let logs = endpoints.map(|endpoint| control::requests(&ctx.http, endpoint));
    let requests = try_join_all(logs).await?.into_iter().flatten();
    Ok(requests
        .filter_map(|request| Some((request.id.clone()?, request)))
        .collect())
}

/// What the logs show about requests whose clients have left.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Shown {
    /// Requests that were at an endpoint when the client left.
    pub(super) at_endpoint: usize,
    /// Requests that never arrived.
    pub(super) never_arrived: usize,
    /// Requests that were stopped, but too late.
    pub(super) late: usize,
    /// Requests that were not stopped.
    pub(super) not_stopped: usize,
}

/// Adds whether endpoints stopped in time, by their logs. Exchanges that ended before the client left are not judged.
pub(super) async fn expect_stopped(
    ctx: &Context,
    what: &str,
    exchanges: &[Exchange],
    findings: &mut Findings,
) -> Result<Shown> {
    let left: Vec<&Exchange> = exchanges
        .iter()
        .filter(|exchange| exchange.ending == Ending::Left)
        .collect();
    let over = poll::until("endpoints stop", FREED, poll::INTERVAL * 4, || async {
        let logged = logged(ctx).await.ok()?;
        let mut entries = left.iter().filter_map(|it| logged.get(&it.id));
        entries.all(|it| it.outcome != Outcome::Open).then_some(())
    });
    // What did not stop is judged below.
    let _ = over.await;
    let logged = logged(ctx).await?;
    let mut shown = Shown::default();
    for exchange in left {
        let left_us = scrapes::now_us() - exchange.ended_at.elapsed().as_micros() as u64;
        let Some(request) = logged.get(&exchange.id) else {
            shown.never_arrived += 1;
            continue;
        };
        shown.at_endpoint += 1;
        let in_time = stopped_in_time(request, left_us);
        if !in_time && request.outcome == Outcome::Aborted {
            shown.late += 1;
        } else if !in_time {
            shown.not_stopped += 1;
        }
        findings.add(expect::that(
            in_time,
            what,
            format!("stopped by its endpoint within {FREED:?} of the client's leave"),
            in_words(request, left_us),
        ));
    }
    Ok(shown)
}

fn stopped_in_time(request: &LoggedRequest, left_us: u64) -> bool {
    let in_time = |at_us: u64, limit: Duration| at_us <= left_us + limit.as_micros() as u64;
    let finished = request
        .finished_us
        .is_some_and(|at_us| in_time(at_us, FREED));
    request.outcome == Outcome::Aborted && finished && in_time(request.arrived_us, ON_ITS_WAY)
}

fn in_words(request: &LoggedRequest, left_us: u64) -> String {
    let after = |at_us: u64| at_us.saturating_sub(left_us) / 1000;
    let arrived = match request.arrived_us > left_us {
        true => format!("it arrived {} ms after that, ", after(request.arrived_us)),
        false => String::new(),
    };
    let end = match (request.outcome, request.finished_us) {
        (Outcome::Open, _) | (_, None) => "still running".to_owned(),
        (outcome, Some(at_us)) => format!("{outcome:?} after {} ms", after(at_us)),
    };
    format!("{arrived}{end}")
}

/// The requests that run or wait at the endpoints of a model, by their metrics.
pub(super) async fn at_endpoints(ctx: &Context, model: &Model) -> Result<f64> {
    let endpoints = model.pools.iter().flat_map(|pool| &pool.endpoints);
    let with_url = endpoints.filter(|endpoint| endpoint.url.is_some());
    let readings = with_url.map(|endpoint| endpoint::read(&ctx.http, endpoint));
    let readings = try_join_all(readings).await?;
    Ok(readings.iter().map(|it| it.running + it.waiting).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(arrived_us: u64, outcome: Outcome, finished_us: Option<u64>) -> LoggedRequest {
        LoggedRequest {
            id: None,
            model: None,
            arrived_us,
            finished_us,
            outcome,
            status: None,
            prompt_tokens: 0,
        }
    }

    #[test]
    fn a_request_has_to_be_aborted_soon_after_the_leave() {
        const LEFT_US: u64 = 10_000_000;
        for (request, in_time) in [
            (request(9_000_000, Outcome::Aborted, Some(11_000_000)), true),
            (
                request(9_000_000, Outcome::Aborted, Some(13_000_000)),
                false,
            ),
            (request(9_000_000, Outcome::Done, Some(11_000_000)), false),
            (request(9_000_000, Outcome::Open, None), false),
            (
                request(11_000_000, Outcome::Aborted, Some(11_100_000)),
                false,
            ),
        ] {
            let words = in_words(&request, LEFT_US);
            assert_eq!(stopped_in_time(&request, LEFT_US), in_time, "{words}");
        }
    }
}
