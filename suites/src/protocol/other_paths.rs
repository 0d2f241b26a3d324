//! Paths beside completions and chat are served or refused, and never break anything.

use anyhow::Result;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::effort::Effort;
use poolproof_cases::need::{Find, Straight};
use poolproof_client::{Connections, Method, Request, drive, nonce};
use poolproof_model::target::Target;
use poolproof_model::verdict::{Findings, Outcome};
use serde_json::{Value, json};

use super::answers::{Came, own_or_refused};
use super::straight::Endpoints;

pub(super) const CASE: Case = Case {
    id: "protocol/other-paths",
    requirement: "A request to another path of the OpenAI or Anthropic API, or of a model server, gets the status that an endpoint of its \
                  model gives, or a 4xx at once: never a 5xx, never another model's endpoint, never no answer.",
    level: Level::Should,
    source: "OpenAI API (embeddings, responses, audio), Anthropic API (messages), vLLM (rerank, score, tokenize); llm-d/llm-d-router#2807, \
             agentgateway/agentgateway#2301, vllm-project/production-stack#733",
    needs: &[Straight::NEED],
    alpha_parts: 0,
    plan: |target, _| {
        let requests = target.models.len() * (BODIES.len() * SUFFIXES.len() + 4);
        Ok(Effort::requests(requests).in_flight(IN_FLIGHT))
    },
    run: |ctx| Box::pin(other_paths(ctx)),
};

const IN_FLIGHT: usize = 4;
/// What may follow a path.
const SUFFIXES: [&str; 3] = ["", "?api-version=1", "/"];
const TRANSCRIPTIONS: &str = "/v1/audio/transcriptions";
/// The size of a sound in bytes, where the gateway takes bodies that long.
const SOUND_BYTES: usize = 3 << 20;

/// A body beside its model, by the unique text that it has.
type Body = fn(&str) -> Value;

/// The paths with JSON bodies.
#[rustfmt::skip]
const BODIES: [(&str, Body); 12] = [
    ("/v1/completions", |text| json!({"prompt": text, "max_tokens": 1})),
    ("/v1/chat/completions", |text| json!({"messages": [{"role": "user", "content": text}], "max_tokens": 1})),
    ("/v1/embeddings", |text| json!({"input": [text, "two"]})),
    ("/v1/responses", |text| json!({"input": text})),
    ("/v1/messages", |text| json!({"messages": [{"role": "user", "content": text}], "max_tokens": 4})),
    ("/v1/messages/count_tokens", |text| json!({"messages": [{"role": "user", "content": text}]})),
    ("/v1/rerank", |text| json!({"query": text, "documents": ["one", "two"]})),
    ("/rerank", |text| json!({"query": text, "documents": ["one", "two"]})),
    ("/score", |text| json!({"text_1": text, "text_2": "two"})),
    ("/tokenize", |text| json!({"prompt": text})),
    ("/v1/images/generations", |text| json!({"prompt": text})),
    ("/v1/no-such-path", |text| json!({"prompt": text})),
];

async fn other_paths(ctx: &Context) -> Result<Outcome> {
    let endpoints = Endpoints::of(ctx)?;
    let client = ctx.client(Connections::KeepAlive)?;
    let asks = asks(ctx, &ctx.target);
    // A gateway that does not answer at all is not waited for as long as one that holds requests.
    let requests: Vec<Request> = asks
        .iter()
        .map(|(_, _, request)| request.clone().timeout(ctx.timeouts.refusal))
        .collect();
    let through = drive::closed_loop(&client, IN_FLIGHT, requests.iter().cloned()).await;
    let names: Vec<&str> = asks
        .iter()
        .map(|(model, _, _)| ctx.target.models[*model].name.as_str())
        .collect();
    let own = endpoints
        .answers(IN_FLIGHT, names.into_iter().zip(requests))
        .await?;

    let mut findings = Findings::default();
    let mut refused = Vec::new();
    for (place, (model, what, _)) in asks.iter().enumerate() {
        let model = &ctx.target.models[*model];
        let label = format!("{what}, {}", model.name);
        let (found, came) = own_or_refused(ctx, &label, &through[place], &own[place], model);
        found.into_iter().for_each(|found| findings.add(found));
        if came == Came::Refusal && own[place].status == Some(200) && !refused.contains(what) {
            refused.push(what.clone());
        }
    }
    if !refused.is_empty() {
        findings.note(format!(
            "served by endpoints, refused by the gateway: {}",
            refused.join(", ")
        ));
    }
    Ok(findings.outcome(format!(
        "{} requests have the endpoint's own status or a 4xx of the gateway, by no endpoint of another model",
        asks.len()
    )))
}

/// Each request with the place of its model and its path.
fn asks(ctx: &Context, target: &Target) -> Vec<(usize, String, Request)> {
    let mut rng = ctx.rng("prompts");
    let mut asks = Vec::new();
    let sound = target
        .body_limit_bytes
        .map_or(SOUND_BYTES, |limit| SOUND_BYTES.min(limit - limit / 4));
    for (number, model) in target.models.iter().enumerate() {
        for (path, body) in BODIES {
            for suffix in SUFFIXES {
                let mut body = body(&nonce(&mut rng));
                body["model"] = model.name.as_str().into();
                let path = format!("{path}{suffix}");
                let request = Request::from_bytes(poolproof_client::Api::Chat, body.to_string());
                asks.push((number, path.clone(), request.at(&path)));
            }
        }
        for query in ["", "?api-version=1"] {
            for is_first in [true, false] {
                let path = format!("{TRANSCRIPTIONS}{query}");
                let request = transcription(&path, &model.name, &nonce(&mut rng), sound, is_first);
                let side = if is_first { "before" } else { "after" };
                asks.push((
                    number,
                    format!("{path} with its model {side} the sound"),
                    request,
                ));
            }
        }
    }
    asks
}

/// A form with a model before or after its sound (RFC 7578).
fn transcription(path: &str, model: &str, boundary: &str, bytes: usize, is_first: bool) -> Request {
    let model = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n{model}\r\n"
    );
    let mut sound = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\nContent-Type: audio/wav\r\n\r\n"
    )
    .into_bytes();
    sound.extend((0..bytes).map(|place| (place % 251) as u8));
    sound.extend(b"\r\n");
    let mut body = Vec::with_capacity(bytes + 1024);
    if is_first {
        body.extend(model.as_bytes());
        body.extend(sound);
    } else {
        body.extend(sound);
        body.extend(model.as_bytes());
    }
    body.extend(format!("--{boundary}--\r\n").as_bytes());
    let mut request = Request::to(Method::POST, path);
    request.body = poolproof_client::Body::Sized(body.into());
    request.header(
        "content-type",
        &format!("multipart/form-data; boundary={boundary}"),
    )
}
