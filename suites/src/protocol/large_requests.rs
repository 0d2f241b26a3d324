//! Large request bodies arrive whole.

use anyhow::{Context as _, Result};
use bytes::Bytes;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::effort::{Decision, Effort};
use poolproof_cases::expect;
use poolproof_cases::need::{Find, Straight};
use poolproof_client::{Api, Connections, Ending, Request, drive, nonce};
use poolproof_model::target::Target;
use poolproof_model::verdict::{Findings, Outcome};
use rand::{Rng, RngExt};
use serde_json::Value;
use xxhash_rust::xxh64::xxh64;

use super::arrivals::Arrivals;
use super::large_answers::plan;
use super::meaning::Meaning;
use super::straight::Endpoints;
use crate::streams::prompt_tokens;

pub(super) const CASE: Case = Case {
    id: "protocol/large-requests",
    requirement: "Request bodies of 64 KiB, 1 MiB, and the gateway's limit or 5 MiB arrive whole: every byte, or the same JSON encoded again.",
    level: Level::Must,
    source: "RFC 9110, section 8.6, and RFC 9112, section 6; envoyproxy/envoy#46237, \
             kubernetes-sigs/gateway-api-inference-extension#2988, envoyproxy/ai-gateway#1209",
    needs: &[Straight::NEED],
    alpha_parts: 0,
    plan: |target, rates| {
        let plan = plan(rates)?;
        let sizes = sizes(target);
        let bytes: usize = sizes.iter().sum();
        Ok(Effort::requests(plan.n as usize * sizes.len())
            .tokens(plan.n as usize * bytes / BYTES_PER_TOKEN)
            .in_flight(IN_FLIGHT)
            .decides(sizes.map(|_| Decision::Fixed(plan.clone()))))
    },
    run: |ctx| Box::pin(large_requests(ctx)),
};

const KIB: usize = 1024;
/// Of a long word, for most tokenizers.
const BYTES_PER_TOKEN: usize = 8;
const IN_FLIGHT: usize = 4;
/// The largest size without a limit: over gRPC's default for a message, 4 MiB.
const UNLIMITED: usize = 5120 * KIB;
/// From the limit to the largest body.
const MARGIN: usize = KIB;

/// The sizes of bodies in bytes.
fn sizes(target: &Target) -> [usize; 3] {
    let most = target
        .body_limit_bytes
        .map_or(UNLIMITED, |limit| limit.saturating_sub(MARGIN));
    // Over 1 MiB, so that no text but only the hash is fetched from an endpoint's log.
    [64 * KIB, 1025 * KIB, most].map(|size| size.min(most))
}

async fn large_requests(ctx: &Context) -> Result<Outcome> {
    let endpoints = Endpoints::of(ctx)?;
    let client = ctx.client(Connections::KeepAlive)?;
    let mut rng = ctx.rng("prompts");
    let plan = plan(&ctx.rates)?;
    let mut findings = Findings::default();
    let (mut compared, mut encoded_again) = (0, 0);
    let models = &ctx.target.models;
    for size in sizes(&ctx.target) {
        let bodies = (0..plan.n as usize).map(|number| {
            let model = models[number / 2 % models.len()].name.as_str();
            let api = [Api::Completions, Api::Chat][number % 2];
            // Of four, one is a chat of many messages, and one is sent in chunks.
            let is_split = number % 4 == 1;
            (
                api,
                model,
                number % 4 == 2,
                Bytes::from(body(api, model, size, is_split, &mut rng)),
            )
        });
        // Shared by requests and their comparison: all bodies of a size have 100 MiB.
        let bodies: Vec<(Api, &str, bool, Bytes)> = bodies.collect();
        let requests = bodies.iter().map(|(api, _, is_chunked, body)| {
            let request = Request::from_bytes(*api, body.clone()).timeout(ctx.timeouts.request);
            if *is_chunked {
                request.chunked()
            } else {
                request
            }
        });
        let requests: Vec<Request> = requests.collect();
        let through = drive::closed_loop(&client, IN_FLIGHT, requests.iter().cloned()).await;
        let arrivals = Arrivals::read(ctx, std::slice::from_ref(&client)).await?;
        // Where endpoints show what arrived, one round is enough to know whether they take it.
        let twins = match arrivals {
            Some(_) => requests.len().min(4 * models.len()),
            None => requests.len(),
        };
        let asked = bodies.iter().zip(&requests).take(twins);
        let asked = asked.map(|((_, model, _, _), request)| (*model, request.clone()));
        let own = endpoints.answers(IN_FLIGHT, asked).await?;

        let mut damaged = 0;
        for (number, exchange) in through.iter().enumerate() {
            let (api, model, _, body) = &bodies[number];
            let own = own.get(number % twins).context("an own answer")?;
            let mut damages = Vec::new();
            let has_status = exchange.status == own.status && exchange.ending == Ending::Complete;
            if !has_status {
                let (own, through) = (own.describe(), exchange.describe());
                damages.push(format!("{through}; the endpoint itself: {own}"));
            }
            if let Some(arrivals) = &arrivals {
                let hash = format!("{:016x}", xxh64(body, 0));
                for (endpoint, received) in arrivals.of(&exchange.id) {
                    compared += 1;
                    if received.body_xxh64 != hash {
                        encoded_again += 1;
                        let changed = changed(ctx, body, &exchange.id, endpoint).await?;
                        let bytes = received.body_bytes;
                        damages.extend(changed.map(|how| format!("{bytes} bytes, {how}")));
                    }
                }
            } else if prompt_tokens(own) != prompt_tokens(exchange) {
                damages.push(format!("{:?} prompt tokens", prompt_tokens(exchange)));
            }
            damaged += u64::from(!damages.is_empty());
            let kib = size / KIB;
            findings.add(expect::that(
                damages.is_empty(),
                &format!("body {} of {kib} KiB by {api:?}, {model}", number + 1),
                format!("{} bytes arrive as they were sent", body.len()),
                damages.join("; "),
            ));
        }
        let of = format!("share of damaged bodies of {} KiB", size / KIB);
        findings.add_statistic(plan.decide(of, damaged, plan.n));
    }
    if encoded_again > 0 {
        findings.note(format!(
            "{encoded_again} bodies arrived with other bytes than were sent"
        ));
    }
    let by = if compared > 0 {
        format!("{compared} arrived with the bytes that were sent, or mean the same")
    } else {
        "the prompt tokens are those of the endpoint's own answers; bodies were not seen".to_owned()
    };
    Ok(findings.outcome(format!("{} bodies of each size: {by}", plan.n)))
}

/// How a body that arrived with other bytes differs in its meaning; `None` if it does not.
async fn changed(ctx: &Context, sent: &[u8], id: &str, endpoint: &str) -> Result<Option<String>> {
    let Some(arrived) = Arrivals::body(ctx, id, endpoint).await? else {
        return Ok(Some("too long or no text".to_owned()));
    };
    let sent = std::str::from_utf8(sent).context("what was sent is no text")?;
    let sent = Meaning::of(sent).map_err(anyhow::Error::msg)?;
    Ok(match Meaning::of(&arrived) {
        Ok(arrived) => sent.difference(&arrived),
        Err(error) => Some(error),
    })
}

/// A body of exactly this size, with a text that nowhere repeats itself. `is_split`: as many messages.
fn body(api: Api, model: &str, size: usize, is_split: bool, rng: &mut impl Rng) -> String {
    /// Of a message, so that few tokens go to what surrounds it.
    const MESSAGE: usize = 8 * KIB;
    let model = Value::from(model);
    let start = match api {
        Api::Completions => r#"{"prompt":""#.to_owned() + &nonce(rng),
        _ => r#"{"messages":[{"role":"user","content":""#.to_owned() + &nonce(rng),
    };
    let end = match api {
        Api::Completions => r#"""#,
        _ => r#""}]"#,
    };
    let end = format!(r#"{end},"max_tokens":1,"ignore_eos":true,"model":{model}}}"#);
    let split = r#""},{"role":"user","content":""#;
    let mut body = start;
    let mut since = 0;
    while body.len() + end.len() < size {
        let left = size - end.len() - body.len();
        if is_split && api == Api::Chat && since >= MESSAGE && left > split.len() {
            body.push_str(split);
            since = 0;
            continue;
        }
        let piece = format!("{:016x}", rng.random::<u64>());
        let piece = &piece[..piece.len().min(left)];
        body.push_str(piece);
        since += piece.len();
    }
    body.push_str(&end);
    body
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use poolproof_model::topology::Topology;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn bodies_have_their_size_and_are_json() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for (api, is_split) in [
            (Api::Completions, false),
            (Api::Chat, false),
            (Api::Chat, true),
        ] {
            let body = body(api, "m", 64 * KIB, is_split, &mut rng);
            assert_eq!(body.len(), 64 * KIB);
            let json: Value = serde_json::from_str(&body).unwrap();
            assert_eq!(json["model"], "m");
            let messages = json["messages"].as_array().map_or(0, Vec::len);
            assert_eq!(messages > 1, is_split, "{messages}");
        }
    }

    #[test]
    fn no_body_is_over_the_limit() {
        let mut target = Target::planned(&Topology::default()).unwrap();
        target.body_limit_bytes = Some(500_000);
        assert!(sizes(&target).iter().all(|size| *size < 500_000));
        target.body_limit_bytes = None;
        assert_eq!(sizes(&target)[2], UNLIMITED);
    }
}
