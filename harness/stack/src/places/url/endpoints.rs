//! Model servers of poolproof at the addresses of a target's endpoints, for a gateway that comes without any.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use crate::parts::{self, model_server::ModelServerPart};
use crate::places::processes::model_server::Server;
use crate::process::ProcessGroup;
use crate::programs::Programs;
use poolproof_client as client;
use poolproof_model::change::{Change, Changes, Kind};
use poolproof_model::component::Component;
use poolproof_model::parts::ModelServer;
use poolproof_model::target::{Endpoint, Target};
use poolproof_model::topology::Model;

/// The folder of their output, beside that of the gateway.
const LOGS: &str = "logs";

/// The changes that they support.
pub(super) const KINDS: [Kind; 1] = [Kind::Endpoint];

fn part() -> &'static dyn ModelServerPart {
    parts::model_server(ModelServer::Poolproof)
}

/// Adds what such model servers offer to a target: their control, and changes of them unless the target has a hook of its own. Fails if
/// none could listen at the `url` of an endpoint.
pub(super) fn plan(target: &mut Target) -> Result<()> {
    let mut taken = BTreeSet::new();
    let pools = target.models.iter_mut().flat_map(|model| &mut model.pools);
    for pool in pools {
        ensure!(
            !pool.endpoints.is_empty(),
            "pool {:?}: `endpoints` is empty: add the names and urls of the model servers to start",
            pool.name
        );
        for endpoint in &mut pool.endpoints {
            let address = address(endpoint)
                .with_context(|| format!("endpoint {:?}: `url`", endpoint.name))?;
            ensure!(
                taken.insert(address),
                "endpoint {:?}: `url`: {address} is that of another endpoint, too: give each a port of its own",
                endpoint.name
            );
            ensure!(
                !endpoint.name.contains('/') && !endpoint.name.starts_with('.'),
                "endpoint {:?}: `name`: its output goes to a file of this name: leave out / and a dot at the start",
                endpoint.name
            );
            let path = part().control_path().unwrap_or_default();
            let url = endpoint.url.as_ref().context("it has no url")?;
            endpoint.control = Some(url.join(path)?);
        }
    }
    if target.changes.is_none() {
        target.changes = Some(Changes {
            url: target.url.clone(),
            kinds: KINDS.into(),
        });
    }
    Ok(())
}

/// Where the model server of an endpoint listens.
fn address(endpoint: &Endpoint) -> Result<SocketAddr> {
    const REMEDY: &str =
        "a model server is started there, so it must have the form http://127.0.0.1:8001";
    let url = endpoint.url.as_ref();
    let url = url.with_context(|| format!("missing: {REMEDY}"))?;
    let is_plain = url.scheme() == "http" && url.path() == "/" && url.query().is_none();
    ensure!(is_plain && url.port().is_some(), "{url}: {REMEDY}");
    let found = url.socket_addrs(|| None);
    let found = found.with_context(|| format!("{url}: {REMEDY}"))?;
    // A gateway that connects to `localhost` tries this one, too.
    let plain = found.iter().find(|address| address.is_ipv4());
    let address = plain.or(found.first()).copied();
    address.with_context(|| format!("{url}: {REMEDY}"))
}

/// Running model servers. Dropping them kills them.
pub(super) struct Endpoints {
    group: ProcessGroup,
    http: reqwest::Client,
    servers: Vec<Server>,
}

impl Endpoints {
    /// No model server, with a folder for what they will write.
    pub(super) fn new(program: &Path, output: &Path) -> Result<Self> {
        let logs = output.join(LOGS);
        std::fs::create_dir_all(&logs).with_context(|| format!("making {}", logs.display()))?;
        Ok(Self {
            group: ProcessGroup {
                program: program.to_owned(),
                logs,
            },
            http: client::http(usize::MAX)?,
            servers: Vec::new(),
        })
    }

    /// Starts one for each endpoint of a target, and waits until all serve. Returns their component.
    pub(super) async fn start(&mut self, target: &Target, seed: u64) -> Result<Component> {
        let programs = Programs::own(&self.group.program);
        let mut seeds = seed..;
        for model in &target.models {
            let served = Model::served_by(model);
            for pool in &model.pools {
                for endpoint in &pool.endpoints {
                    let (name, address) = (endpoint.name.as_str(), address(endpoint)?);
                    let seed = seeds.next().unwrap_or_default();
                    let launch = part().launch(&programs, (name, &served, address), seed)?;
                    let names = (name, pool.name.as_str(), model.name.as_str());
                    let mut server = Server::at(address, names, launch);
                    server.start(&self.group).await?;
                    self.servers.push(server);
                }
            }
        }
        for server in &mut self.servers {
            server.ready(&self.http).await?;
        }
        Ok(Component::new("model-server", part().version(&programs)?))
    }

    /// Makes a change of an endpoint.
    pub(super) async fn make(&mut self, change: &Change) -> Result<()> {
        let Change::Endpoint { endpoint, running } = change else {
            bail!("{change}: only endpoints can be changed here");
        };
        let mut servers = self.servers.iter_mut();
        let server = servers.find(|server| server.name == *endpoint);
        let server = server.with_context(|| format!("there is no endpoint {endpoint:?}"))?;
        if !running {
            server.kill();
            return Ok(());
        }
        server.start(&self.group).await?;
        server.ready(&self.http).await
    }

    /// Stops them, and waits until they have ended.
    pub(super) async fn stop(&mut self) {
        for server in &mut self.servers {
            server.stop().await;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn target(endpoints: &str) -> Target {
        let text = format!(
            "url = 'http://127.0.0.1:1'\n[[models]]\nname = 'm'\npools = [{{ name = 'p', endpoints = [{endpoints}] }}]"
        );
        toml::from_str(&text).unwrap()
    }

    #[test]
    fn each_endpoint_gets_its_control_and_can_be_changed() {
        let mut target = target("{ name = 'a', url = 'http://127.0.0.1:8001' }");
        plan(&mut target).unwrap();
        let control = target.endpoints().next().unwrap().control.clone();
        assert_eq!(control.unwrap().as_str(), "http://127.0.0.1:8001/poolproof");
        assert!(target.changes.unwrap().kinds.contains(&Kind::Endpoint));
    }

    #[test]
    fn an_endpoint_at_which_nothing_can_listen_is_refused_with_its_name_and_the_form() {
        for (endpoints, wanted) in [
            ("", "pool \"p\": `endpoints` is empty"),
            ("{ name = 'a' }", "endpoint \"a\": `url`: missing"),
            (
                "{ name = 'a', url = 'https://127.0.0.1:8001' }",
                "must have the form http://127.0.0.1:8001",
            ),
            (
                "{ name = 'a', url = 'http://127.0.0.1' }",
                "must have the form http://127.0.0.1:8001",
            ),
            (
                "{ name = 'a', url = 'http://127.0.0.1:8001/v1' }",
                "must have the form http://127.0.0.1:8001",
            ),
            (
                "{ name = 'a', url = 'http://127.0.0.1:8001' }, { name = 'b', url = 'http://127.0.0.1:8001' }",
                "endpoint \"b\": `url`: 127.0.0.1:8001 is that of another endpoint",
            ),
            (
                "{ name = '../a', url = 'http://127.0.0.1:8001' }",
                "endpoint \"../a\": `name`",
            ),
        ] {
            let message = format!("{:#}", plan(&mut target(endpoints)).unwrap_err());
            assert!(message.contains(wanted), "{endpoints}: {message}");
        }
    }
}
