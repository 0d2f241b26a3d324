//! Long streams that are under way while a part of the stack is changed.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use poolproof_cases::context::Context;
use poolproof_cases::expect::{self, Found};
use poolproof_client::drive::{self, Sent};
use poolproof_client::evidence::endpoint;
use poolproof_client::poll;
use poolproof_client::{Api, Connections, Exchange, Request, nonce, payload};
use poolproof_model::target::{Endpoint, Model};
use serde_json::{Value, json};

/// The tokens of a stream, at least and at most: the slowest way through a gateway handles some thousands each second.
const TOKENS: (f64, f64) = (32.0, 3000.0);
/// From one stream to the next: pickers see that endpoints are busy with those before, and spread them.
const APART: Duration = Duration::from_millis(100);
/// The tokens by which the pace is measured.
const PACE_TOKENS: u32 = 16;

/// Requests that opening any number of streams takes, beside the streams. The fastest of them sets the pace: one pause of a busy machine
/// would make the streams so short that they are never all under way.
pub(crate) const PACE_REQUESTS: usize = 4;

/// Streams that are under way.
pub(crate) struct Streams {
    pace: Vec<Exchange>,
    streams: Vec<Sent>,
    /// The tokens that each of them asks for.
    pub(crate) tokens: u32,
}

/// By what a stream of a stack is known to be whole.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Whole {
    /// The tokens that it asked for.
    tokens: u32,
    /// Whether streams of this stack end with their usage.
    have_usage: bool,
    /// The fewest frames of those that are taken to be whole.
    frames: usize,
}

impl Whole {
    /// As streams of `tokens` tokens are that came to their end undisturbed.
    pub(crate) fn like<'a>(undisturbed: impl Iterator<Item = &'a Exchange>, tokens: u32) -> Self {
        let mut whole = Self {
            tokens,
            have_usage: false,
            frames: usize::MAX,
        };
        for stream in undisturbed.filter(|stream| stream.is_success()) {
            whole.have_usage |= completion_tokens(stream).is_some();
            whole.frames = whole.frames.min(stream.frames.len());
        }
        if whole.frames == usize::MAX {
            whole.frames = tokens as usize;
        }
        whole
    }

    /// Whether a stream is whole: all its tokens came, by its usage or, where none is given, by its frames.
    pub(crate) fn is(self, stream: &Exchange) -> bool {
        let all_came = match completion_tokens(stream) {
            Some(tokens) => tokens == u64::from(self.tokens),
            None => !self.have_usage && stream.frames.len() >= self.frames,
        };
        stream.is_success() && all_came
    }

    /// Adds whether a stream is whole.
    pub(crate) fn expect(self, what: &str, stream: &Exchange) -> Found {
        expect::success(what, stream)?;
        let expected = format!("{} tokens", self.tokens);
        let tokens = completion_tokens(stream).map(|tokens| format!("{tokens} tokens"));
        let actual = tokens.unwrap_or_else(|| format!("{} frames", stream.frames.len()));
        expect::that(self.is(stream), what, expected, actual)
    }
}

fn completion_tokens(stream: &Exchange) -> Option<u64> {
    let mut frames = stream.frames.iter().rev();
    frames.find_map(|frame| {
        let chunk: Value = serde_json::from_str(&frame.data).ok()?;
        chunk["usage"]["completion_tokens"].as_u64()
    })
}

impl Streams {
    /// Opens `n` streams of a model, and returns when endpoints work on all of them.
    pub(crate) async fn open(ctx: &Context, model: &Model, n: usize) -> Result<Self> {
        let client = ctx.client(Connections::KeepAlive)?;
        let mut rng = ctx.rng("streams");
        let mut pace = Vec::new();
        for _ in 0..PACE_REQUESTS {
            let request = Request::new(Api::Completions, &model.name, PACE_TOKENS, &mut rng);
            let exchange = client.send(request.timeout(ctx.timeouts.request)).await;
            ensure!(
                exchange.is_success(),
                "before anything was changed: {}",
                exchange.describe()
            );
            pace.push(exchange);
        }
        let fastest = pace.iter().map(Exchange::latency).min().unwrap_or_default();
        let token_s = fastest.as_secs_f64() / f64::from(PACE_TOKENS);
        // As many as take that long at the pace of just now.
        let tokens =
            (ctx.timeouts.under_way.as_secs_f64() / token_s).clamp(TOKENS.0, TOKENS.1) as u32;

        let requests = (0..n).map(|_| {
            let mut body = payload(
                Api::Completions,
                model.name.as_str().into(),
                &nonce(&mut rng),
                tokens,
            );
            body["stream"] = true.into();
            body["stream_options"] = json!({"include_usage": true});
            Request::from_json(Api::Completions, &body).timeout(ctx.timeouts.request)
        });
        let due = requests
            .enumerate()
            .map(|(number, request)| (APART * number as u32, request));
        let streams = drive::scheduled(&client, Instant::now(), due).await;
        let what = format!("{n} streams of {tokens} tokens are all under way");
        let all_begun = poll::until(what, ctx.timeouts.fill, poll::INTERVAL, || async {
            let (running, _) = under_way(ctx, model).await.ok()?;
            (running >= n as f64).then_some(())
        });
        all_begun
            .await
            .with_context(|| format!("{n} streams of {tokens} tokens were never all under way"))?;
        Ok(Self {
            pace,
            streams,
            tokens,
        })
    }

    /// Waits until all have ended. Beside them: the requests by which the pace was measured.
    pub(crate) async fn finish(self) -> Result<(Vec<Exchange>, Vec<Exchange>)> {
        let mut exchanges = Vec::new();
        for stream in self.streams {
            exchanges.push(stream.await.context("a stream of ours")?);
        }
        Ok((exchanges, self.pace))
    }
}

/// The requests that the endpoints of a model work on, and the endpoint that works on fewest of those that work on any: to a picker
/// it is the best of them.
pub(crate) async fn under_way<'a>(ctx: &Context, model: &'a Model) -> Result<(f64, &'a Endpoint)> {
    let (mut all, mut least) = (0.0, None);
    for endpoint in model.pools.iter().flat_map(|pool| &pool.endpoints) {
        if endpoint.url.is_none() {
            continue;
        }
        let running = endpoint::read(&ctx.http, endpoint).await?.running;
        all += running;
        if running > 0.0 && least.is_none_or(|(fewest, _)| running < fewest) {
            least = Some((running, endpoint));
        }
    }
    let (_, endpoint) = least.context("no endpoint works on anything")?;
    Ok((all, endpoint))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(tokens: usize, usage: Option<u64>) -> Exchange {
        let text = std::iter::repeat_n(r#"{"choices":[{"text":"x"}]}"#.to_owned(), tokens);
        let usage =
            usage.map(|n| format!(r#"{{"choices":[],"usage":{{"completion_tokens":{n}}}}}"#));
        crate::made::stream(text.chain(usage).chain(["[DONE]".to_owned()]))
    }

    #[test]
    fn a_clean_end_after_most_of_the_tokens_is_not_whole() {
        let whole = Whole::like([stream(100, Some(100))].iter(), 100);
        assert!(whole.is(&stream(100, Some(100))));
        assert!(!whole.is(&stream(95, None)));
        assert!(!whole.is(&stream(100, None)));
        assert!(!whole.is(&stream(95, Some(95))));
    }

    #[test]
    fn frames_count_where_no_usage_is_given() {
        let whole = Whole::like([stream(100, None)].iter(), 100);
        assert!(whole.is(&stream(100, None)));
        assert!(!whole.is(&stream(99, None)));
        assert!(!Whole::like([].iter(), 100).is(&stream(95, None)));
    }
}
