//! Large answers arrive whole.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use poolproof_cases::budget::Rates;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::effort::{Decision, Effort};
use poolproof_cases::expect;
use poolproof_cases::need::{EndpointLogs, Find, Straight};
use poolproof_client::{Api, Connections, Exchange, Request, drive, nonce, payload};
use poolproof_model::verdict::{Findings, Outcome};
use poolproof_stats::binomial::{Plan, Question};

use super::straight::{Endpoints, text};

pub(super) const CASE: Case = Case {
    id: "protocol/large-answers",
    requirement: "Answers of 128 KiB, 1 MiB and 4 MiB, and streams of 1 MiB, arrive with the text that the endpoint itself gives.",
    level: Level::Must,
    source: "RFC 9110, section 8.6, and RFC 9112, section 8: what is incomplete is an error; envoyproxy/envoy#43983, \
             envoyproxy/ai-gateway#1209",
    needs: &[EndpointLogs::NEED, Straight::NEED],
    alpha_parts: 0,
    plan: |_, rates| {
        let plan = plan(rates)?;
        Ok(Effort::requests(plan.n as usize * SHAPES.len())
            .in_flight(IN_FLIGHT)
            .decides(SHAPES.map(|_| Decision::Fixed(plan.clone()))))
    },
    run: |ctx| Box::pin(large_answers(ctx)),
};

const KIB: usize = 1024;
/// The length of the text in bytes, and whether it is streamed.
const SHAPES: [(usize, bool); 4] = [
    (128 * KIB, false),
    (1024 * KIB, false),
    (4096 * KIB, false),
    (1024 * KIB, true),
];
/// The tokens of a stream: each has 64 KiB.
const TOKENS: u32 = 16;
const IN_FLIGHT: usize = 4;
/// Answers that are kept at a time.
const BATCH: usize = 8;
/// The smallest share of damaged answers that must be caught.
const DAMAGED: f64 = 0.2;

/// That none is damaged. A correct gateway damages none: no alpha is spent, as small as it may be.
pub(super) fn plan(rates: &Rates) -> Result<Plan> {
    let question = Question::AtMost {
        null: 0.0,
        bad: DAMAGED,
    };
    Plan::new(question, rates.alpha, rates.power)
}

async fn large_answers(ctx: &Context) -> Result<Outcome> {
    EndpointLogs::find(&ctx.target)?;
    let endpoints = Endpoints::of(ctx)?;
    let client = ctx.client(Connections::KeepAlive)?;
    let mut rng = ctx.rng("prompts");
    let plan = plan(&ctx.rates)?;
    // One prompt for each model: equal requests have equal answers.
    let prompts: BTreeMap<&str, String> = ctx
        .target
        .models
        .iter()
        .map(|model| (model.name.as_str(), nonce(&mut rng)))
        .collect();
    let models: Vec<&str> = prompts.keys().copied().collect();
    let mut findings = Findings::default();
    for (bytes, stream) in SHAPES {
        let request = |api: Api, model: &str| {
            let mut body = payload(api, model.into(), &prompts[model], TOKENS);
            body["stream"] = stream.into();
            Request::from_json(api, &body)
                .header("x-poolproof-answer", &format!("answer-bytes-{bytes}"))
                .timeout(ctx.timeouts.request)
        };
        let kinds: Vec<(Api, &str)> = models
            .iter()
            .flat_map(|model| [Api::Completions, Api::Chat].map(|api| (api, *model)))
            .collect();
        let asked = kinds
            .iter()
            .map(|(api, model)| (*model, request(*api, model)));
        let own = endpoints.answers(IN_FLIGHT, asked).await?;
        let own: Vec<String> = own.iter().map(text).collect();
        for text in &own {
            let length = text.len();
            anyhow::ensure!(
                length == bytes,
                "an endpoint gave {length} bytes instead of {bytes}"
            );
        }
        let kind = |number: usize| kinds[number % kinds.len()];
        let how = if stream { "streams" } else { "answers" };
        let size = format!("{how} of {} KiB", bytes / KIB);
        let mut damaged = 0;
        let numbers: Vec<usize> = (0..plan.n as usize).collect();
        for batch in numbers.chunks(BATCH) {
            let mut sent = Vec::new();
            for number in batch {
                let (api, model) = kind(*number);
                sent.push(request(api, model));
            }
            let exchanges = drive::closed_loop(&client, IN_FLIGHT, sent.into_iter()).await;
            for (number, exchange) in batch.iter().zip(&exchanges) {
                let (api, model) = kind(*number);
                let wanted = own.get(number % kinds.len()).context("an own answer")?;
                let damage = damage(exchange, wanted);
                damaged += u64::from(damage.is_some());
                let what = format!("{size}, number {} by {api:?}, {model}", number + 1);
                findings.add(expect::that(
                    damage.is_none(),
                    &what,
                    "the text that the endpoint itself gives",
                    damage.unwrap_or_default(),
                ));
            }
        }
        findings.add_statistic(plan.decide(format!("share of damaged {size}"), damaged, plan.n));
    }
    Ok(findings.outcome(format!(
        "{} of each of {} sizes have the text of the endpoint's own answer",
        plan.n,
        SHAPES.len()
    )))
}

/// What is wrong with an answer.
fn damage(exchange: &Exchange, wanted: &str) -> Option<String> {
    if !exchange.is_success() {
        return Some(exchange.describe());
    }
    let text = text(exchange);
    if text == wanted {
        return None;
    }
    let pairs = text.bytes().zip(wanted.bytes());
    let same = pairs.take_while(|(own, wanted)| own == wanted).count();
    Some(format!(
        "{} bytes of text in a body of {}, the same up to byte {same}",
        text.len(),
        exchange.body.len()
    ))
}

#[cfg(test)]
mod tests {
    use poolproof_client::Ending;

    use super::*;
    use crate::made;

    #[test]
    fn another_text_is_damage_though_its_length_is_right() {
        let mut exchange = made::exchange("a", Some(200), Ending::Complete);
        exchange.body = br#"{"choices":[{"text":"abcd"}]}"#.to_vec();
        assert_eq!(damage(&exchange, "abcd"), None);
        let found = damage(&exchange, "abxd");
        assert!(found.is_some_and(|found| found.ends_with("up to byte 2")));
        exchange.body.truncate(20);
        assert!(damage(&exchange, "abcd").is_some_and(|found| found.starts_with("0 bytes")));
    }
}
