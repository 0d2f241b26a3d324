//! The reference endpoint picker of poolproof as a separate program.

mod config;
mod manifests;

use anyhow::Result;
use poolproof_fixtures::flaw::Component;
use serde_json::Value;

use super::picker::{PickerPart, Start};
use crate::kubernetes::Deployment;
use crate::process::Launch;
use crate::programs::{OWN, Program, Programs};
use poolproof_model::change::Kind;
use poolproof_model::parts::StackKind;
use poolproof_model::topology::Pool;

/// The reference endpoint picker.
pub(super) struct PoolproofPicker;

impl PickerPart for PoolproofPicker {
    fn runs_on(&self, _kind: StackKind) -> bool {
        true
    }

    fn keeps_sessions(&self) -> bool {
        true
    }

    /// Its endpoints and objectives are fixed at its start.
    fn follows(&self) -> &'static [Kind] {
        &[]
    }

    fn programs(&self) -> &'static [Program] {
        &[]
    }

    fn launch(&self, start: &Start<'_>) -> Result<Launch> {
        let ports = start.ports;
        let listen = (ports.grpc.to_string(), ports.metrics.to_string());
        let address = |name: &str| {
            let mut endpoints = start.endpoints.iter();
            let known = endpoints.find(|(endpoint, _)| endpoint == name);
            known.map_or_else(String::new, |(_, address)| address.to_string())
        };
        let mut launch = start.programs.launch(&OWN)?;
        launch.command.args(config::args(
            start.topology,
            start.pool,
            start.namespace,
            (&listen.0, &listen.1),
            address,
        ));
        if let Some(flaw) = start.flaw
            && flaw.component() == Component::EndpointPicker
        {
            launch.command.args(["--flaw", flaw.name()]);
        }
        Ok(launch)
    }

    fn version(&self, programs: &Programs, _metrics: &str) -> String {
        let version = env!("CARGO_PKG_VERSION");
        format!("poolproof fixture {version}{}", programs.origin(&OWN))
    }

    fn images(&self) -> &'static [&'static str] {
        &[]
    }

    fn labels(&self, name: &str) -> String {
        format!("app={name}")
    }

    fn tls(&self) -> bool {
        false
    }

    fn objects(&self, deployment: &Deployment, pool: &Pool) -> Vec<Value> {
        manifests::objects(deployment, pool)
    }
}
