//! HTTP/2 clients are served as HTTP/1.1 clients are.

use anyhow::{Context as _, Result};
use poolproof_cases::budget::Rates;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::effort::{Decision, Effort};
use poolproof_cases::expect;
use poolproof_cases::need::{EndpointNames, Find};
use poolproof_client::raw::speaks_http2;
use poolproof_client::{Client, Connections, Exchange, Request, Version, drive};
use poolproof_model::target::Model;
use poolproof_model::verdict::{Findings, Outcome};

use super::{none_of, of_own_pool};
use crate::mix::Kind;
use crate::streams::Whole;
use crate::ways;

pub(super) const CASE: Case = Case {
    id: "protocol/http2",
    requirement: "Over HTTP/2 every model is served by its own pools and an unknown one gets 404, through both APIs, \
                  streamed and not, and 40 streams at once on one connection are whole.",
    level: Level::Must,
    source: "RFC 9113, sections 8.1.1 and 8.2.2: content-length is that of the body, and no connection-specific headers; \
             kubernetes-sigs/gateway-api-inference-extension#2993",
    needs: &[EndpointNames::NEED],
    alpha_parts: 0,
    plan: |_, rates| {
        let plan = none_of(BAD, rates)?;
        let each = plan.n as usize;
        let n = each * (Kind::ALL.len() + 1) + STREAMS + UNDISTURBED;
        let decisions = vec![Decision::Fixed(plan); Kind::ALL.len() + 1];
        Ok(Effort::requests(n).in_flight(IN_FLIGHT).decides(decisions))
    },
    run: |ctx| Box::pin(http2(ctx)),
};

/// The smallest share of wrong answers of each kind that must be caught.
const BAD: f64 = 0.2;
const IN_FLIGHT: usize = 8;
/// Streams that share a connection.
const STREAMS: usize = 40;
/// The tokens of each of them.
const STREAM_TOKENS: u32 = 48;
/// Streams over HTTP/1.1 that show what a whole one is like.
const UNDISTURBED: usize = 2;
const TOKENS: u32 = 6;
/// The headers that an HTTP/2 message must not have (RFC 9113, section 8.2.2).
const CONNECTION_SPECIFIC: [&str; 5] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "transfer-encoding",
    "upgrade",
];

async fn http2(ctx: &Context) -> Result<Outcome> {
    if !speaks_http2(&ctx.target, ctx.timeouts.prompt_answer).await? {
        return Ok(Outcome::skip(
            "the gateway does not speak HTTP/2: it answers the connection preface with no SETTINGS frame",
        ));
    }
    let client = ctx.client(Connections::Http2)?;
    let mut findings = Findings::default();
    let known = known_models(ctx, &client, &mut findings).await?;
    let unknown = unknown_model(ctx, &client, &mut findings).await?;
    at_once(ctx, &client, &mut findings).await?;
    Ok(findings.outcome(format!(
        "{known} requests for known models, {unknown} for an unknown one, {STREAMS} streams at once, all as they must be"
    )))
}

async fn known_models(ctx: &Context, client: &Client, findings: &mut Findings) -> Result<usize> {
    let each = plan_size(&ctx.rates)?;
    let mut rng = ctx.rng("known models");
    let models = &ctx.target.models;
    let mut asked: Vec<(&Model, Kind)> = Vec::new();
    for kind in Kind::ALL {
        asked.extend((0..each).map(|number| (&models[number % models.len()], kind)));
    }
    let mut requests = Vec::new();
    for (model, kind) in &asked {
        let request = kind.with_usage(&model.name, TOKENS, &mut rng);
        requests.push(request.timeout(ctx.timeouts.request));
    }
    let exchanges = drive::closed_loop(client, IN_FLIGHT, requests.into_iter()).await;
    for (chunk, of_kind) in exchanges.chunks(each).zip(asked.chunks(each)) {
        let mut wrong = 0;
        for (exchange, (model, kind)) in chunk.iter().zip(of_kind) {
            let what = format!("{} for {}", kind.in_words(), model.name);
            let before = findings.mismatches();
            findings.add(expect::success(&what, exchange));
            findings.add(expect::that(
                exchange.status != Some(200) || exchange.is_event_stream() == kind.streamed,
                &what,
                format!("an event stream: {}", kind.streamed),
                exchange.header("content-type").unwrap_or("no content-type"),
            ));
            of_own_pool(ctx, &what, model, exchange, findings);
            framed(&what, exchange, findings);
            wrong += u64::from(findings.mismatches() > before);
        }
        let kind = of_kind[0].1;
        let of = format!("share of wrong answers to {}", kind.in_words());
        findings.add_statistic(none_of(BAD, &ctx.rates)?.decide(of, wrong, each as u64));
    }
    Ok(exchanges.len())
}

async fn unknown_model(ctx: &Context, client: &Client, findings: &mut Findings) -> Result<usize> {
    let each = plan_size(&ctx.rates)?;
    let mut rng = ctx.rng("unknown model");
    let mut requests = Vec::new();
    for kind in Kind::ALL.iter().cycle().take(each) {
        let request = kind.with_usage("no-such-model", TOKENS, &mut rng);
        requests.push(request.timeout(ctx.timeouts.request));
    }
    let exchanges = drive::closed_loop(client, IN_FLIGHT, requests.into_iter()).await;
    let mut wrong = 0;
    for (exchange, kind) in exchanges.iter().zip(Kind::ALL.iter().cycle()) {
        let what = format!("{} for an unknown model", kind.in_words());
        let before = findings.mismatches();
        findings.add(expect::status(&what, exchange, 404));
        findings.add(expect::routed_nowhere(&what, exchange));
        framed(&what, exchange, findings);
        wrong += u64::from(findings.mismatches() > before);
    }
    let of = "share of wrong answers to an unknown model";
    findings.add_statistic(none_of(BAD, &ctx.rates)?.decide(of, wrong, each as u64));
    Ok(each)
}

/// Streams at once on one connection, compared with some over HTTP/1.1.
async fn at_once(ctx: &Context, client: &Client, findings: &mut Findings) -> Result<()> {
    let model = ctx.target.models.first().context("a model")?;
    let mut rng = ctx.rng("streams at once");
    let mut stream = |number: usize| {
        let request = ways::STREAMS[number % ways::STREAMS.len()].with_usage(
            &model.name,
            STREAM_TOKENS,
            &mut rng,
        );
        request.timeout(ctx.timeouts.request)
    };
    let undisturbed: Vec<Request> = (0..UNDISTURBED).map(&mut stream).collect();
    let streams: Vec<Request> = (0..STREAMS).map(&mut stream).collect();
    let http1 = ctx.client(Connections::KeepAlive)?;
    let undisturbed = drive::closed_loop(&http1, 1, undisturbed.into_iter()).await;
    let whole = Whole::like(undisturbed.iter(), STREAM_TOKENS);
    let exchanges = drive::closed_loop(client, STREAMS, streams.into_iter()).await;
    for (number, exchange) in exchanges.iter().enumerate() {
        let what = format!("stream {} of {STREAMS} at once", number + 1);
        findings.add(whole.expect(&what, exchange));
        of_own_pool(ctx, &what, model, exchange, findings);
        framed(&what, exchange, findings);
    }
    Ok(())
}

/// Expects an HTTP/2 answer whose headers agree with its body.
fn framed(what: &str, exchange: &Exchange, findings: &mut Findings) {
    if exchange.status.is_none() {
        return;
    }
    findings.add(expect::that(
        exchange.version == Some(Version::HTTP_2),
        what,
        "an answer over HTTP/2",
        format!("{:?}", exchange.version),
    ));
    let mut specific = CONNECTION_SPECIFIC.iter();
    let found = specific.find(|name| exchange.headers.contains_key(**name));
    findings.add(expect::that(
        found.is_none(),
        what,
        "no connection-specific header",
        found.copied().unwrap_or_default(),
    ));
    if let Some(length) = exchange.header("content-length") {
        findings.add(expect::that(
            length == exchange.body.len().to_string(),
            what,
            format!("{} bytes received, as content-length says", length),
            format!("{} bytes", exchange.body.len()),
        ));
    }
}

fn plan_size(rates: &Rates) -> Result<usize> {
    Ok(none_of(BAD, rates)?.n as usize)
}
