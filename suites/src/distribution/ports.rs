//! Each port of a pool is used, and one that is taken out of the pool is not.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Result;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::effort::{Decision, Effort};
use poolproof_cases::expect::{self, Found};
use poolproof_cases::need::{EndpointNames, Find, Need, PoolToLoad};
use poolproof_client::evidence::served;
use poolproof_client::{Connections, Exchange};
use poolproof_model::change::{Change, Kind};
use poolproof_model::verdict::{Findings, Outcome};

use crate::faults::timeline::Timeline;
use crate::faults::{ROUNDS_REQUESTS_MAX, STEADY_REQUESTS, expect_return, until_steady};
use crate::mix::Mix;
use crate::none;

pub(super) const CASE: Case = Case {
    id: "distribution/ports",
    requirement: "Each port of a pool gets requests; once one is no longer among them, the endpoint at it gets none, and no request is lost.",
    level: Level::Must,
    source: "GIE v1.5.0, api/v1, InferencePool.spec.targetPorts: the ports of the endpoints; \
             kubernetes-sigs/gateway-api-inference-extension#2306; istio/istio#58238",
    needs: &[
        PoolToLoad::NEED,
        EndpointNames::NEED,
        Need::change(Kind::Ports),
    ],
    alpha_parts: 0,
    plan: |_, rates| {
        let plan = none::plan(none::SHARE, rates)?;
        let most = 2 * plan.n as usize + 2 * ROUNDS_REQUESTS_MAX;
        let effort = Effort::requests(2 * plan.n as usize + 2 * STEADY_REQUESTS);
        let effort = effort.in_flight(IN_FLIGHT).at_most(most as u64).waits(1.0);
        Ok(effort.decides([Decision::Fixed(plan)]))
    },
    run: |ctx| Box::pin(ports(ctx)),
};

const IN_FLIGHT: usize = 6;

async fn ports(ctx: &Context) -> Result<Outcome> {
    let (model, pool) = PoolToLoad::find(&ctx.target)?;
    let plan = none::plan(none::SHARE, &ctx.rates)?;
    let client = ctx.client(Connections::KeepAlive)?;
    let (mut rng, mut mix) = (ctx.rng("prompts"), Mix::default());
    let mut asked = |what: &str| -> Vec<_> {
        let requests = (0..plan.n).map(|_| {
            let request = mix.request(&model.name, 1, &mut rng);
            (what.to_owned(), request.timeout(ctx.timeouts.request))
        });
        requests.collect()
    };
    let mut findings = Findings::default();

    // Of a pool of ten endpoints that are picked at random, this many requests miss one less than once in 1e9.
    let all = "a request while all ports are open";
    let mut used = BTreeSet::new();
    let requests: Vec<_> = asked(all).into_iter().map(|(_, request)| request).collect();
    let exchanges =
        poolproof_client::drive::closed_loop(&client, IN_FLIGHT, requests.into_iter()).await;
    for exchange in &exchanges {
        findings.add(expect::success(all, exchange));
        used.extend(served::endpoint_of(exchange).map(str::to_owned));
    }
    for endpoint in &pool.endpoints {
        let what = format!(
            "requests at {}, whose port is one of the pool",
            endpoint.name
        );
        let is_used = used.contains(&endpoint.name);
        findings.add(expect::that(is_used, &what, "some", "none"));
    }

    let Some(closed) = pool.endpoints.last() else {
        return Ok(Outcome::invalid("the pool has no endpoint"));
    };
    let change = |open| Change::Ports {
        endpoint: closed.name.clone(),
        open,
    };
    let elsewhere = |it: &Exchange| {
        served::endpoint_of(it).is_some_and(|name| name != closed.name) && it.is_success()
    };
    let mut timeline = Timeline::of_endpoint(&closed.name);
    ctx.change(change(false)).await?;
    timeline.gone();
    let left = until_steady(ctx, model, &mut timeline, Duration::ZERO, elsewhere).await?;
    let steady = left.took.is_some();
    let what = "requests once the port is closed";
    findings.add(expect::that(
        steady,
        what,
        "served elsewhere",
        left.in_words(),
    ));
    for exchange in &left.wrong {
        findings.add(expect::success("request until the picker knew", exchange));
    }
    let judge = |_: usize, what: &str, exchange: &Exchange| -> Vec<Found> {
        let served_by = served::endpoint_of(exchange).unwrap_or("nobody");
        let is_elsewhere = served_by != closed.name;
        vec![
            expect::success(what, exchange),
            expect::that(is_elsewhere, what, "served elsewhere", served_by),
        ]
    };
    let of = format!("share of {} while its port is closed", closed.name);
    let requests = asked("a request while a port is closed");
    none::send(
        &client,
        IN_FLIGHT,
        (&plan, &of),
        requests,
        &mut findings,
        judge,
    )
    .await;

    timeline.back();
    ctx.change(change(true)).await?;
    expect_return(ctx, model, &closed.name, &mut timeline, &mut findings).await?;
    findings.note(format!("no request went to it {}", left.in_words()));
    findings.show(timeline.picture());
    Ok(findings.outcome(format!(
        "{} ports used; {} requests elsewhere while that of {} was closed; back in use",
        used.len(),
        plan.n,
        closed.name
    )))
}
