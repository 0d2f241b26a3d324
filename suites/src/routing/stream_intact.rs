//! Streamed answers arrive whole: nothing cut, lost, repeated or out of order.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use poolproof_cases::budget::Rates;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::effort::Effort;
use poolproof_cases::expect;
use poolproof_client::{Api, Connections, Exchange, Request, drive, nonce, payload};
use poolproof_model::target::Model;
use poolproof_model::verdict::{Findings, Outcome};
use poolproof_stats::binomial::{Plan, Question};
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
/// How often each request is asked past the gateway. Answers of which one in ten varies are all the same in 3 of 100 runs: where
/// a text differs, they are asked again.
const TWINS: usize = 4;
/// How often they are asked again where a text differs.
const AGAIN: usize = 128;
/// The chance of taking answers that vary by themselves for the gateway's: small beside the alpha of a run.
const VARIES_ALPHA: f64 = 1e-6;
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

/// What a stream says, put together.
#[derive(Clone, Debug, PartialEq)]
struct Answer {
    text: String,
    /// Empty if none was given.
    finish_reason: String,
    completion_tokens: Option<u64>,
}

/// What endpoints answer when asked past the gateway.
struct Own {
    /// To each request, where they always answer the same; `None` where they cannot be asked, or any answer differs from its
    /// twins: then only the structure of streams is judged.
    answers: Option<Vec<Answer>>,
    /// Whether any answer differs from its twins.
    vary: bool,
    /// Whether they say why an answer has ended, as they should: llm-d-inference-sim v0.8.2 does not where it was cut by length.
    give_reasons: bool,
    /// The number of tokens that all of their answers report, if they agree on one.
    tokens: Option<u64>,
    /// Answers that were compared with another one to the same request.
    compared: usize,
}

impl Own {
    /// By the answers to each request. All requests stand for one another: where one answer varies, none is taken to be fixed.
    fn new(twins: &[Vec<Exchange>]) -> Self {
        let twins: Vec<Vec<Answer>> = twins
            .iter()
            .map(|twins| twins.iter().filter_map(|it| read(it).ok()).collect())
            .collect();
        let mut all = twins.iter().flatten();
        let give_reasons = all.clone().all(|answer| !answer.finish_reason.is_empty());
        let tokens = all
            .clone()
            .next()
            .and_then(|answer| answer.completion_tokens);
        let tokens = tokens.filter(|tokens| all.all(|it| it.completion_tokens == Some(*tokens)));
        let mut pairs = twins.iter().flat_map(|twins| twins.windows(2));
        let vary = pairs.any(|pair| pair[0] != pair[1]);
        let compared = twins.iter().map(|it| it.len().saturating_sub(1)).sum();
        let is_known = !vary && twins.iter().all(|twins| twins.len() >= 2);
        let first = twins
            .into_iter()
            .filter_map(|twins| twins.into_iter().next());
        Self {
            answers: is_known.then(|| first.collect()),
            vary,
            give_reasons,
            tokens,
            compared,
        }
    }

    /// Asks for more twins, and gives up comparing if one of them varies.
    async fn ask_again(
        &mut self,
        ctx: &Context,
        model: &Model,
        requests: &[Request],
        twins: usize,
    ) -> Result<()> {
        let again = own_answers(ctx, model, requests, twins).await?;
        self.compared += again.compared;
        let differ = again.answers.is_some() && again.answers != self.answers;
        if again.vary || differ {
            self.vary = true;
            self.answers = None;
        }
        Ok(())
    }

    fn in_words(&self) -> String {
        if self.answers.is_some() {
            format!(
                "{} answers of the endpoints' own are the same as their twins: texts are compared with them",
                self.compared
            )
        } else if self.vary {
            "the endpoints' own answers to one request vary: only the structure of streams is judged".to_owned()
        } else {
            "no answers of the endpoints' own to compare with: only the structure of streams is judged".to_owned()
        }
    }
}

/// Asks endpoints in turn, past the gateway, each request so many times. Of a model with several pools none is asked: they may
/// answer differently.
async fn own_answers(
    ctx: &Context,
    model: &Model,
    requests: &[Request],
    twins: usize,
) -> Result<Own> {
    let mut pools = model.weighted_pools();
    let mut answers: Vec<Vec<Exchange>> = requests.iter().map(|_| Vec::new()).collect();
    if let (Some(pool), None) = (pools.next(), pools.next()) {
        let urls = pool.endpoints.iter().filter_map(|it| it.url.as_ref());
        let clients: Vec<_> = urls
            .map(|url| ctx.client_of(url, Connections::KeepAlive))
            .collect::<Result<_>>()?;
        for client in clients.iter().cycle().take(twins) {
            if ctx.is_late() {
                break;
            }
            let sent = drive::closed_loop(client, IN_FLIGHT, requests.iter().cloned()).await;
            for (twins, exchange) in answers.iter_mut().zip(sent) {
                twins.push(exchange);
            }
        }
    }
    Ok(Own::new(&answers))
}

/// What is thought of a stream.
#[derive(Debug, PartialEq)]
enum Judged {
    Whole,
    /// It is damaged, and how.
    Damaged(String),
    /// It is whole by itself, but has another text than the endpoint's own.
    Another(String),
}

fn judge(exchange: &Exchange, own: &Own, request: usize) -> Judged {
    let answer = match read(exchange) {
        Ok(answer) => answer,
        Err(damage) => return Judged::Damaged(damage),
    };
    if answer.finish_reason.is_empty() && own.give_reasons {
        return Judged::Damaged("no finish_reason".to_owned());
    }
    if own.tokens.is_some() && answer.completion_tokens != own.tokens {
        return Judged::Damaged(format!(
            "{:?} tokens in its usage, the endpoints' own have {:?}",
            answer.completion_tokens, own.tokens
        ));
    }
    let Some(answers) = &own.answers else {
        return Judged::Whole;
    };
    let own = &answers[request];
    if answer.text != own.text {
        let (before, after) = in_common(&answer.text, &own.text);
        let difference = format!(
            "{} bytes of text, of which the first {before} and the last {after} are those of the endpoint's own {}",
            answer.text.len(),
            own.text.len()
        );
        let of_another = answers.iter().any(|it| it.text == answer.text);
        return match of_another || is_copy(before, after, own.text.len()) {
            true => Judged::Damaged(difference),
            false => Judged::Another(difference),
        };
    }
    match answer == *own {
        true => Judged::Whole,
        false => Judged::Damaged(format!(
            "ends by {} after {:?} tokens, the endpoint's own by {} after {:?}",
            answer.finish_reason,
            answer.completion_tokens,
            own.finish_reason,
            own.completion_tokens
        )),
    }
}

/// The bytes that two texts have in common at their starts, and behind them at their ends.
fn in_common(one: &str, other: &str) -> (usize, usize) {
    let same = |(one, other): &(u8, u8)| one == other;
    let before = one.bytes().zip(other.bytes()).take_while(same).count();
    let (one, other) = (&one.as_bytes()[before..], &other.as_bytes()[before..]);
    let ends = one.iter().rev().copied().zip(other.iter().rev().copied());
    (before, ends.take_while(same).count())
}

/// Whether a text of which so much is the same is a copy with a few frames lost, repeated, swapped or altered. An answer that varies goes its own
/// way from the first difference on, and does not come back to the same end.
fn is_copy(before: usize, after: usize, own: usize) -> bool {
    const END_MIN: usize = 8;
    after >= END_MIN.max(own / 4) && before + after >= own * 3 / 4
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

#[cfg(test)]
mod tests {
    use super::*;

    /// 32 pieces of text that differ by `seed`, and then of its own.
    fn pieces(seed: usize) -> Vec<String> {
        (0..32)
            .map(|n| format!("{:02} ", (n * 7 + seed * 13) % 97))
            .collect()
    }

    fn stream(pieces: &[String]) -> Exchange {
        let text = pieces
            .iter()
            .map(|text| json!({"choices": [{"text": text}]}).to_string());
        let end = json!({"choices": [{"text": "", "finish_reason": "length"}],
            "usage": {"completion_tokens": 32}});
        crate::made::stream(text.chain([end.to_string(), "[DONE]".to_owned()]))
    }

    fn twins(seeds: [[usize; 2]; 2]) -> Own {
        let twins = seeds.map(|seeds| seeds.map(|seed| stream(&pieces(seed))).to_vec());
        Own::new(&twins)
    }

    #[test]
    fn answers_that_are_equal_by_chance_prove_nothing_where_another_varies() {
        let own = twins([[1, 1], [2, 3]]);
        assert!(own.answers.is_none() && own.vary);
        assert_eq!(judge(&stream(&pieces(5)), &own, 0), Judged::Whole);
    }

    #[test]
    fn a_single_answer_proves_nothing() {
        let own = Own::new(&[vec![stream(&pieces(1))], vec![stream(&pieces(2))]]);
        assert!(own.answers.is_none() && !own.vary);
    }

    #[test]
    fn frames_lost_swapped_repeated_altered_or_of_another_request_are_damage() {
        let own = twins([[1, 1], [2, 2]]);
        let (mut swapped, mut lost, mut altered) = (pieces(1), pieces(1), pieces(1));
        swapped.swap(2, 3);
        lost.remove(10);
        altered[5] = "?? ".to_owned();
        for damaged in [swapped, lost, altered, pieces(2)] {
            let judged = judge(&stream(&damaged), &own, 0);
            assert!(matches!(judged, Judged::Damaged(_)), "{judged:?}");
        }
        assert_eq!(judge(&stream(&pieces(1)), &own, 0), Judged::Whole);
    }

    #[test]
    fn an_answer_that_goes_its_own_way_is_another_one() {
        let own = twins([[1, 1], [2, 2]]);
        let mut other = pieces(1);
        other.truncate(20);
        other.extend(pieces(9).into_iter().take(12));
        let judged = judge(&stream(&other), &own, 0);
        assert!(matches!(judged, Judged::Another(_)), "{judged:?}");
    }

    #[test]
    fn fewer_tokens_than_the_endpoints_own_are_damage_whatever_the_text() {
        let own = twins([[1, 1], [2, 3]]);
        let end =
            json!({"choices": [{"finish_reason": "length"}], "usage": {"completion_tokens": 31}});
        let cut = crate::made::stream([end.to_string(), "[DONE]".to_owned()]);
        assert!(matches!(judge(&cut, &own, 0), Judged::Damaged(_)));
    }
}
