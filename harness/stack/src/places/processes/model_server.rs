//! The model servers, one process per endpoint.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use url::Url;

use crate::options::Options;
use crate::parts;
use crate::ports::Ports;
use crate::process::{Launch, Process, ProcessGroup};
use crate::programs::Programs;
use poolproof_client::evidence;

const READY_TIMEOUT: Duration = Duration::from_secs(30);

/// The host of the other addresses of endpoints. Linux has all of 127.0.0.0/8 on its loopback device.
const OTHER_HOST: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// The names and addresses of endpoints, by pool.
pub(super) type Endpoints<'a> = BTreeMap<&'a str, Vec<(String, SocketAddr)>>;

/// The model server of an endpoint.
pub(in crate::places) struct Server {
    pub(in crate::places) name: String,
    pub(super) pool: String,
    pub(super) address: SocketAddr,
    model: String,
    launch: Launch,
    /// Its other address, and how to start it there; `None` if it has none.
    other: Option<(SocketAddr, Launch)>,
    /// Whether its port is one of its pool.
    pub(super) open: bool,
    /// Whether it is at its other address.
    moved: bool,
    /// `None` while it is down.
    process: Option<Process>,
}

/// Starts the model servers of all pools and waits until all serve. Started servers are appended to `servers`, so that
/// the caller can stop them.
pub(super) async fn start_all<'a>(
    options: &'a Options,
    programs: &Programs,
    (group, ports, http): (&ProcessGroup, &mut Ports, &reqwest::Client),
    servers: &mut Vec<Server>,
) -> Result<Endpoints<'a>> {
    let part = parts::model_server(options.parts.model_server);
    let mut seeds = options.seed..;
    for model in &options.topology.models {
        for pool in &model.pools {
            for name in pool.endpoint_names() {
                let seed = seeds.next().unwrap_or_default();
                let address = ports.take()?;
                let launch = |address| part.launch(programs, (name.as_str(), model, address), seed);
                let other = part.moves().then(|| {
                    let other = SocketAddr::from((OTHER_HOST, address.port()));
                    anyhow::Ok((other, launch(other)?))
                });
                let names = (name.as_str(), pool.name.as_str(), model.name.as_str());
                let mut server = Server::at(address, names, launch(address)?);
                server.other = other.transpose()?;
                server.start(group).await?;
                servers.push(server);
            }
        }
    }
    for server in servers.iter_mut() {
        server.ready(http).await?;
    }
    let pools = options.topology.pools();
    let endpoints = pools.map(|pool| {
        let of_pool = servers.iter().filter(|server| server.pool == pool.name);
        let endpoints = of_pool
            .map(|server| (server.name.clone(), server.address))
            .collect();
        (pool.name.as_str(), endpoints)
    });
    Ok(endpoints.collect())
}

impl Server {
    /// The server of an endpoint, by its name, its pool and its model. It is down.
    pub(in crate::places) fn at(
        address: SocketAddr,
        (name, pool, model): (&str, &str, &str),
        launch: Launch,
    ) -> Self {
        Self {
            name: name.to_owned(),
            pool: pool.to_owned(),
            address,
            model: model.to_owned(),
            launch,
            other: None,
            open: true,
            moved: false,
            process: None,
        }
    }

    /// Starts it if it is down. [`Server::ready`] waits until it serves.
    pub(in crate::places) async fn start(&mut self, group: &ProcessGroup) -> Result<()> {
        if self.process.is_none() {
            self.process = Some(group.launch(&self.name, &self.launch).await?);
        }
        Ok(())
    }

    /// Stops it, and waits until it has ended.
    pub(in crate::places) async fn stop(&mut self) {
        if let Some(process) = self.process.take() {
            process.stop().await;
        }
    }

    /// Asks it to end, and waits until it has: after its requests, or killed after `grace`.
    pub(super) async fn end(&mut self, grace: Duration) {
        if let Some(process) = self.process.take() {
            process.stop_within(grace).await;
        }
    }

    /// Kills it, and swaps its addresses unless they are as requested. [`Server::start`] starts it there.
    pub(super) fn move_to(&mut self, other: bool) -> Result<()> {
        if self.moved != other {
            self.kill();
            let (address, launch) = self.other.as_mut().context("it has no other address")?;
            std::mem::swap(address, &mut self.address);
            std::mem::swap(launch, &mut self.launch);
            self.moved = other;
        }
        Ok(())
    }

    /// Kills it, without draining requests.
    pub(in crate::places) fn kill(&mut self) {
        drop(self.process.take());
    }

    /// Waits until it serves its model.
    pub(in crate::places) async fn ready(&mut self, http: &reqwest::Client) -> Result<()> {
        let models: Url = format!("http://{}/v1/models", self.address).parse()?;
        let (models, model) = (&models, &self.model);
        let serves = || async move {
            let text = evidence::get(http, models).await.ok()?;
            serves(&text, model).then_some(())
        };
        let what = format!("model {model}");
        let process = self.process.as_mut().context("the model server is down")?;
        process
            .wait_for(&what, READY_TIMEOUT, serves)
            .await
            .with_context(|| format!("model server {}", self.name))
    }
}

/// Whether an answer of `/v1/models` contains a model.
fn serves(models: &str, model: &str) -> bool {
    let models: Value = serde_json::from_str(models).unwrap_or_default();
    let ids = models["data"].as_array().into_iter().flatten();
    ids.into_iter().any(|served| served["id"] == model)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_serves_another_model_is_not_ready() {
        let models = r#"{"object":"list","data":[{"id":"model-a","object":"model"}]}"#;
        assert!(serves(models, "model-a"));
        assert!(!serves(models, "model-b"));
        assert!(!serves("not found", "model-a"));
    }
}
