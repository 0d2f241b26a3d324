//! The model servers, one process for each endpoint: poolproof's own, or llm-d-inference-sim.
//!
//! Source: llm-d-inference-sim v0.8.2, pkg/common/config.go (flags), pkg/communication/http.go (headers of answers). It
//! listens on every address of the machine, and ends with status 0 whatever went wrong, so that only its answers count.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use url::Url;

use super::super::lora;
use super::super::parts::ModelServer;
use super::super::ports::Ports;
use super::super::process::{Launch, Nursery, Process};
use super::super::simulator::{self, NAME as SIM};
use super::programs::{OWN, Programs};
use crate::topology::Model;
use crate::{evidence, stack, versions};

const READY_TIMEOUT: Duration = Duration::from_secs(30);

/// The names and addresses of endpoints, by pool.
pub(super) type Endpoints<'a> = BTreeMap<&'a str, Vec<(String, SocketAddr)>>;

/// The model server of an endpoint.
pub(super) struct Server {
    pub(super) name: String,
    pub(super) pool: String,
    pub(super) address: SocketAddr,
    model: String,
    launch: Launch,
    /// `None`: it is down.
    process: Option<Process>,
}

/// Starts the model servers of all pools and waits until all serve. `servers` gets them, for the caller to stop.
pub(super) async fn start_all<'a>(
    options: &'a stack::Options,
    programs: &Programs,
    (nursery, ports, http): (&Nursery, &mut Ports, &reqwest::Client),
    servers: &mut Vec<Server>,
) -> Result<Endpoints<'a>> {
    let mut seeds = options.seed..;
    for model in &options.topology.models {
        for pool in &model.pools {
            for name in pool.endpoint_names() {
                let seed = seeds.next().unwrap_or_default();
                let address = ports.take()?;
                let which = options.parts.model_server;
                let at = (name.as_str(), model, address);
                let mut server = Server {
                    launch: launch(which, programs, at, seed)?,
                    name,
                    pool: pool.name.clone(),
                    address,
                    model: model.name.clone(),
                    process: None,
                };
                server.start(nursery).await?;
                servers.push(server);
            }
        }
    }
    for server in servers.iter_mut() {
        server.ready(http).await?;
    }
    let pools = options.topology.pools();
    let endpoints = pools.map(|pool| {
        let of_pool = servers.iter().filter(|it| it.pool == pool.name);
        let endpoints = of_pool.map(|it| (it.name.clone(), it.address)).collect();
        (pool.name.as_str(), endpoints)
    });
    Ok(endpoints.collect())
}

/// What starts the model server of an endpoint.
fn launch(
    which: ModelServer,
    programs: &Programs,
    (name, model, address): (&str, &Model, SocketAddr),
    seed: u64,
) -> Result<Launch> {
    match which {
        ModelServer::Poolproof => {
            let mut launch = programs.launch(OWN)?;
            launch
                .command
                .args(["serve", "model-server", "--listen"])
                .arg(address.to_string())
                .args(["--name", name, "--model", &model.name])
                .args(lora::args(model, String::clone));
            Ok(launch)
        }
        ModelServer::LlmDInferenceSim => Ok(sim(programs.launch(SIM)?, name, model, address, seed)),
        ModelServer::Vllm => bail!("vLLM cannot be started here"),
    }
}

/// The simulator for one endpoint.
fn sim(mut launch: Launch, name: &str, model: &Model, address: SocketAddr, seed: u64) -> Launch {
    launch
        .command
        // Answers say by whom they are only if this is set, and the KV cache works only with some POD_IP.
        .env("POD_NAME", name)
        .env("POD_NAMESPACE", "poolproof")
        .env("POD_IP", address.to_string())
        .args(simulator::args(model, address.port()))
        .arg("--seed")
        .arg(seed.to_string());
    launch
}

impl Server {
    /// Starts it, if it is down. [`Server::ready`] says when it serves.
    pub(super) async fn start(&mut self, nursery: &Nursery) -> Result<()> {
        if self.process.is_none() {
            self.process = Some(nursery.launch(&self.name, &self.launch).await?);
        }
        Ok(())
    }

    /// Stops it, and waits until it has ended.
    pub(super) async fn stop(&mut self) {
        if let Some(process) = self.process.take() {
            process.stop().await;
        }
    }

    /// Kills it, whatever it is working on.
    pub(super) fn kill(&mut self) {
        drop(self.process.take());
    }

    /// Waits until it serves its model.
    pub(super) async fn ready(&mut self, http: &reqwest::Client) -> Result<()> {
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

/// Whether an answer of `/v1/models` names a model.
fn serves(models: &str, model: &str) -> bool {
    let models: Value = serde_json::from_str(models).unwrap_or_default();
    let ids = models["data"].as_array().into_iter().flatten();
    ids.into_iter().any(|it| it["id"] == model)
}

/// The control API of a server that has one.
pub(super) fn control(which: ModelServer, address: SocketAddr) -> Result<Option<Url>> {
    match which {
        ModelServer::Poolproof => Ok(Some(format!("http://{address}/poolproof").parse()?)),
        ModelServer::LlmDInferenceSim | ModelServer::Vllm => Ok(None),
    }
}

/// What it is. The simulator does not say its version: the one that is asked for is named.
pub(super) fn version(which: ModelServer, programs: &Programs) -> Result<String> {
    Ok(match which {
        ModelServer::Poolproof => {
            let version = env!("CARGO_PKG_VERSION");
            format!("poolproof fixture {version}{}", programs.origin(OWN))
        }
        ModelServer::LlmDInferenceSim => {
            let wanted = versions::source(SIM)?.version;
            let origin = programs.origin(SIM);
            format!("{SIM} (does not say its version; {wanted} is wanted){origin}")
        }
        ModelServer::Vllm => "vLLM".to_owned(),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::process::Command;

    use poolproof_fixtures::flaw::Flaw;

    use super::*;
    use crate::topology::Topology;

    #[test]
    fn a_simulator_is_told_who_it_is_and_what_it_serves() {
        let address = SocketAddr::from(([127, 0, 0, 1], 8001));
        let launch = Launch {
            image: None,
            command: Command::new(SIM),
        };
        let model = &Topology::showing(Some(Flaw::AdapterUnrouted)).models[0];
        let command = sim(launch, "model-a-0", model, address, 7).command;
        let words: Vec<_> = command.get_args().map(|it| it.to_str().unwrap()).collect();
        let value = |flag: &str| words[words.iter().position(|it| *it == flag).unwrap() + 1];
        assert_eq!(value("--port"), "8001");
        assert_eq!(value("--served-model-name"), "model-a");
        assert_eq!(value("--seed"), "7");
        let adapter = r#"{"name":"model-a-lora","path":"none"}"#;
        assert_eq!(value("--lora-modules"), adapter);
        let after = words.iter().position(|it| *it == "model-a").unwrap() + 1;
        assert!(words[after].starts_with("--"), "the list has ended");
        let named = command.get_envs().any(|(name, value)| {
            name == "POD_NAME" && value.is_some_and(|value| value == "model-a-0")
        });
        assert!(named);
    }

    #[test]
    fn a_server_that_serves_another_model_is_not_ready() {
        let models = r#"{"object":"list","data":[{"id":"model-a","object":"model"}]}"#;
        assert!(serves(models, "model-a"));
        assert!(!serves(models, "model-b"));
        assert!(!serves("not found", "model-a"));
    }
}
