//! The model servers, one process for each endpoint: poolproof's own, or llm-d-inference-sim.
//!
//! Source: llm-d-inference-sim v0.8.2, pkg/common/config.go (flags), pkg/communication/http.go (headers of answers). It
//! listens on every address of the machine, and ends with status 0 whatever went wrong, so that only its answers count.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use url::Url;

use super::super::parts::ModelServer;
use super::super::ports::Ports;
use super::super::process::{Nursery, Process};
use super::super::simulator::{self, NAME as SIM};
use super::{Options, listening_on, programs};
use crate::{evidence, stack, versions};

const READY_TIMEOUT: Duration = Duration::from_secs(30);

/// The names and addresses of endpoints, by pool.
pub(super) type Endpoints<'a> = BTreeMap<&'a str, Vec<(String, SocketAddr)>>;

/// A model server that was started.
struct Server {
    process: Process,
    name: String,
    model: String,
    /// Where it was told to listen; a server of poolproof says so itself.
    told: Option<SocketAddr>,
}

/// Starts the model servers of all pools and waits until all serve. `processes` gets them, for the caller to stop.
pub(super) async fn start_all<'a>(
    options: &'a stack::Options,
    (nursery, ports, http): (&Nursery, &mut Ports, &reqwest::Client),
    processes: &mut Vec<Process>,
) -> Result<Endpoints<'a>> {
    let mut seeds = options.seed..;
    let mut started = Vec::new();
    for model in &options.topology.models {
        for pool in &model.pools {
            for name in pool.endpoint_names() {
                let server = start(
                    options.parts.model_server,
                    &options.local,
                    (nursery, ports),
                    (name, &model.name),
                    seeds.next().unwrap_or_default(),
                )?;
                started.push((pool.name.as_str(), server));
            }
        }
    }
    let mut endpoints = Endpoints::new();
    for (pool, mut server) in started {
        let address = server.ready(http).await;
        processes.push(server.process);
        let of_pool = endpoints.entry(pool).or_default();
        of_pool.push((server.name, address?));
    }
    Ok(endpoints)
}

/// Starts the model server of an endpoint. [`Server::ready`] says where it is.
fn start(
    which: ModelServer,
    options: &Options,
    (nursery, ports): (&Nursery, &mut Ports),
    (name, model): (String, &str),
    seed: u64,
) -> Result<Server> {
    let (command, told) = match which {
        ModelServer::Poolproof => {
            let mut command = Command::new(&nursery.program);
            command
                .args(["serve", "model-server", "--listen", "127.0.0.1:0"])
                .args(["--name", &name, "--model", model]);
            (command, None)
        }
        ModelServer::LlmDInferenceSim => {
            let address = ports.take()?;
            let program = programs::find(options, SIM)?;
            let command = sim(&program, &name, model, address, seed);
            (command, Some(address))
        }
        ModelServer::Vllm => bail!("vLLM cannot be started here"),
    };
    Ok(Server {
        process: nursery.start(&name, &command)?,
        name,
        model: model.to_owned(),
        told,
    })
}

/// The simulator for one endpoint.
fn sim(program: &Path, name: &str, model: &str, address: SocketAddr, seed: u64) -> Command {
    let mut command = Command::new(program);
    command
        // Answers say by whom they are only if this is set, and the KV cache works only with some POD_IP.
        .env("POD_NAME", name)
        .env("POD_NAMESPACE", "poolproof")
        .env("POD_IP", address.to_string())
        .args(simulator::args(model, address.port()))
        .arg("--seed")
        .arg(seed.to_string());
    command
}

impl Server {
    /// Waits until it serves its model.
    async fn ready(&mut self, http: &reqwest::Client) -> Result<SocketAddr> {
        let Some(address) = self.told else {
            return listening_on(&mut self.process, READY_TIMEOUT).await;
        };
        let models: Url = format!("http://{address}/v1/models").parse()?;
        let (models, model) = (&models, &self.model);
        let serves = || async move {
            let text = evidence::get(http, models).await.ok()?;
            serves(&text, model).then_some(())
        };
        let what = format!("model {model}");
        self.process
            .wait_for(&what, READY_TIMEOUT, serves)
            .await
            .with_context(|| format!("model server {}", self.name))?;
        Ok(address)
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
pub(super) fn version(which: ModelServer) -> Result<String> {
    Ok(match which {
        ModelServer::Poolproof => format!("poolproof fixture {}", env!("CARGO_PKG_VERSION")),
        ModelServer::LlmDInferenceSim => {
            let wanted = versions::source(SIM)?.version;
            format!("{SIM} (does not say its version; {wanted} is wanted)")
        }
        ModelServer::Vllm => "vLLM".to_owned(),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_simulator_is_told_who_it_is_and_what_it_serves() {
        let address = SocketAddr::from(([127, 0, 0, 1], 8001));
        let command = sim(SIM.as_ref(), "model-a-0", "model-a", address, 7);
        let words: Vec<_> = command.get_args().map(|it| it.to_str().unwrap()).collect();
        let value = |flag: &str| words[words.iter().position(|it| *it == flag).unwrap() + 1];
        assert_eq!(value("--port"), "8001");
        assert_eq!(value("--served-model-name"), "model-a");
        assert_eq!(value("--seed"), "7");
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
