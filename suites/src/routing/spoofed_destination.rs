//! The endpoint picker chooses the endpoint; a client cannot.

use anyhow::{Context as _, Result};
use poolproof_cases::budget::Rates;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::effort::Effort;
use poolproof_cases::expect;
use poolproof_cases::need::{EndpointNames, Find, PoolToLoad, TwoModels};
use poolproof_client::evidence::served;
use poolproof_client::{Api, Connections, Request};
use poolproof_model::target::Pool;
use poolproof_model::verdict::{Findings, Outcome};
use poolproof_stats::binomial;

pub(super) const CASE: Case = Case {
    id: "routing/spoofed-destination",
    requirement: "A client-sent x-gateway-destination-endpoint never chooses the endpoint.",
    level: Level::Must,
    source: "GIE v1.5.0, docs/proposals/004-endpoint-picker-protocol: the endpoint picker sets the header",
    needs: &[TwoModels::NEED, EndpointNames::NEED, PoolToLoad::NEED],
    alpha_parts: 1,
    plan: |target, rates| {
        let (_, pool) = PoolToLoad::find(target)?;
        Ok(Effort::fixed(&plan(pool, rates)?).and(FOREIGN))
    },
    run: |ctx| Box::pin(spoofed_destination(ctx)),
};

/// Requests that ask for an endpoint of another pool.
const FOREIGN: usize = 10;

fn plan(pool: &Pool, rates: &Rates) -> Result<binomial::Plan> {
    let fair = 1.0 / pool.endpoints.len() as f64;
    let question = binomial::Question::AtMost {
        null: fair + (1.0 - fair) / 4.0,
        bad: 0.95,
    };
    binomial::Plan::new(question, rates.alpha, rates.power)
}

async fn spoofed_destination(ctx: &Context) -> Result<Outcome> {
    let client = ctx.client(Connections::KeepAlive)?;
    let mut rng = ctx.rng("prompts");
    let mut findings = Findings::default();
    let (own_model, own_pool) = PoolToLoad::find(&ctx.target)?;
    let address = |endpoint: &poolproof_model::target::Endpoint| -> Option<String> {
        let url = endpoint.url.as_ref()?;
        Some(format!(
            "{}:{}",
            url.host_str()?,
            url.port_or_known_default()?
        ))
    };
    // An endpoint of another pool: reaching it once is enough.
    let foreign = ctx
        .target
        .pools()
        .filter(|pool| pool.name != own_pool.name)
        .flat_map(|pool| &pool.endpoints)
        .find_map(address);
    let others = if let Some(foreign) = foreign {
        for _ in 0..FOREIGN {
            let request = Request::new(Api::Completions, &own_model.name, 1, &mut rng)
                .header("x-gateway-destination-endpoint", &foreign);
            let exchange = client.send(request.timeout(ctx.timeouts.request)).await;
            let what = format!("{} with the endpoint of another pool", own_model.name);
            findings.add(expect::served_by(&what, &exchange, &ctx.target, own_model));
        }
        format!("{FOREIGN} requests for an endpoint of another pool did not reach it")
    } else {
        "no endpoint of another pool has a url to ask for".to_owned()
    };
    // An endpoint of the own pool: a picker of an idle pool takes it about as often as the others.
    let endpoint = own_pool.endpoints.last().context("an endpoint")?;
    let wanted = address(endpoint).context("its address")?;
    let plan = plan(own_pool, &ctx.rates)?;
    let mut hits = 0;
    for _ in 0..plan.n {
        let request = Request::new(Api::Completions, &own_model.name, 1, &mut rng)
            .header("x-gateway-destination-endpoint", &wanted);
        let exchange = client.send(request.timeout(ctx.timeouts.request)).await;
        findings.add(expect::success(
            "a request with a destination of its own",
            &exchange,
        ));
        hits += u64::from(served::endpoint_of(&exchange) == Some(&endpoint.name));
    }
    let of = format!("share of {}, which the client asked for", endpoint.name);
    findings.add_statistic(plan.decide(of, hits, plan.n));
    Ok(findings.outcome(format!(
        "the client's choice was served by {hits} of {} requests; {others}",
        plan.n
    )))
}
