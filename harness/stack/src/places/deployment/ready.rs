//! Waits until deployed components serve, by their metrics and answers.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use futures_util::FutureExt;
use url::Url;

use crate::kubernetes::ready::{CONDITIONS_TIMEOUT, State, wait};
use poolproof_client::evidence::{self, served};
use poolproof_client::{Api, Client, Connections, Request};
use poolproof_model::topology::Pool;

const FIRST_ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// Waits until an endpoint picker has metrics of all endpoints; its readiness check is not enough.
pub(super) async fn knows_its_endpoints(
    http: &reqwest::Client,
    metrics: &Url,
    pool: &Pool,
) -> Result<()> {
    let what = format!("endpoint picker of pool {}", pool.name);
    let knows_all = || {
        async {
            let known = match evidence::metrics(http, metrics).await {
                Ok(text) => evidence::epp::endpoints_known(&text, &pool.name),
                Err(error) => return Ok(State::NotYet(format!("{error:#}"))),
            };
            Ok(if known == pool.endpoints {
                State::Ready
            } else {
                State::NotYet(format!("it knows {known} of {} endpoints", pool.endpoints))
            })
        }
        .boxed()
    };
    wait(&what, CONDITIONS_TIMEOUT, &knows_all).await
}

/// Waits until an endpoint answers a request for a model through the gateway.
pub(super) async fn first_answer(gateway: &Url, model: &str) -> Result<()> {
    let client = Client::new("first", gateway, Connections::NewPerRequest, Arc::default())?;
    let answers = || {
        async {
            let request = Request::new(Api::Completions, model, 1, &mut rand::rng());
            let exchange = client.send(request).await;
            Ok(if served::is_by_an_endpoint(&exchange) {
                State::Ready
            } else {
                State::NotYet(exchange.describe())
            })
        }
        .boxed()
    };
    wait(&format!("model {model}"), FIRST_ANSWER_TIMEOUT, &answers)
        .await
        .context("no answer through the gateway")
}
