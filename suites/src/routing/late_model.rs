//! The model is found wherever it stands in the body.

use anyhow::Result;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::effort::Effort;
use poolproof_cases::expect;
use poolproof_cases::need::{EndpointNames, Find};
use poolproof_client::{Api, Connections, Ending, Exchange, Request, nonce};
use poolproof_model::target::Model;
use poolproof_model::verdict::{Findings, Outcome};
use serde_json::Value;

use crate::none;
use crate::streams::prompt_tokens;

pub(super) const CASE: Case = Case {
    id: "routing/late-model",
    requirement: "A model name that stands behind a prompt of 64 KiB or 1 MiB is found, and the whole body arrives.",
    level: Level::Must,
    source: "RFC 8259, section 4: members of an object have no order; GIE v1.5.0, pkg/bbr: the whole body is read",
    needs: &[EndpointNames::NEED],
    alpha_parts: 0,
    plan: |_, rates| {
        let plan = none::plan(none::SHARE_OF_COSTLY, rates)?;
        let sizes = PROMPTS_KIB.iter().sum::<usize>() * KIB;
        let effort = Effort::fixed(&plan).times(PROMPTS_KIB.len());
        let tokens = plan.n as usize * sizes / BYTES_PER_TOKEN;
        Ok(effort.tokens(tokens).in_flight(IN_FLIGHT))
    },
    run: |ctx| Box::pin(late_model(ctx)),
};

const PROMPTS_KIB: [usize; 2] = [64, 1024];
/// Of a long word, for most tokenizers.
const BYTES_PER_TOKEN: usize = 8;
const KIB: usize = 1024;
/// Few enough that large bodies do not wait for each other.
const IN_FLIGHT: usize = 4;

/// A body, and what an endpoint of the model itself answers to it; `None` where no endpoint has a url.
struct Late<'a> {
    model: &'a Model,
    what: String,
    request: Request,
    own: Option<Exchange>,
}

async fn late_model(ctx: &Context) -> Result<Outcome> {
    let client = ctx.client(Connections::KeepAlive)?;
    let mut rng = ctx.rng("prompts");
    let mut findings = Findings::default();
    let plan = none::plan(none::SHARE_OF_COSTLY, &ctx.rates)?;
    let (mut compared, mut sent, mut unknown) = (0, 0, Vec::new());
    for prompt_kib in PROMPTS_KIB {
        let mut bodies = Vec::new();
        for api in [Api::Completions, Api::Chat] {
            for model in &ctx.target.models {
                // One long word: few tokens for most tokenizers, so that it fits into the model's context.
                let mut prompt = nonce(&mut rng);
                prompt.push_str(&"a".repeat(prompt_kib * KIB - prompt.len()));
                let body = body(api, &model.name, &prompt);
                let request = Request::from_bytes(api, body).timeout(ctx.timeouts.request);
                bodies.push(Late {
                    model,
                    what: format!(
                        "{} after a prompt of {prompt_kib} KiB by {api:?}",
                        model.name
                    ),
                    own: straight(ctx, model, request.clone()).await?,
                    request,
                });
            }
        }
        let bodies = &bodies;
        let asked = (0..plan.n as usize).map(|number| {
            let late = &bodies[number % bodies.len()];
            (late.what.clone(), late.request.clone())
        });
        let of = format!("share of bodies of {prompt_kib} KiB that did not arrive as sent");
        let judge = |number: usize, what: &str, exchange: &Exchange| {
            let late = &bodies[number % bodies.len()];
            let whole = match arrived(exchange, late.own.as_ref()) {
                Arrived::Whole => {
                    compared += usize::from(late.own.is_some());
                    Ok(())
                }
                Arrived::NotKnown => {
                    unknown.push(format!("{what}: {}", exchange.describe()));
                    Ok(())
                }
                Arrived::Changed(expected) => {
                    expect::that(false, what, expected, exchange.describe())
                }
            };
            let pool = expect::served_by(what, exchange, &ctx.target, late.model);
            vec![pool, whole]
        };
        let asked = asked.collect();
        let exchanges = none::send(
            &client,
            IN_FLIGHT,
            (&plan, &of),
            asked,
            &mut findings,
            judge,
        );
        sent += exchanges.await.len();
    }
    if !unknown.is_empty() && !findings.failed() {
        return Ok(Outcome::inconclusive(format!(
            "whether the whole body arrived is not known without the url of an endpoint to compare with: {}",
            unknown.join("; ")
        )));
    }
    Ok(findings.outcome(format!(
        "found behind 64 KiB and 1 MiB; {compared} of {sent} answers as the endpoints' own to the same body"
    )))
}

/// A body whose model stands last.
fn body(api: Api, model: &str, prompt: &str) -> String {
    let prompt = match api {
        Api::Completions => format!(r#""prompt":"{prompt}""#),
        _ => format!(r#""messages":[{{"role":"user","content":"{prompt}"}}]"#),
    };
    format!(r#"{{{prompt},"max_tokens":1,"ignore_eos":true,"model":"{model}"}}"#)
}

/// The answer of an endpoint of the model to the same request past the gateway; `None` where no endpoint has a url.
async fn straight(ctx: &Context, model: &Model, request: Request) -> Result<Option<Exchange>> {
    let mut endpoints = model.weighted_pools().flat_map(|pool| &pool.endpoints);
    let Some(url) = endpoints.find_map(|endpoint| endpoint.url.as_ref()) else {
        return Ok(None);
    };
    let client = ctx.client_of(url, Connections::NewPerRequest)?;
    Ok(Some(client.send(request).await))
}

/// Whether an endpoint got the body that was sent.
#[derive(Debug, PartialEq)]
enum Arrived {
    Whole,
    /// What an endpoint answers to the whole body.
    Changed(String),
    NotKnown,
}

/// Holds an answer against the endpoint's own answer to the same body. A model whose context is shorter than the prompt may
/// refuse it, in the same words.
fn arrived(through: &Exchange, straight: Option<&Exchange>) -> Arrived {
    let same = |same: bool, own: &Exchange| match same {
        true => Arrived::Whole,
        false => Arrived::Changed(format!("the endpoint's own answer: {}", own.describe())),
    };
    match straight {
        Some(own) if own.is_success() => {
            let differ = prompt_tokens(own)
                .zip(prompt_tokens(through))
                .is_some_and(|(own, through)| own != through);
            same(through.is_success() && !differ, own)
        }
        Some(own) if is_refusal(own) => {
            same(is_refusal(through) && message(through) == message(own), own)
        }
        _ if through.is_success() => Arrived::Whole,
        _ if is_refusal(through) && is_about_length(&message(through)) => Arrived::Whole,
        _ if is_refusal(through) => Arrived::NotKnown,
        _ => Arrived::Changed("200".to_owned()),
    }
}

fn is_refusal(exchange: &Exchange) -> bool {
    exchange.status == Some(400) && exchange.ending == Ending::Complete
}

fn json(exchange: &Exchange) -> Value {
    serde_json::from_slice(&exchange.body).unwrap_or_default()
}

/// What an error says: the message of an OpenAI error, else the whole body.
fn message(exchange: &Exchange) -> String {
    let json = json(exchange);
    let message = json["error"]["message"].as_str();
    match message.or_else(|| json["message"].as_str()) {
        Some(message) => message.to_owned(),
        None => String::from_utf8_lossy(&exchange.body).into_owned(),
    }
}

/// Whether a message is about a prompt that is too long, as vLLM, SGLang and llm-d-inference-sim spell it.
fn is_about_length(message: &str) -> bool {
    const WORDS: [&str; 5] = [
        "context length",
        "context window",
        "too long",
        "max_model_len",
        "maximum model length",
    ];
    let message = message.to_lowercase();
    WORDS.iter().any(|words| message.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::made::answer;

    const TOO_LONG: &str =
        r#"{"error":{"message":"This model's maximum context length is 1024 tokens."}}"#;
    const MALFORMED: &str = r#"{"error":{"message":"unexpected end of JSON input"}}"#;

    #[test]
    fn a_400_counts_only_if_the_endpoint_itself_gives_it_to_the_whole_body() {
        let (too_long, malformed) = (answer(400, TOO_LONG), answer(400, MALFORMED));
        let served = answer(200, r#"{"usage":{"prompt_tokens":9}}"#);
        assert_eq!(arrived(&too_long, Some(&too_long)), Arrived::Whole);
        assert!(matches!(
            arrived(&malformed, Some(&served)),
            Arrived::Changed(_)
        ));
        assert!(matches!(
            arrived(&malformed, Some(&too_long)),
            Arrived::Changed(_)
        ));
        assert_eq!(arrived(&too_long, None), Arrived::Whole);
        assert_eq!(arrived(&malformed, None), Arrived::NotKnown);
        assert!(matches!(
            arrived(&answer(503, ""), None),
            Arrived::Changed(_)
        ));
    }

    #[test]
    fn a_prompt_that_arrives_shorter_is_not_whole() {
        let own = answer(200, r#"{"usage":{"prompt_tokens":9}}"#);
        let shorter = answer(200, r#"{"usage":{"prompt_tokens":3}}"#);
        assert_eq!(arrived(&own, Some(&own)), Arrived::Whole);
        assert!(matches!(arrived(&shorter, Some(&own)), Arrived::Changed(_)));
        assert_eq!(arrived(&answer(200, "{}"), Some(&own)), Arrived::Whole);
    }
}
