//! Long streams that are under way while a part of the stack is changed.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use poolproof_harness::client::drive::{self, Sent};
use poolproof_harness::client::{Api, Connections, Exchange, Request, nonce, payload};
use poolproof_harness::context::Context;
use poolproof_harness::evidence::endpoint;
use poolproof_harness::poll;
use poolproof_harness::target::{Endpoint, Model};

/// The tokens of a stream, at least and at most: the slowest way through a gateway handles some thousands each second.
const TOKENS: (f64, f64) = (32.0, 3000.0);
/// From one stream to the next: pickers see that endpoints are busy with those before, and spread them.
const APART: Duration = Duration::from_millis(100);
/// The tokens by which the pace is measured.
const PACE_TOKENS: u32 = 16;

/// Requests that opening any number of streams takes, beside the streams.
pub(crate) const PACE_REQUESTS: usize = 1;

/// Streams that are under way.
pub(crate) struct Streams {
    pace: Exchange,
    streams: Vec<Sent>,
}

impl Streams {
    /// Opens so many streams of a model, and returns when endpoints work on all of them.
    pub(crate) async fn open(ctx: &Context, model: &Model, n: usize) -> Result<Self> {
        let client = ctx.client(Connections::KeepAlive)?;
        let mut rng = ctx.rng("streams");
        let request = Request::new(Api::Completions, &model.name, PACE_TOKENS, &mut rng);
        let pace = client.send(request.timeout(ctx.timeouts.request)).await;
        ensure!(
            pace.is_success(),
            "before anything was changed: {}",
            pace.describe()
        );
        let token_s = pace.latency().as_secs_f64() / f64::from(PACE_TOKENS);
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
        all_begun.await?;
        Ok(Self { pace, streams })
    }

    /// Waits until all have ended. Beside them: the request by which the pace was measured.
    pub(crate) async fn finish(self) -> Result<(Vec<Exchange>, Exchange)> {
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
