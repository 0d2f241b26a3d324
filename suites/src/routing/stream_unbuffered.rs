//! A streamed answer is a stream on its whole way: the gateway does not hold it until its end.

use std::time::Duration;

use anyhow::{Context as _, Result};
use futures_util::future::join_all;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::effort::Effort;
use poolproof_cases::expect;
use poolproof_client::evidence::served;
use poolproof_client::{Api, Client, Connections, Exchange, Request, nonce, payload};
use poolproof_model::target::Model;
use poolproof_model::verdict::{Findings, Outcome};

use crate::none;

pub(super) const CASE: Case = Case {
    id: "routing/stream-unbuffered",
    requirement: "The first frame of a long streamed answer reaches the client long before the last one, as it leaves the \
                  endpoint.",
    level: Level::Must,
    source: "OpenAI API, streaming: partial answers are sent as they become available; GIE v1.5.0, pkg/bbr/handlers/server.go \
             holds whole answers in streaming mode",
    needs: &[],
    alpha_parts: 0,
    plan: |_, rates| {
        let plan = none::plan(none::SHARE_OF_COSTLY, rates)?;
        let tokens = plan.n as usize * (64 + TOKENS as usize);
        Ok(Effort::fixed(&plan).tokens(tokens).in_flight(IN_FLIGHT))
    },
    run: |ctx| Box::pin(stream_unbuffered(ctx)),
};

/// Long enough that a pause of a busy machine is short beside it.
const TOKENS: u32 = 300;
/// Over less time than this nobody can tell a stream from an answer in one go.
const OWN_SPREAD_MIN: Duration = Duration::from_millis(20);
/// Streams at a time.
const IN_FLIGHT: usize = 7;
/// The median spread must be more than this part of the endpoint's own.
const MEDIAN_PART: u32 = 2;
/// Each spread must be more than this part of the endpoint's own: a stream that was held until its end arrives at once, and a pause of a
/// busy machine is never that long.
const EACH_PART: u32 = 8;

async fn stream_unbuffered(ctx: &Context) -> Result<Outcome> {
    // With one pool, it is known which endpoints to compare with.
    let models = ctx.target.models.iter();
    let model = models.min_by_key(|model| model.weighted_pools().count());
    let model = model.context("a model")?;
    let mut findings = Findings::default();
    let through = ctx.client(Connections::KeepAlive)?;
    let plan = none::plan(none::SHARE_OF_COSTLY, &ctx.rates)?;
    // In turns, so that a busy machine slows both down.
    let (mut passed, mut own) = (Vec::new(), Vec::new());
    while passed.len() < plan.n as usize {
        let first = passed.len();
        let n = IN_FLIGHT.min(plan.n as usize - first);
        let purpose = format!("through, from {first}");
        passed.extend(streams(ctx, &vec![through.clone(); n], &model.name, &purpose).await);
        let straight = straight_to(ctx, model, &passed[first..])?;
        let purpose = format!("straight, from {first}");
        own.extend(streams(ctx, &straight, &model.name, &purpose).await);
    }
    for exchange in &passed {
        findings.add(expect::success("a stream of 300 tokens", exchange));
    }
    let spreads: Vec<Duration> = passed.iter().map(spread).collect();
    let spread = median(&passed, spread);
    let own = own.iter().filter(|exchange| exchange.is_success());
    let mut own: Vec<Duration> = own.map(self::spread).collect();
    own.sort_unstable();
    let (own, yardstick) = match own.get(own.len() / 4) {
        // A fast one: a busy machine slows streams down, through the gateway or not.
        Some(&own) => {
            if own < OWN_SPREAD_MIN {
                return Ok(Outcome::invalid(format!(
                    "an endpoint itself sends {TOKENS} tokens within {} ms",
                    own.as_millis()
                )));
            }
            (
                own,
                format!(
                    "{} ms straight from an endpoint (lower quartile)",
                    own.as_millis()
                ),
            )
        }
        // A model that is idle spends most of a long answer on its tokens, not on its prompt.
        None => {
            let latency = median(&passed, Exchange::latency);
            (
                latency / 2,
                format!("{} ms for the whole answer", latency.as_millis()),
            )
        }
    };
    let (least, least_each) = (own / MEDIAN_PART, own / EACH_PART);
    let held = spreads
        .iter()
        .filter(|spread| **spread <= least_each)
        .count();
    findings.add_statistic(plan.decide(
        "share of streams that were held until their end",
        held as u64,
        plan.n,
    ));
    let spread_ms = spread.as_millis() as u64;
    findings.add(expect::that(
        spread > least,
        "median time from the first frame to the last, in ms",
        format!("more than {} ({yardstick})", least.as_millis()),
        spread_ms,
    ));
    Ok(findings.outcome(format!(
        "{spread_ms} ms from the first frame to the last (median of {}), {yardstick}",
        plan.n
    )))
}

/// For each of these streams a client of the endpoint that served it, or of any in turn where that is not known: an endpoint is as slow
/// as it has streams at a time. None, if no endpoint can be reached.
fn straight_to(ctx: &Context, model: &Model, passed: &[Exchange]) -> Result<Vec<Client>> {
    let endpoints = model.weighted_pools().flat_map(|pool| &pool.endpoints);
    let urls: Vec<(&str, &_)> = endpoints
        .filter_map(|it| Some((it.name.as_str(), it.url.as_ref()?)))
        .collect();
    let straight = passed.iter().zip(urls.iter().cycle());
    straight
        .map(|(exchange, in_turn)| {
            let served_by = served::endpoint_of(exchange);
            let own = urls.iter().find(|(name, _)| Some(*name) == served_by);
            let (_, url) = own.unwrap_or(in_turn);
            ctx.client_of(url, Connections::KeepAlive)
        })
        .collect()
}

/// A stream on each of these, all at the same time.
async fn streams(ctx: &Context, clients: &[Client], model: &str, purpose: &str) -> Vec<Exchange> {
    let mut rng = ctx.rng(purpose);
    let streams = clients.iter().map(|client| {
        let mut body = payload(Api::Completions, model.into(), &nonce(&mut rng), TOKENS);
        body["stream"] = true.into();
        client.send(Request::from_json(Api::Completions, &body).timeout(ctx.timeouts.request))
    });
    join_all(streams.collect::<Vec<_>>()).await
}

fn spread(exchange: &Exchange) -> Duration {
    match exchange.frames.as_slice() {
        [first, .., last] => last.at - first.at,
        _ => Duration::ZERO,
    }
}

fn median(exchanges: &[Exchange], of: fn(&Exchange) -> Duration) -> Duration {
    let mut values: Vec<Duration> = exchanges.iter().map(of).collect();
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or_default()
}
