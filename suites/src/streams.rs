//! Long streams that are under way while a part of the stack is changed.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use poolproof_cases::context::Context;
use poolproof_cases::expect::{self, Found};
use poolproof_client::drive::{self, Sent};
use poolproof_client::evidence::endpoint;
use poolproof_client::poll;
use poolproof_client::{Connections, Exchange};
use poolproof_model::target::{Endpoint, Model};
use serde_json::Value;

use crate::mix::Mix;
use crate::ways::STREAMS;

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
    /// The requests by which the pace was measured.
    pace: Vec<Exchange>,
    streams: Vec<Sent>,
    /// The tokens that each of them asks for.
    pub(crate) tokens: u32,
}

/// How an answer of known length ends (OpenAI API, `finish_reason`). Other reasons say that it was broken off.
const FINISH_REASONS: [&str; 3] = ["stop", "length", "tool_calls"];

/// By what an answer of a stack is known to be whole, streamed or not.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Whole {
    /// The tokens that it asked for.
    tokens: u32,
    /// Whether streams of this stack end with their usage.
    have_usage: bool,
    /// The frames with text that a whole stream has at least.
    pieces: usize,
}

impl Whole {
    /// As answers of `tokens` tokens are that came to their end undisturbed.
    pub(crate) fn like<'a>(undisturbed: impl Iterator<Item = &'a Exchange>, tokens: u32) -> Self {
        let (mut have_usage, mut fewest, mut most) = (false, usize::MAX, 0);
        for stream in undisturbed.filter(|it| it.is_success() && it.is_event_stream()) {
            if completion_tokens(stream).is_some() {
                have_usage = true;
                continue;
            }
            let pieces = pieces(stream);
            fewest = fewest.min(pieces);
            most = most.max(pieces);
        }
        // A server may join tokens in a frame. Where one stream has a frame for each token, none has joined any.
        let each_token = tokens as usize;
        let joined = most > 0 && most < each_token;
        Self {
            tokens,
            have_usage,
            pieces: if joined { fewest } else { each_token },
        }
    }

    /// Whether an answer is whole: all its tokens came, by its usage or, where a stream gives none, by its frames, and it does not
    /// end for another reason.
    pub(crate) fn is(self, answer: &Exchange) -> bool {
        let all_came = match completion_tokens(answer) {
            Some(tokens) => tokens == u64::from(self.tokens),
            None if answer.is_event_stream() => !self.have_usage && pieces(answer) >= self.pieces,
            None => true,
        };
        let reason = finish_reason(answer);
        let ended = reason.is_none_or(|reason| FINISH_REASONS.contains(&reason.as_str()));
        answer.is_success() && all_came && ended
    }

    /// Adds whether an answer is whole.
    pub(crate) fn expect(self, what: &str, answer: &Exchange) -> Found {
        expect::success(what, answer)?;
        let expected = format!("{} tokens", self.tokens);
        let tokens = completion_tokens(answer).map(|tokens| format!("{tokens} tokens"));
        let mut actual = tokens.unwrap_or_else(|| format!("{} frames with text", pieces(answer)));
        if let Some(reason) = finish_reason(answer) {
            actual.push_str(&format!(", finish_reason {reason}"));
        }
        expect::that(self.is(answer), what, expected, actual)
    }
}

fn completion_tokens(answer: &Exchange) -> Option<u64> {
    if answer.is_event_stream() {
        return answer.answered().ok()?.usage.map(|(_, tokens)| tokens);
    }
    last(answer, |chunk| chunk["usage"]["completion_tokens"].as_u64())
}

/// The frames of a stream that hold a part of its text: not the one that opens a chat, nor an end without text.
fn pieces(stream: &Exchange) -> usize {
    let is_piece = |data: &str| {
        let chunk: Value = serde_json::from_str(data).unwrap_or_default();
        let choice = &chunk["choices"][0];
        let text = choice["text"].as_str();
        let text = text.or_else(|| choice["delta"]["content"].as_str());
        let may_be_empty = choice["finish_reason"].is_null() && choice["delta"]["role"].is_null();
        text.is_some_and(|text| !text.is_empty() || may_be_empty)
    };
    let frames = stream.frames.iter();
    frames.filter(|frame| is_piece(&frame.data)).count()
}

fn finish_reason(answer: &Exchange) -> Option<String> {
    if answer.is_event_stream() {
        return answer.answered().ok()?.finish;
    }
    last(answer, |chunk| {
        let reason = chunk["choices"][0]["finish_reason"].as_str()?;
        Some(reason.to_owned())
    })
}

/// The tokens of the prompt, by the usage of an answer.
pub(crate) fn prompt_tokens(answer: &Exchange) -> Option<u64> {
    last(answer, |chunk| chunk["usage"]["prompt_tokens"].as_u64())
}

/// What `read` finds in the last frame of a stream that has it, or in the body of another answer.
fn last<T>(answer: &Exchange, read: impl Fn(&Value) -> Option<T>) -> Option<T> {
    let read = |json: &[u8]| read(&serde_json::from_slice(json).ok()?);
    if !answer.is_event_stream() {
        return read(&answer.body);
    }
    let mut frames = answer.frames.iter().rev();
    frames.find_map(|frame| read(frame.data.as_bytes()))
}

impl Streams {
    /// Opens `n` streams of a model, and returns when endpoints work on all of them.
    pub(crate) async fn open(ctx: &Context, model: &Model, n: usize) -> Result<Self> {
        Self::open_at_once(ctx, model, n, 1).await
    }

    /// The same for `n` pairs of streams, one by each API: most endpoints work on streams of both.
    pub(crate) async fn open_pairs(ctx: &Context, model: &Model, n: usize) -> Result<Self> {
        Self::open_at_once(ctx, model, 2 * n, 2).await
    }

    /// Opens `n` streams, `at_once` of them at a time.
    async fn open_at_once(ctx: &Context, model: &Model, n: usize, at_once: usize) -> Result<Self> {
        let client = ctx.client(Connections::KeepAlive)?;
        let mut rng = ctx.rng("streams");
        let (mut mix, mut pace) = (Mix::default(), Vec::new());
        for _ in 0..PACE_REQUESTS {
            let request = mix.request(&model.name, PACE_TOKENS, &mut rng);
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
        let mut tokens =
            (ctx.timeouts.under_way.as_secs_f64() / token_s).clamp(TOKENS.0, TOKENS.1) as u32;
        loop {
            let requests = (0..n).map(|number| {
                let kind = STREAMS[number % STREAMS.len()];
                let request = kind.with_usage(&model.name, tokens, &mut rng);
                request.timeout(ctx.timeouts.request)
            });
            let due = requests
                .enumerate()
                .map(|(number, request)| (APART * (number / at_once) as u32, request));
            let streams = drive::scheduled(&client, Instant::now(), due).await;
            let what = format!("{n} streams of {tokens} tokens are all under way");
            let all_begun = poll::until(what, ctx.timeouts.fill, poll::INTERVAL, || async {
                let running = under_way(ctx, model).await.map_or(0.0, |(all, _)| all);
                let ended = streams.iter().any(|stream| stream.is_finished());
                (ended || running >= n as f64).then_some(!ended)
            });
            let is_longest = f64::from(tokens) >= TOKENS.1;
            if all_begun.await? {
                return Ok(Self {
                    pace,
                    streams,
                    tokens,
                });
            }
            let ended = ended(streams).await?;
            for stream in &ended {
                ensure!(
                    stream.is_success(),
                    "before anything was changed: {}",
                    stream.describe()
                );
            }
            ensure!(
                !is_longest,
                "of {n} streams of {tokens} tokens the first ended before the last was under way"
            );
            // The pace has changed, as that of a busy machine does.
            pace.extend(ended);
            tokens = (tokens * 2).min(TOKENS.1 as u32);
        }
    }

    /// Waits until all have ended. Beside them: the requests by which the pace was measured.
    pub(crate) async fn finish(self) -> Result<(Vec<Exchange>, Vec<Exchange>)> {
        Ok((ended(self.streams).await?, self.pace))
    }
}

async fn ended(streams: Vec<Sent>) -> Result<Vec<Exchange>> {
    let mut exchanges = Vec::new();
    for stream in streams {
        exchanges.push(stream.await.context("a stream of ours")?);
    }
    Ok(exchanges)
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
    use poolproof_client::Ending;

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
    fn the_fewest_frames_of_others_do_not_lower_what_a_whole_stream_has() {
        let others = [stream(100, None), stream(90, None)];
        assert!(!Whole::like(others.iter(), 100).is(&stream(90, None)));
        // A server that joins tokens: nothing shows how many frames there must be.
        let joined = [stream(40, None), stream(38, None)];
        assert!(Whole::like(joined.iter(), 100).is(&stream(38, None)));
        assert!(!Whole::like(joined.iter(), 100).is(&stream(20, None)));
    }

    #[test]
    fn a_finish_reason_of_a_broken_answer_is_not_whole() {
        let ends = |reason: &str| {
            let end = format!(r#"{{"choices":[{{"text":"","finish_reason":"{reason}"}}]}}"#);
            let usage = r#"{"choices":[],"usage":{"completion_tokens":2}}"#.to_owned();
            crate::made::stream([end, usage, "[DONE]".to_owned()])
        };
        let whole = Whole::like([ends("length")].iter(), 2);
        assert!(whole.is(&ends("length")) && whole.is(&ends("stop")));
        assert!(!whole.is(&ends("cancelled")) && !whole.is(&ends("error")));
    }

    #[test]
    fn an_answer_that_is_not_streamed_is_judged_by_its_usage() {
        let answer = |tokens: u32| {
            let mut answer = crate::made::exchange("a", Some(200), Ending::Complete);
            answer.body = format!(r#"{{"usage":{{"completion_tokens":{tokens}}}}}"#).into_bytes();
            answer
        };
        let whole = Whole::like([].iter(), 8);
        assert!(whole.is(&answer(8)) && !whole.is(&answer(7)));
    }

    #[test]
    fn frames_count_where_no_usage_is_given() {
        let whole = Whole::like([stream(100, None)].iter(), 100);
        assert!(whole.is(&stream(100, None)));
        assert!(!whole.is(&stream(99, None)));
        assert!(!Whole::like([].iter(), 100).is(&stream(95, None)));
    }

    #[test]
    fn the_frames_that_open_and_end_a_chat_are_no_tokens() {
        let chat = |tokens: usize| {
            let opening = r#"{"choices":[{"delta":{"role":"assistant","content":""}}]}"#;
            let token = r#"{"choices":[{"delta":{"content":"x"},"finish_reason":null}]}"#;
            let end = r#"{"choices":[{"delta":{"content":""},"finish_reason":"length"}]}"#;
            let tokens = std::iter::repeat_n(token, tokens);
            let frames = std::iter::once(opening)
                .chain(tokens)
                .chain([end, "[DONE]"]);
            crate::made::stream(frames.map(str::to_owned))
        };
        let whole = Whole::like([chat(100)].iter(), 100);
        assert!(whole.is(&chat(100)));
        assert!(!whole.is(&chat(99)));
    }
}
