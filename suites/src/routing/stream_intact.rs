//! Streamed answers arrive whole: nothing cut, lost, repeated or out of order.

use anyhow::{Context as _, Result};
use poolproof_cases::budget::Rates;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::effort::Effort;
use poolproof_cases::expect;
use poolproof_client::{Api, Connections, Request, drive, nonce, payload};
use poolproof_model::verdict::{Findings, Outcome};
use poolproof_stats::binomial::{Plan, Question};
use serde_json::json;

use super::stream_twins::{Judged, Own, judge, own_answers};

pub(super) const CASE: Case = Case {
    id: "routing/stream-intact",
    requirement: "Every streamed answer comes to its end, with each frame once and in order: what the endpoint itself answers \
                  to the same request, byte for byte, where that is always the same.",
    level: Level::Must,
    source: "OpenAI API, streaming: chunks in order, then data: [DONE]; WHATWG HTML, section 9.2: events are dispatched as they come",
    needs: &[],
    alpha_parts: 0,
    plan: |_, rates| {
        let plan = plan(rates)?;
        let tokens = plan.n as usize * TOKENS_EACH;
        Ok(Effort::fixed(&plan).tokens(tokens).in_flight(IN_FLIGHT))
    },
    run: |ctx| Box::pin(stream_intact(ctx)),
};

/// The smallest share of damaged streams that must be caught.
const DAMAGED: f64 = 0.02;
/// Requests that differ; the sample asks each of them again and again.
const REQUESTS: usize = 8;
/// How often each request is asked past the gateway. Answers of which one in ten varies are all the same in 3 of 100 runs: where
/// a text differs, they are asked again.
const TWINS: usize = 4;
/// How often they are asked again where a text differs.
const AGAIN: usize = 128;
/// The chance of taking answers that vary by themselves for the gateway's: small beside the alpha of a run.
const VARIES_ALPHA: f64 = 1e-6;
const TOKENS: u32 = 32;
pub(super) const IN_FLIGHT: usize = 8;
/// Of a request and its answer, at most: a prompt of 64 characters.
const TOKENS_EACH: usize = 64 + TOKENS as usize;

fn plan(rates: &Rates) -> Result<Plan> {
    let question = Question::AtMost {
        null: 0.0,
        bad: DAMAGED,
    };
    // A correct gateway damages none: no alpha is spent, as small as it may be.
    Plan::new(question, rates.alpha, rates.power)
}

async fn stream_intact(ctx: &Context) -> Result<Outcome> {
    // Of a model with one pool every endpoint gives the same answer, if any is always the same.
    let models = ctx.target.models.iter();
    let model = models.min_by_key(|model| model.weighted_pools().count());
    let model = model.context("a model")?;
    let mut rng = ctx.rng("prompts");
    let requests: Vec<Request> = (0..REQUESTS)
        .map(|_| request(ctx, &model.name, &nonce(&mut rng)))
        .collect();
    let mut own = own_answers(ctx, model, &requests, TWINS).await?;

    let plan = plan(&ctx.rates)?;
    let client = ctx.client(Connections::KeepAlive)?;
    let sent = (0..plan.n as usize).map(|number| requests[number % REQUESTS].clone());
    let exchanges = drive::closed_loop(&client, IN_FLIGHT, sent).await;
    let judge = |own: &Own| -> Vec<Judged> {
        let numbered = exchanges.iter().enumerate();
        let judged = numbered.map(|(number, exchange)| judge(exchange, own, number % REQUESTS));
        judged.collect()
    };
    let mut judged = judge(&own);
    let others = |judged: &[Judged]| {
        let is_other = |it: &&Judged| matches!(it, Judged::Another(_));
        judged.iter().filter(is_other).count()
    };
    let mut findings = Findings::default();
    if others(&judged) > 0 {
        // The endpoints may do that by themselves, at times: they are asked far more often.
        own.ask_again(ctx, model, &requests, AGAIN).await?;
        judged = judge(&own);
    }
    let (another, straight) = (others(&judged), own.compared);
    // The chance that all of these fall among the streams through the gateway if endpoints vary by themselves.
    let share = exchanges.len() as f64 / (exchanges.len() + straight) as f64;
    let is_by_the_gateway = another > 0 && share.powi(another as i32) <= VARIES_ALPHA;
    let mut damaged = 0;
    for (number, judged) in judged.into_iter().enumerate() {
        let damage = match judged {
            Judged::Whole => None,
            Judged::Damaged(damage) => Some(damage),
            Judged::Another(difference) => is_by_the_gateway.then_some(difference),
        };
        damaged += u64::from(damage.is_some());
        findings.add(expect::that(
            damage.is_none(),
            &format!("stream {} of {}", number + 1, plan.n),
            "a whole answer",
            damage.unwrap_or_default(),
        ));
    }
    findings.add_statistic(plan.decide("share of damaged streams", damaged, plan.n));
    findings.note(own.in_words());
    if another > 0 && !is_by_the_gateway {
        findings.note(format!(
            "{another} streams have another text than the endpoints' own: too few to tell them from answers that vary"
        ));
    }
    if !own.give_reasons {
        findings
            .note("no finish_reason is asked for: endpoints give none when asked past the gateway");
    }
    let by = match own.answers.is_some() {
        true => "with the text of the endpoints' own answers",
        false => "by their structure; their text was not compared",
    };
    Ok(findings.outcome(format!("{} streams, all of them whole {by}", plan.n)))
}

fn request(ctx: &Context, model: &str, prompt: &str) -> Request {
    let mut body = payload(Api::Completions, model.into(), prompt, TOKENS);
    body["stream"] = true.into();
    body["stream_options"] = json!({"include_usage": true});
    // The same answer each time, as far as a model server can.
    body["temperature"] = 0.into();
    body["seed"] = 1.into();
    Request::from_json(Api::Completions, &body).timeout(ctx.timeouts.request)
}
