//! Streamed answers arrive whole: nothing cut, lost, repeated or out of order.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use poolproof_harness::budget::Rates;
use poolproof_harness::case::{Case, Level};
use poolproof_harness::client::{Api, Connections, Exchange, Request, drive, nonce, payload};
use poolproof_harness::context::Context;
use poolproof_harness::effort::Effort;
use poolproof_harness::expect;
use poolproof_harness::stats::binomial::{Plan, Question};
use poolproof_harness::target::Model;
use poolproof_harness::verdict::{Findings, Outcome};
use serde_json::{Value, json};

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
const TOKENS: u32 = 32;
const IN_FLIGHT: usize = 8;
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
    let own = own_answers(ctx, model, &requests).await?;

    let plan = plan(&ctx.rates)?;
    let client = ctx.client(Connections::KeepAlive)?;
    let sent = (0..plan.n as usize).map(|number| requests[number % REQUESTS].clone());
    let exchanges = drive::closed_loop(&client, IN_FLIGHT, sent).await;
    let mut findings = Findings::default();
    let mut damaged = 0;
    for (number, exchange) in exchanges.iter().enumerate() {
        let damage = damage(exchange, &own, number % REQUESTS).err();
        damaged += u64::from(damage.is_some());
        findings.add(expect::that(
            damage.is_none(),
            &format!("stream {} of {}", number + 1, plan.n),
            "a whole answer",
            damage.unwrap_or_default(),
        ));
    }
    findings.add_statistic(plan.decide("share of damaged streams", damaged, plan.n));
    let compared = own.answers.iter().flatten().count();
    findings.note(format!(
        "{compared} of {REQUESTS} requests have an answer of the endpoints' own to compare with"
    ));
    if !own.give_reasons {
        findings
            .note("no finish_reason is asked for: endpoints give none when asked past the gateway");
    }
    Ok(findings.outcome(format!("{} streams, all of them whole", plan.n)))
}

fn request(ctx: &Context, model: &str, prompt: &str) -> Request {
    let mut body = payload(Api::Completions, model.into(), prompt, TOKENS);
    body["stream"] = true.into();
    body["stream_options"] = json!({"include_usage": true});
    // The same answer each time, as far as a model server can.
    body["temperature"] = 0.into();
    Request::from_json(Api::Completions, &body).timeout(ctx.timeouts.request)
}

/// What a stream says, put together.
#[derive(Debug, PartialEq)]
struct Answer {
    text: String,
    /// Empty if none was given.
    finish_reason: String,
    completion_tokens: Option<u64>,
}

/// What endpoints answer when asked past the gateway.
struct Own {
    /// To each request; `None` where they cannot be asked, or differ.
    answers: Vec<Option<Answer>>,
    /// Whether they say why an answer has ended, as they should: llm-d-inference-sim v0.8.2 does not where it was cut by length.
    give_reasons: bool,
}

async fn own_answers(ctx: &Context, model: &Model, requests: &[Request]) -> Result<Own> {
    let unknown = || {
        Ok(Own {
            answers: requests.iter().map(|_| None).collect(),
            give_reasons: true,
        })
    };
    let mut pools = model.weighted_pools();
    let (Some(pool), None) = (pools.next(), pools.next()) else {
        return unknown();
    };
    let urls: Vec<_> = pool
        .endpoints
        .iter()
        .filter_map(|e| e.url.as_ref())
        .collect();
    let (Some(first), Some(last)) = (urls.first(), urls.last()) else {
        return unknown();
    };
    let mut answers = Vec::new();
    for url in [first, last] {
        let client = ctx.client_of(url, Connections::KeepAlive)?;
        let sent = drive::closed_loop(&client, IN_FLIGHT, requests.iter().cloned()).await;
        answers.push(sent);
    }
    let give_reasons = answers
        .iter()
        .flatten()
        .filter_map(|exchange| read(exchange).ok())
        .all(|answer| !answer.finish_reason.is_empty());
    let pairs = answers[0].iter().zip(&answers[1]);
    let same = pairs.map(|(one, other)| {
        let (one, other) = (read(one).ok()?, read(other).ok()?);
        (one == other).then_some(one)
    });
    Ok(Own {
        answers: same.collect(),
        give_reasons,
    })
}

/// What is wrong with a stream, if anything is.
fn damage(exchange: &Exchange, own: &Own, request: usize) -> Result<(), String> {
    let answer = read(exchange)?;
    if answer.finish_reason.is_empty() && own.give_reasons {
        return Err("no finish_reason".to_owned());
    }
    let Some(own) = &own.answers[request] else {
        return Ok(());
    };
    if answer.text != own.text {
        let bytes = answer.text.bytes().zip(own.text.bytes());
        let same = bytes.take_while(|(one, other)| one == other).count();
        return Err(format!(
            "{} bytes of text, of which the first {same} are those of the endpoint's own {}",
            answer.text.len(),
            own.text.len()
        ));
    }
    match answer == *own {
        true => Ok(()),
        false => Err(format!(
            "ends by {} after {:?} tokens, the endpoint's own by {} after {:?}",
            answer.finish_reason,
            answer.completion_tokens,
            own.finish_reason,
            own.completion_tokens
        )),
    }
}

/// Puts a stream together; says what it is that no whole stream does.
fn read(exchange: &Exchange) -> Result<Answer, String> {
    if !exchange.is_event_stream() || !exchange.is_success() {
        let frames = exchange.frames.len();
        return Err(format!("{frames} frames, {}", end_in_words(exchange)));
    }
    let mut answer = Answer {
        text: String::new(),
        finish_reason: String::new(),
        completion_tokens: None,
    };
    let (mut pieces, mut ids) = (0, BTreeSet::new());
    // The last one is [DONE].
    for frame in &exchange.frames[..exchange.frames.len() - 1] {
        let chunk: Value = serde_json::from_str(&frame.data)
            .map_err(|_| format!("a frame before the last that is no JSON: {:?}", frame.data))?;
        ids.insert(chunk["id"].as_str().unwrap_or("").to_owned());
        if let Some(tokens) = chunk["usage"]["completion_tokens"].as_u64() {
            answer.completion_tokens = Some(tokens);
        }
        let choice = &chunk["choices"][0];
        let text = choice["text"].as_str().unwrap_or("");
        if !text.is_empty() {
            if !answer.finish_reason.is_empty() {
                return Err(format!("text after its finish_reason: {text:?}"));
            }
            pieces += 1;
            answer.text.push_str(text);
        }
        if let Some(reason) = choice["finish_reason"].as_str() {
            if !answer.finish_reason.is_empty() {
                return Err("two finish_reasons".to_owned());
            }
            reason.clone_into(&mut answer.finish_reason);
        }
    }
    if ids.len() > 1 {
        return Err(format!("frames of {} answers", ids.len()));
    }
    match answer.completion_tokens {
        Some(tokens) if pieces > tokens => {
            Err(format!("{pieces} frames with text of {tokens} tokens"))
        }
        _ => Ok(answer),
    }
}

fn end_in_words(exchange: &Exchange) -> String {
    match exchange.frames.last() {
        Some(last) if exchange.status == Some(200) => {
            let data: String = last.data.chars().take(40).collect();
            format!("the last of them {data:?}, then {:?}", exchange.ending)
        }
        _ => exchange.describe(),
    }
}
