//! An endpoint that dies and comes back three times, with requests in flight, gets its share afterwards.

use anyhow::Result;
use poolproof_cases::budget::Rates;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::effort::Effort;
use poolproof_cases::expect;
use poolproof_cases::need::{EndpointNames, Find, Need, PoolToLoad};
use poolproof_client::evidence::{endpoint, served};
use poolproof_client::{Connections, poll};
use poolproof_model::change::{Change, Kind};
use poolproof_model::target::{Endpoint, Pool};
use poolproof_model::verdict::{Findings, Outcome};
use poolproof_stats::binomial::Question;
use poolproof_stats::sequential::Sequential;

use super::traffic::{IN_FLIGHT, REQUESTS_MAX, Traffic};
use crate::faults::timeline::Timeline;
use crate::faults::{ROUNDS_REQUESTS_MAX, STEADY_REQUESTS, expect_return, expect_served};
use crate::sample::{Sample, ShareTest};
use crate::streams::{Whole, under_way};

pub(super) const CASE: Case = Case {
    id: "rollout/flapping",
    requirement: "An endpoint that dies and comes back again and again with requests in flight gets its share of an idle pool \
                  afterwards, no more and no less; requests of other endpoints are whole meanwhile.",
    level: Level::Must,
    source: "GIE v1.5.0, max-score-picker: uniform among equal scores; llm-d/llm-d#1950: counts of an endpoint that is \
             created again",
    needs: &[
        PoolToLoad::NEED,
        EndpointNames::NEED,
        Need::change(Kind::Endpoint),
    ],
    alpha_parts: 1,
    plan: |target, rates| {
        let (_, pool) = PoolToLoad::find(target)?;
        let test = test(pool, rates)?;
        let most = test.n_max() as usize + REQUESTS_MAX + 2 * ROUNDS_REQUESTS_MAX;
        let effort = Effort::sequential([(&test, 1.0)]).and(2 * STEADY_REQUESTS);
        Ok(effort.in_flight(IN_FLIGHT).at_most(most as u64).waits(2.0))
    },
    run: |ctx| Box::pin(flapping(ctx)),
};

const FLAPS: usize = 3;
/// The tokens of an answer: enough that requests are always in flight at each endpoint.
const TOKENS: u32 = 64;
/// The deviation of the endpoint's share that must be caught, as a part of the share.
const DEVIATION: f64 = 0.5;

fn test(pool: &Pool, rates: &Rates) -> Result<Sequential> {
    let share = 1.0 / pool.endpoints.len() as f64;
    let question = Question::Equal {
        null: share,
        deviation: DEVIATION * share,
    };
    Sequential::new(question, rates.alpha, rates.power)
}

async fn flapping(ctx: &Context) -> Result<Outcome> {
    let (model, pool) = PoolToLoad::find(&ctx.target)?;
    let traffic = Traffic::start(ctx, model, TOKENS)?;
    let what = "an endpoint works on a request";
    let flapping = poll::until(what, ctx.timeouts.recovery, poll::INTERVAL, || async {
        let (_, endpoint) = under_way(ctx, model).await.ok()?;
        Some(endpoint)
    });
    let flapping = flapping.await?;
    let test = ShareTest {
        of: format!("share of {} after it flapped", flapping.name),
        endpoints: vec![&flapping.name],
        kind: None,
        test: test(pool, &ctx.rates)?,
    };
    let mut findings = Findings::default();
    let mut timeline = Timeline::of_endpoint(&flapping.name);
    for number in 1..=FLAPS {
        if number > 1 && !works(ctx, flapping).await {
            findings.add(expect::that(
                false,
                &format!("the endpoint after {} restarts", number - 1),
                "works on a request",
                "works on none",
            ));
            break;
        }
        if number == 1 {
            timeline.gone();
        }
        for running in [false, true] {
            ctx.change(Change::Endpoint {
                endpoint: flapping.name.clone(),
                running,
            })
            .await?;
            // Until pickers have seen it.
            tokio::time::sleep(ctx.timeouts.metrics_settle).await;
        }
    }
    timeline.back();
    let exchanges = traffic.stop().await?;
    timeline.add(&exchanges);
    let whole = Whole::like(exchanges.iter(), TOKENS);
    let (mut of_others, mut broken) = (0, 0);
    for exchange in &exchanges {
        let is_of_another = served::endpoint_of(exchange).is_some_and(|name| name != flapping.name);
        broken += usize::from(!is_of_another && !exchange.is_success());
        if is_of_another {
            of_others += 1;
            findings.add(whole.expect("request of another endpoint", exchange));
        }
    }
    if broken == 0 && !findings.failed() {
        return Ok(Outcome::invalid(format!(
            "no request was in flight at {} when it died",
            flapping.name
        )));
    }
    let what = "requests once the endpoint is back";
    expect_served(ctx, model, &mut timeline, &mut findings, what).await?;
    expect_return(ctx, model, &flapping.name, &mut timeline, &mut findings).await?;
    findings.show(timeline.picture());
    findings.note(format!(
        "{of_others} requests of other endpoints whole meanwhile, {broken} broken off or refused"
    ));

    let client = ctx.client(Connections::KeepAlive)?;
    let mut sample = Sample::start(ctx, &client, model, 1).await?;
    sample.settle(&[test], &mut findings).await;
    let counts = served::by_endpoint(sample.exchanges.iter());
    let summary = format!(
        "{FLAPS} restarts; then {} of {}",
        served::in_words(&counts),
        sample.exchanges.len()
    );
    sample.conclude(findings, summary).await
}

/// Whether an endpoint works on a request within the time for a recovery.
async fn works(ctx: &Context, endpoint: &Endpoint) -> bool {
    let what = format!("{} works on a request", endpoint.name);
    let works = poll::until(what, ctx.timeouts.recovery, poll::INTERVAL, || async {
        let reading = endpoint::read(&ctx.http, endpoint).await.ok()?;
        (reading.running > 0.0).then_some(())
    });
    works.await.is_ok()
}
