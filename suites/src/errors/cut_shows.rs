//! An answer that its endpoint breaks off does not look whole, nor like the client's mistake.

use anyhow::{Context as _, Result};
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Context;
use poolproof_cases::effort::Effort;
use poolproof_cases::expect::{self, Found};
use poolproof_cases::need::{EndpointLogs, Find};
use poolproof_client::{Ending, Exchange};
use poolproof_model::verdict::{Findings, Outcome};
use serde_json::Value;

use crate::mix::Kind;
use crate::ways::{Clients, STREAMS, VERSIONS_REQUESTS, WHOLE, directed};

pub(super) const CASE: Case = Case {
    id: "errors/cut-shows",
    requirement: "An answer that its endpoint breaks off ends with a reset, a 5xx or an error event, never as if it were whole, and never \
                  as an error of the client.",
    level: Level::Must,
    source: "RFC 9112, section 8: an incomplete message must be seen to be so; OpenAI API, errors; BerriAI/litellm#41777",
    needs: &[EndpointLogs::NEED],
    alpha_parts: 0,
    plan: |_, _| {
        Ok(Effort::requests(BREAKS.len() * REPEATS + VERSIONS_REQUESTS).in_flight(IN_FLIGHT))
    },
    run: |ctx| Box::pin(cut_shows(ctx)),
};

/// A way in which an answer breaks.
struct Break {
    what: &'static str,
    ways: &'static [Kind],
    directive: fn(usize) -> String,
}

const BREAKS: [Break; 4] = [
    Break {
        what: "a stream that is cut",
        ways: &STREAMS,
        // Before the first token, and after more and more of them.
        directive: |number| format!("cut-after-{}", number.min(TOKENS as usize - 1)),
    },
    Break {
        what: "a request whose connection is reset",
        ways: &Kind::ALL,
        directive: |_| "reset".to_owned(),
    },
    Break {
        what: "an answer that is cut before its content-length",
        ways: &WHOLE,
        directive: |number| format!("cut-body-{}", number * CUT_STEP_BYTES),
    },
    Break {
        what: "an answer in chunks that is cut before the last one",
        ways: &WHOLE,
        directive: |number| format!("cut-chunks-{}", number * CUT_STEP_BYTES),
    },
];
/// Requests of a kind: a fault in one of five is caught with a power of 0.995.
const REPEATS: usize = 24;
const TOKENS: u32 = 25;
/// Answers are longer than 24 of these.
const CUT_STEP_BYTES: usize = 10;
const IN_FLIGHT: usize = 8;

async fn cut_shows(ctx: &Context) -> Result<Outcome> {
    let models = &ctx.target.models;
    let clients = Clients::of(ctx, models.first().context("a model")?).await?;
    let mut rng = ctx.rng("prompts");
    let mut findings = Findings::default();
    for kind in &BREAKS {
        let requests = (0..REPEATS).map(|number| {
            let way = kind.ways[number % kind.ways.len()];
            let model = &models[number / Kind::ALL.len() % models.len()];
            let request = way.full_request(ctx, model, TOKENS, &mut rng);
            directed(request, &(kind.directive)(number))
        });
        // Both versions with each model.
        let requests: Vec<_> = requests.collect();
        let exchanges = clients.send(IN_FLIGHT, Kind::ALL.len() * 2, requests).await;
        for (number, exchange) in exchanges.iter().enumerate() {
            let way = kind.ways[number % kind.ways.len()];
            let what = format!(
                "{} ({}, {})",
                kind.what,
                way.in_words(),
                (kind.directive)(number)
            );
            findings.add(shows(&what, exchange));
            let took = exchange.latency();
            findings.add(expect::that(
                took < ctx.timeouts.refusal,
                &what,
                format!("an end within {:?}", ctx.timeouts.refusal),
                format!("{} ms", took.as_millis()),
            ));
        }
    }
    Ok(findings.outcome(format!(
        "{} breaks of {} kinds, each seen as one, {}",
        BREAKS.len() * REPEATS,
        BREAKS.len(),
        clients.in_words()
    )))
}

/// Expects an end that shows the break.
fn shows(what: &str, exchange: &Exchange) -> Found {
    let error = exchange.frames.iter().rev().find_map(|frame| {
        if frame.name.eq_ignore_ascii_case("error") {
            let text = || Value::String(frame.data.clone());
            return Some(serde_json::from_str(&frame.data).unwrap_or_else(|_| text()));
        }
        let event: Value = serde_json::from_str(&frame.data).ok()?;
        event.get("error").filter(|error| !error.is_null()).cloned()
    });
    let is_shown = match &exchange.ending {
        Ending::Cut(_) | Ending::NotConnected(_) => true,
        Ending::Complete => {
            let refused = exchange.status.is_some_and(|status| status >= 500);
            refused || error.is_some()
        }
        _ => false,
    };
    let blamed = exchange.status.filter(|status| (400..500).contains(status));
    let is_clients = blamed.is_some() || error.as_ref().is_some_and(is_error_of_the_client);
    let actual = match error {
        Some(error) => format!("{} events, an error: {error}", exchange.frames.len()),
        None => format!("{} events, {}", exchange.frames.len(), exchange.describe()),
    };
    expect::that(
        is_shown && !is_clients,
        what,
        "a reset, a 5xx, or an error event that is not the client's",
        actual,
    )
}

/// Whether an error of the OpenAI API is a fault of the request.
fn is_error_of_the_client(error: &Value) -> bool {
    let code = &error["code"];
    let code = code.as_u64().or_else(|| code.as_str()?.parse().ok());
    error["type"] == "invalid_request_error" || code.is_some_and(|code| (400..500).contains(&code))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::made::{exchange, stream};

    #[test]
    fn a_break_shows_by_a_cut_a_5xx_or_an_error_event() {
        let cut = Ending::Cut(String::new());
        assert!(shows("", &exchange("a", Some(200), cut)).is_ok());
        assert!(shows("", &exchange("a", Some(502), Ending::Complete)).is_ok());
        let error = r#"{"error":{"message":"gone","code":500}}"#;
        assert!(shows("", &stream(["{}", error].map(str::to_owned))).is_ok());
    }

    #[test]
    fn a_clean_end_and_an_error_of_the_client_do_not_show_it() {
        for status in [200, 400, 499] {
            assert!(shows("", &exchange("a", Some(status), Ending::Complete)).is_err());
        }
        assert!(shows("", &exchange("a", Some(200), Ending::TimedOut)).is_err());
        for events in [
            ["{}", "[DONE]"],
            ["{}", r#"{"error":{"type":"invalid_request_error"}}"#],
            ["{}", r#"{"error":{"code":"400"}}"#],
            [r#"{"error":null}"#, "[DONE]"],
        ] {
            assert!(
                shows("", &stream(events.map(str::to_owned))).is_err(),
                "{events:?}"
            );
        }
    }
}
