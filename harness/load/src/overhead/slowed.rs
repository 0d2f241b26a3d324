//! An endpoint that is slower than the others of its pool, through the control API of poolproof's model server.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use poolproof_client::evidence::control;
use poolproof_model::target::Endpoint;

/// Settings of a model server that are durations.
const TIMES: [&str; 3] = ["step_base_us", "prefill_token_us", "decode_seq_us"];

/// A slowed endpoint. [`Slowed::undo`] gives it its times back.
pub(super) struct Slowed<'a> {
    http: reqwest::Client,
    endpoint: &'a Endpoint,
    before: Value,
}

/// Multiplies the times of a model server by a factor. Fails if the endpoint has no control API.
pub(super) async fn slow_down(endpoint: &Endpoint, factor: f64) -> Result<Slowed<'_>> {
    let http = poolproof_client::http(1)?;
    let settings = control::settings(&http, endpoint).await;
    let settings = settings.context("uneven")?;
    let mut before = json!({});
    let mut after = json!({});
    for name in TIMES {
        let us = settings[name]
            .as_f64()
            .with_context(|| format!("endpoint {}: no {name}", endpoint.name))?;
        (before[name], after[name]) = (us.into(), (us * factor).into());
    }
    let changed = control::change_settings(&http, endpoint, &after).await;
    changed.context("uneven")?;
    Ok(Slowed {
        http,
        endpoint,
        before,
    })
}

impl Slowed<'_> {
    pub(super) async fn undo(self) -> Result<()> {
        control::change_settings(&self.http, self.endpoint, &self.before).await
    }
}
