//! The reference gateway of poolproof as a separate program.

mod config;
mod manifests;

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use poolproof_fixtures::flaw::{Component, Flaw};
use serde_json::Value;

use super::gateway::{Control, GatewayPart, Running, Start};
use crate::kubernetes::deployment::{GATEWAY, POD_PORT};
use crate::kubernetes::{Cluster, Deployment};
use crate::programs::{OWN, Program};
use poolproof_client as client;
use poolproof_model::parts::StackKind;
use poolproof_model::target::BODY_LIMIT_BYTES;
use poolproof_model::topology::Topology;

const READY_TIMEOUT: Duration = Duration::from_secs(30);

/// The reference gateway.
pub(super) struct PoolproofGateway;

impl GatewayPart for PoolproofGateway {
    fn runs_on(&self, _kind: StackKind) -> bool {
        true
    }

    fn body_limit_bytes(&self) -> Option<usize> {
        Some(BODY_LIMIT_BYTES)
    }

    /// In a cluster its failure mode is fixed by its arguments.
    fn changes_failure_mode(&self, kind: StackKind) -> bool {
        !kind.is_cluster()
    }

    fn programs(&self) -> &'static [Program] {
        &[]
    }

    fn start<'a>(&'a self, start: Start<'a>) -> BoxFuture<'a, Result<Running>> {
        run(start).boxed()
    }

    fn images(&self) -> &'static [&'static str] {
        &[]
    }

    fn pod(&self) -> (String, u16) {
        (format!("app={GATEWAY}"), POD_PORT)
    }

    fn objects(&self, deployment: &Deployment) -> Result<Vec<Value>> {
        Ok(manifests::objects(deployment))
    }

    fn weigh<'a>(
        &'a self,
        cluster: &'a Cluster,
        deployment: &'a Deployment,
        now: &'a Topology,
        _model: &'a str,
    ) -> BoxFuture<'a, Result<()>> {
        async move {
            let port = manifests::MANAGEMENT_PORT;
            let forward = deployment.forward_to_gateway(cluster, port).await?;
            config::weigh(&client::http(0)?, forward.address, now).await
        }
        .boxed()
    }
}

/// Starts it, and waits until it listens.
async fn run(start: Start<'_>) -> Result<Running> {
    let management = start.ports.take()?;
    let mut pickers = start.pickers.iter();
    let mut launch = start.programs.launch(&OWN)?;
    let command = &mut launch.command;
    command.args([
        "serve",
        "gateway",
        "--listen",
        "127.0.0.1:0",
        "--management-listen",
        &management.to_string(),
    ]);
    command.arg("--seed").arg(start.seed.to_string());
    for model in &start.topology.models {
        let pools: Vec<String> = model
            .pools
            .iter()
            .zip(&mut pickers)
            .map(|(pool, picker)| format!("{}:{}@{picker}", pool.name, pool.weight))
            .collect();
        command.arg("--route");
        command.arg(format!("{}={}", model.name, pools.join(",")));
        for name in model.routed_names() {
            command.arg(format!("--adapter={name}={}", model.name));
        }
        if let Some(ms) = model.request_timeout_ms {
            command.arg(format!("--route-timeout={}={ms}", model.name));
        }
    }
    let flaw = start.flaw;
    if let Some(flaw) = flaw.filter(|flaw| flaw.component() == Component::Gateway) {
        command.args(["--flaw", flaw.name()]);
    }
    let mut process = start.group.launch("gateway", &launch).await?;
    let address = process.listening_on(READY_TIMEOUT).await?;
    let version = env!("CARGO_PKG_VERSION");
    let origin = start.programs.origin(&OWN);
    Ok(Running {
        processes: vec![process],
        address,
        control: Box::new(Management(management)),
        versions: vec![(
            "gateway",
            format!("poolproof reference gateway {version}{origin}"),
        )],
    })
}

/// The address of its management API.
struct Management(SocketAddr);

impl Control for Management {
    fn weigh<'a>(
        &'a self,
        topology: &'a Topology,
        _flaw: Option<Flaw>,
        http: &'a reqwest::Client,
    ) -> BoxFuture<'a, Result<()>> {
        config::weigh(http, self.0, topology).boxed()
    }

    fn fail<'a>(
        &'a self,
        pool: &'a str,
        open_to: Option<&'a [SocketAddr]>,
        http: &'a reqwest::Client,
    ) -> BoxFuture<'a, Result<()>> {
        config::fail(http, self.0, pool, open_to).boxed()
    }
}
