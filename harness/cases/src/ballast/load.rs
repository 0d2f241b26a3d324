//! The requests that ballast consists of, and how long they take at an endpoint.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::context::Context;
use poolproof_client::prompt::Texts;
use poolproof_client::{Api, Client, Connections, Request, payload};
use poolproof_model::target::Endpoint;

/// The approximate duration of one ballast request. Durations vary, so that requests do not end at the same time and
/// leave a gap.
const HOLD: Duration = Duration::from_secs(3);

/// The longest response that ballast requests, in tokens. It bounds the work of an endpoint that does not notice when
/// its client disconnects.
const TOKENS_MAX: u32 = 8192;

/// The shortest wait for an endpoint to schedule new arrivals. A slow endpoint gets the time of its first token.
const STEP_MIN: Duration = Duration::from_millis(10);

/// The shape of ballast requests for one endpoint.
#[derive(Clone, Debug)]
pub(super) struct Load {
    client: Client,
    model: Arc<str>,
    texts: Arc<Texts>,
    prompt_tokens: usize,
    max_tokens: u32,
    /// The time in which the endpoint schedules new arrivals.
    pub(super) step: Duration,
}

/// Sends one request after the other until it is aborted.
pub(super) async fn keep_up(load: Load, seeds: Arc<AtomicU64>) {
    loop {
        let mut rng = ChaCha8Rng::seed_from_u64(seeds.fetch_add(1, Ordering::Relaxed));
        let exchange = load.client.send(load.request(&mut rng)).await;
        if !exchange.is_success() {
            // Avoids a tight loop against an endpoint that refuses. The watch over its load shows the gap.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Load {
    /// Determines the number of tokens that take [`HOLD`], from the duration of a few tokens.
    pub(super) async fn measure(
        ctx: &Context,
        endpoint: &Endpoint,
        model: &str,
        prompt_tokens: usize,
    ) -> Result<Self> {
        const FEW_TOKENS: u32 = 17;
        const MANY_TOKENS: u32 = 1088;
        /// The smallest difference between a short and a longer response that is not attributed to chance.
        const DIFFERENCE_MIN: Duration = Duration::from_millis(5);
        let url = endpoint
            .url
            .as_ref()
            .with_context(|| format!("endpoint {} has no url", endpoint.name))?;
        let mut load = Self {
            client: ctx.client_of(url, Connections::KeepAlive)?,
            model: model.into(),
            texts: Arc::new(Texts::new(0, None)),
            prompt_tokens: 8,
            max_tokens: 1,
            step: Duration::ZERO,
        };
        let mut rng = ctx.rng("ballast");
        let mut took = async |load: &mut Self, tokens: u32| {
            load.max_tokens = tokens;
            let request = load.request(&mut rng).timeout(ctx.timeouts.request);
            let exchange = load.client.send(request).await;
            ensure!(
                exchange.is_success(),
                "endpoint {} does not serve model {model}: {}",
                endpoint.name,
                exchange.describe()
            );
            Ok(exchange.latency())
        };
        // The first request opens the connection. Through the API of a cluster, that takes longer than many tokens.
        // Without this step, tokens seemed free, and ballast requests took minutes and outlived the case.
        took(&mut load, 1).await?;
        let first = took(&mut load, 1).await?;
        let mut tokens = FEW_TOKENS;
        let more = loop {
            let more = took(&mut load, tokens).await?.saturating_sub(first);
            if more >= DIFFERENCE_MIN || tokens >= MANY_TOKENS {
                break more;
            }
            tokens *= 4;
        };
        let per_token = more / (tokens - 1);
        let tokens = HOLD.as_secs_f64() / per_token.as_secs_f64().max(1e-6);
        load.max_tokens = (tokens as u32).clamp(FEW_TOKENS, TOKENS_MAX);
        load.prompt_tokens = prompt_tokens;
        load.step = first.max(STEP_MIN);
        Ok(load)
    }

    fn request(&self, rng: &mut impl Rng) -> Request {
        let mut prompt = poolproof_client::nonce(rng).into_bytes();
        let words = self.prompt_tokens.saturating_sub(1) as u32;
        self.texts.append(&mut prompt, 0, words);
        let prompt = String::from_utf8_lossy(&prompt);
        let longest = self.max_tokens;
        let max_tokens = match longest {
            ..=32 => longest,
            _ => rng.random_range(longest / 2..=longest),
        };
        let body = payload(Api::Completions, (*self.model).into(), &prompt, max_tokens);
        Request::from_json(Api::Completions, &body).timeout(Duration::from_secs(600))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use axum::routing::post;
    use axum::{Json, Router};
    use serde_json::{Value, json};

    use super::super::tests::endpoint;
    use super::*;
    use crate::budget::Rates;
    use crate::context::Timeouts;
    use poolproof_model::target::Target;
    use poolproof_model::topology::Topology;

    fn context() -> Context {
        let target = Target::planned(&Topology::default()).unwrap();
        let rates = Rates {
            alpha: 1e-4,
            power: 0.99,
            split_tolerance: 0.03,
            slow_answer: Duration::from_secs(20),
        };
        Context::new(target.into(), Timeouts::default(), 1, rates, "a/case", 0).unwrap()
    }

    #[tokio::test]
    async fn a_slow_connection_setup_does_not_make_ballast_longer() {
        const PER_TOKEN: Duration = Duration::from_millis(2);
        const SETUP: Duration = Duration::from_millis(300);
        let asked = Arc::new(AtomicU64::new(0));
        let complete = move |Json(body): Json<Value>| async move {
            if asked.fetch_add(1, Ordering::SeqCst) == 0 {
                tokio::time::sleep(SETUP).await;
            }
            let tokens = body["max_tokens"].as_u64().unwrap() as u32;
            tokio::time::sleep(PER_TOKEN * tokens).await;
            Json(json!({"choices": [{"text": "a", "finish_reason": "length"}]}))
        };
        let (endpoint, _serving) =
            endpoint(Router::new().route("/v1/completions", post(complete))).await;
        let load = Load::measure(&context(), &endpoint, "m", 8).await.unwrap();
        let longest = HOLD.as_secs_f64() / PER_TOKEN.as_secs_f64();
        assert!(
            f64::from(load.max_tokens) <= longest * 1.5,
            "{} tokens take longer than {HOLD:?}",
            load.max_tokens
        );
    }
}
