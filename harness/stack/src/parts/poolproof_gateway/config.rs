//! The reference gateway: its changes while it runs as a separate program.

use std::net::SocketAddr;

use anyhow::Result;
use serde_json::{Value, json};

use poolproof_model::routed::Routed;
use poolproof_model::topology::Topology;

/// Sets its weights to those of a topology.
pub(super) async fn weigh(
    http: &reqwest::Client,
    management: SocketAddr,
    topology: &Topology,
) -> Result<()> {
    for model in &topology.models {
        let asked = json!({"model": model.name, "weights": model.weights()});
        put(http, management, "weights", &asked).await?;
    }
    Ok(())
}

/// Makes a pool fail open to these endpoints, or fail closed.
pub(super) async fn fail(
    http: &reqwest::Client,
    management: SocketAddr,
    pool: &str,
    open_to: Option<&[SocketAddr]>,
) -> Result<()> {
    let mode = match open_to {
        Some(endpoints) => json!({"FailOpen": endpoints}),
        None => json!("FailClose"),
    };
    let asked = json!({"pool": pool, "mode": mode});
    put(http, management, "failure-mode", &asked).await
}

async fn put(
    http: &reqwest::Client,
    management: SocketAddr,
    path: &str,
    asked: &Value,
) -> Result<()> {
    let request = http.put(format!("http://{management}/{path}")).json(asked);
    request.send().await?.error_for_status()?;
    Ok(())
}
