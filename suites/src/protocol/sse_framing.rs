//! However an endpoint writes its events, the client receives the same ones.

use anyhow::Result;
use poolproof_cases::budget::Rates;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::effort::{Decision, Effort};
use poolproof_cases::expect;
use poolproof_cases::need::{EndpointLogs, Find};
use poolproof_client::raw::speaks_http2;
use poolproof_client::{Api, Connections, Request, drive, nonce, payload};
use poolproof_model::verdict::{Findings, Outcome};
use poolproof_stats::binomial::Plan;
use rand::seq::SliceRandom;
use serde_json::json;

use super::events::{Content, content, model_to_ask, own_contents};
use super::none_of;
use crate::ways::directed;

pub(super) const CASE: Case = Case {
    id: "protocol/sse-framing",
    requirement: "A stream that its endpoint writes torn, several events at once, with CRLF, with comments or with characters \
                  cut in two has the same events in the same order for the client, over HTTP/1.1 and HTTP/2.",
    level: Level::Must,
    source: "WHATWG HTML, section 9.2.6: lines end by LF, CRLF or CR, comments are ignored; higress-group/higress#4616",
    needs: &[EndpointLogs::NEED],
    alpha_parts: 0,
    plan: |_, rates| {
        let plans = Plans::new(rates)?;
        let decisions = plans.all().map(|(plan, _)| Decision::Fixed(plan.clone()));
        let n: u64 = plans.all().map(|(plan, _)| plan.n).sum();
        let effort = Effort::requests(n as usize).in_flight(IN_FLIGHT);
        Ok(effort.decides(Vec::from_iter(decisions)))
    },
    run: |ctx| Box::pin(sse_framing(ctx)),
};

/// Ways of writing with torn lines.
const TORN: &[&str] = &[
    "tear",
    "tear, wide",
    "tear, crlf",
    "tear, comments",
    "tear, joined, wide",
    "tear, crlf, comments, wide",
];
/// Ways of writing whole lines.
const WHOLE: &[&str] = &[
    "crlf",
    "comments, wide",
    "joined, wide",
    "joined, crlf, comments",
];
const APIS: [Api; 2] = [Api::Completions, Api::Chat];
/// The smallest share of torn streams that must be caught: a fault in one of twelve.
const BAD_TORN: f64 = 1.0 / 12.0;
/// The smallest share of others, and of streams over HTTP/2.
const BAD: f64 = 0.2;
const TOKENS: u32 = 5;
const IN_FLIGHT: usize = 8;

/// The samples.
struct Plans {
    torn: Plan,
    whole: Plan,
    over_http2: Plan,
}

impl Plans {
    fn new(rates: &Rates) -> Result<Self> {
        Ok(Self {
            torn: none_of(BAD_TORN, rates)?,
            whole: none_of(BAD, rates)?,
            over_http2: none_of(BAD, rates)?,
        })
    }

    /// Each with what its streams are.
    fn all(&self) -> impl Iterator<Item = (&Plan, &'static str)> {
        [
            (&self.torn, "torn"),
            (&self.whole, "written in whole lines"),
            (&self.over_http2, "torn, over HTTP/2"),
        ]
        .into_iter()
    }
}

async fn sse_framing(ctx: &Context) -> Result<Outcome> {
    let plans = Plans::new(&ctx.rates)?;
    let (model, pool) = model_to_ask(&ctx.target)?;
    let mut rng = ctx.rng("prompts");
    let mut requests = Vec::new();
    for words in TORN.iter().chain(WHOLE) {
        for api in APIS {
            let prompt = nonce(&mut rng);
            requests.push(request(ctx, api, &model.name, &prompt, words));
        }
    }
    let own = match own_contents(ctx, pool, IN_FLIGHT, &requests).await {
        Ok(own) => own,
        Err(error) => {
            return Ok(Outcome::invalid(format!(
                "nothing to compare with: {error:#}"
            )));
        }
    };
    let torn = 0..TORN.len() * APIS.len();
    let whole = torn.end..requests.len();
    let has_http2 = speaks_http2(&ctx.target, ctx.timeouts.prompt_answer).await?;

    let mut findings = Findings::default();
    let mut sent = Vec::new();
    for ((plan, what), places) in plans.all().zip([torn.clone(), whole, torn]) {
        let (connections, is_left_out) = match what.ends_with("HTTP/2") {
            true => (Connections::Http2, !has_http2),
            false => (Connections::KeepAlive, false),
        };
        if is_left_out {
            findings.note("the gateway does not speak HTTP/2: no streams over it");
            continue;
        }
        let n = plan.n as usize;
        let mut order: Vec<usize> = places.cycle().take(n).collect();
        // A gateway that damages every k-th stream must not meet the same way of writing each time.
        order.shuffle(&mut rng);
        let client = ctx.client(connections)?;
        let streams: Vec<Request> = order.iter().map(|place| requests[*place].clone()).collect();
        let exchanges = drive::closed_loop(&client, IN_FLIGHT, streams.into_iter()).await;
        let mut damaged = 0;
        for (place, exchange) in order.iter().zip(&exchanges) {
            let damage = damage(content(exchange), &own[*place]);
            damaged += u64::from(damage.is_some());
            let words = way(*place);
            findings.add(expect::that(
                damage.is_none(),
                &format!(
                    "a stream by {:?} written with {words:?}, {:?}",
                    APIS[place % APIS.len()],
                    exchange.version
                ),
                "the events of the endpoint's own answer",
                damage.unwrap_or_default(),
            ));
        }
        let of = format!("share of damaged streams, {what}");
        findings.add_statistic(plan.decide(of, damaged, plan.n));
        sent.push(format!("{n} {what}"));
    }
    Ok(findings.outcome(format!(
        "streams with the events of the endpoint's own answers: {}",
        sent.join("; ")
    )))
}

/// The way of writing of the request at this place.
fn way(place: usize) -> &'static str {
    let mut ways = TORN.iter().chain(WHOLE);
    ways.nth(place / APIS.len()).copied().unwrap_or_default()
}

fn damage(content: Result<Content, String>, own: &Content) -> Option<String> {
    match content {
        Ok(content) => own.difference(&content),
        Err(error) => Some(error),
    }
}

fn request(ctx: &Context, api: Api, model: &str, prompt: &str, words: &str) -> Request {
    let mut body = payload(api, model.into(), prompt, TOKENS);
    body["stream"] = true.into();
    body["stream_options"] = json!({"include_usage": true});
    let request = directed(Request::from_json(api, &body), words);
    request.timeout(ctx.timeouts.request)
}
