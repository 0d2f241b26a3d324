//! Compressed bodies: requests reach their model's pool or are refused, and answers decode to what the endpoint sent.

use std::io::{Read, Write};
use std::time::Instant;

use anyhow::Result;
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::effort::{Decision, Effort};
use poolproof_cases::expect;
use poolproof_cases::need::{EndpointLogs, EndpointNames, Find};
use poolproof_client::{Connections, Ending, Exchange, Request, drive, nonce, payload};
use poolproof_model::verdict::{Findings, Outcome};
use rand::RngExt;
use serde_json::json;

use super::events::{Content, model_to_ask, own_contents};
use super::{none_of, of_own_pool};
use crate::mix::Kind;
use crate::ways::directed;

pub(super) const CASE: Case = Case {
    id: "protocol/compression",
    requirement: "A compressed request body reaches its model's pool or is refused with a 4xx other than 404 that has a body, \
                  and an answer decodes, by its content-encoding, to what the endpoint sent.",
    level: Level::Must,
    source: "RFC 9110, sections 8.4 and 15.5.16: content-encoding is that of the body, 415 for one not supported; \
             agentgateway/agentgateway#2402 and #3040",
    needs: &[EndpointNames::NEED],
    alpha_parts: 0,
    plan: |_, rates| {
        let plan = none_of(BAD, rates)?;
        let samples = Encoded::ALL.len() + Kind::ALL.len();
        let effort = Effort::requests(plan.n as usize * samples).in_flight(IN_FLIGHT);
        Ok(effort.decides(vec![Decision::Fixed(plan); samples]))
    },
    run: |ctx| Box::pin(compression(ctx)),
};

/// The smallest share of wrong answers of each kind that must be caught.
const BAD: f64 = 0.2;
const IN_FLIGHT: usize = 4;
const TOKENS: u32 = 8;
/// The lengths of request bodies before they are compressed, about, in bytes: large ones are read in several pieces.
const BODIES_BYTES: [usize; 3] = [0, 16 << 10, 96 << 10];
/// An answer that names none of these is compressed by a coding that is not compared.
const ACCEPTED: &str = "gzip, br";

/// How the body of a request is encoded.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Encoded {
    /// By gzip, as its header says.
    Gzip,
    /// Not at all, though its header says gzip.
    NotAtAll,
    /// By gzip, under a coding that nobody knows.
    Unknown,
}

impl Encoded {
    const ALL: [Self; 3] = [Self::Gzip, Self::NotAtAll, Self::Unknown];

    fn header(self) -> &'static str {
        match self {
            Self::Gzip | Self::NotAtAll => "gzip",
            Self::Unknown => "x-poolproof",
        }
    }

    fn encode(self, body: &str) -> Result<Vec<u8>> {
        if self == Self::NotAtAll {
            return Ok(body.as_bytes().to_vec());
        }
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(body.as_bytes())?;
        Ok(encoder.finish()?)
    }
}

async fn compression(ctx: &Context) -> Result<Outcome> {
    let mut findings = Findings::default();
    let mut done = Vec::new();
    for encoded in Encoded::ALL {
        done.push(requests(ctx, encoded, &mut findings).await?);
    }
    if EndpointLogs::look(&ctx.target).is_none() {
        findings.note(format!(
            "no answer was asked for compressed: the target lacks {}",
            EndpointLogs::WHAT
        ));
        return Ok(findings.outcome(done.join("; ")));
    }
    match answers(ctx, &mut findings).await? {
        Ok(compared) => done.push(compared),
        Err(doubt) if findings.failed() => findings.note(doubt),
        Err(doubt) => return Ok(Outcome::invalid(doubt)),
    }
    Ok(findings.outcome(done.join("; ")))
}

/// Sends encoded requests. Returns what became of them.
async fn requests(ctx: &Context, encoded: Encoded, findings: &mut Findings) -> Result<String> {
    let plan = none_of(BAD, &ctx.rates)?;
    let models = &ctx.target.models;
    let mut rng = ctx.rng(&format!("requests {encoded:?}"));
    let (mut asked, mut sent) = (Vec::new(), Vec::new());
    for number in 0..plan.n as usize {
        let model = &models[number % models.len()];
        let kind = Kind::ALL[(number / models.len()) % Kind::ALL.len()];
        let bytes = BODIES_BYTES[number % BODIES_BYTES.len()];
        let mut body = payload(
            kind.api,
            model.name.as_str().into(),
            &nonce(&mut rng),
            TOKENS,
        );
        body["stream"] = kind.streamed.into();
        // Random digits: of a repeated text little would be left.
        let filler: String = (0..bytes / 16)
            .map(|_| format!("{:016x}", rng.random::<u64>()))
            .collect();
        body["user"] = filler.into();
        let body = encoded.encode(&body.to_string())?;
        let request =
            Request::from_bytes(kind.api, body).header("content-encoding", encoded.header());
        sent.push(request.timeout(ctx.timeouts.request));
        asked.push((
            model,
            format!("{} for {}, {bytes} bytes more", kind.in_words(), model.name),
        ));
    }
    let client = ctx.client(Connections::KeepAlive)?;
    let exchanges = drive::closed_loop(&client, IN_FLIGHT, sent.into_iter()).await;
    let (mut served, mut refused, mut wrong) = (0, 0, 0);
    for ((model, what), exchange) in asked.iter().zip(&exchanges) {
        let what = format!("{encoded:?}: {what}");
        let before = findings.mismatches();
        let is_refusal = exchange
            .status
            .is_some_and(|status| (400..500).contains(&status))
            && exchange.status != Some(404)
            && exchange.ending == Ending::Complete
            && !exchange.body.is_empty();
        findings.add(expect::that(
            exchange.is_success() || is_refusal,
            &what,
            "200, or a 4xx other than 404 with a body",
            exchange.describe(),
        ));
        of_own_pool(ctx, &what, model, exchange, findings);
        served += usize::from(exchange.is_success());
        refused += usize::from(is_refusal);
        wrong += u64::from(findings.mismatches() > before);
    }
    let of = format!("share of wrong answers to bodies encoded as {encoded:?}");
    findings.add_statistic(plan.decide(of, wrong, plan.n));
    Ok(format!(
        "{encoded:?}: {served} served by their own pool, {refused} refused"
    ))
}

/// Asks for compressed answers, and compares them with what an endpoint answers itself.
async fn answers(ctx: &Context, findings: &mut Findings) -> Result<Result<String, String>> {
    let plan = none_of(BAD, &ctx.rates)?;
    let (model, pool) = model_to_ask(&ctx.target)?;
    let mut rng = ctx.rng("answers");
    let plain: Vec<Request> = Kind::ALL
        .iter()
        .map(|kind| {
            let request = request(*kind, &model.name, &nonce(&mut rng));
            request.timeout(ctx.timeouts.request)
        })
        .collect();
    let own = match own_contents(ctx, pool, IN_FLIGHT, &plain).await {
        Ok(own) => own,
        Err(error) => return Ok(Err(format!("nothing to compare with: {error:#}"))),
    };
    let client = ctx.client(Connections::KeepAlive)?;
    let (mut compressed, mut all, mut other) = (0, 0, 0);
    for ((request, own), kind) in plain.iter().zip(&own).zip(Kind::ALL) {
        let request = request.clone().header("accept-encoding", ACCEPTED);
        let request = directed(request, "gzip");
        let requests = std::iter::repeat_n(request, plan.n as usize);
        let exchanges = drive::closed_loop(&client, IN_FLIGHT, requests).await;
        let mut wrong = 0;
        for exchange in &exchanges {
            let what = format!("a compressed answer to {}", kind.in_words());
            let difference = match decoded(exchange) {
                Ok(Some(body)) => {
                    let content = Content::of_body(kind.streamed, &body, Instant::now());
                    content.map_or_else(Some, |content| own.difference(&content))
                }
                Ok(None) => {
                    other += 1;
                    None
                }
                Err(error) => Some(error),
            };
            all += 1;
            compressed += usize::from(exchange.header("content-encoding") == Some("gzip"));
            wrong += u64::from(difference.is_some());
            findings.add(expect::that(
                difference.is_none(),
                &what,
                "a body that decodes to the endpoint's own answer",
                difference.unwrap_or_default(),
            ));
        }
        let of = format!("share of wrong compressed answers to {}", kind.in_words());
        findings.add_statistic(plan.decide(of, wrong, plan.n));
    }
    if other > 0 {
        findings.note(format!("{other} answers by a coding that is not compared"));
    }
    Ok(Ok(format!(
        "{} of {all} answers compared with the endpoint's own, {compressed} of them compressed",
        all - other
    )))
}

fn request(kind: Kind, model: &str, prompt: &str) -> Request {
    let mut body = payload(kind.api, model.into(), prompt, TOKENS);
    body["stream"] = kind.streamed.into();
    if kind.streamed {
        body["stream_options"] = json!({"include_usage": true});
    }
    Request::from_json(kind.api, &body)
}

/// The body of a complete 200, decoded by its content-encoding; `None` if by one that cannot be decoded here.
fn decoded(exchange: &Exchange) -> Result<Option<Vec<u8>>, String> {
    if exchange.status != Some(200) || exchange.ending != Ending::Complete {
        return Err(exchange.describe());
    }
    match exchange.header("content-encoding") {
        None | Some("identity") => Ok(Some(exchange.body.clone())),
        Some("gzip") => {
            let mut body = Vec::new();
            let mut decoder = MultiGzDecoder::new(exchange.body.as_slice());
            match decoder.read_to_end(&mut body) {
                Ok(_) => Ok(Some(body)),
                Err(error) => Err(format!(
                    "content-encoding gzip, but: {error}; {}",
                    exchange.describe()
                )),
            }
        }
        Some(other) => {
            let is_plain = [&b"{"[..], b"data:", b":"]
                .iter()
                .any(|start| exchange.body.starts_with(start));
            if is_plain {
                return Err(format!(
                    "content-encoding {other}, but: {}",
                    exchange.describe()
                ));
            }
            Ok(None)
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn answer(encoding: Option<&str>, body: &[u8]) -> Exchange {
        let mut exchange = crate::made::exchange("a", Some(200), Ending::Complete);
        exchange.body = body.to_vec();
        if let Some(encoding) = encoding {
            exchange
                .headers
                .insert("content-encoding", encoding.parse().unwrap());
        }
        exchange
    }

    #[test]
    fn a_body_is_decoded_by_its_header_and_a_plain_one_under_a_coding_is_wrong() {
        let gzip = Encoded::Gzip.encode("{}").unwrap();
        assert_eq!(
            decoded(&answer(Some("gzip"), &gzip)).unwrap().unwrap(),
            b"{}"
        );
        assert_eq!(decoded(&answer(None, b"{}")).unwrap().unwrap(), b"{}");
        for coding in ["gzip", "br"] {
            assert!(decoded(&answer(Some(coding), b"{}")).is_err());
        }
        assert!(decoded(&answer(Some("gzip"), &gzip[..gzip.len() - 4])).is_err());
        assert_eq!(decoded(&answer(Some("br"), b"\x0b\x01")), Ok(None));
    }
}
