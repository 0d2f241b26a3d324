//! The model server of poolproof as a separate program.

use std::net::SocketAddr;

use anyhow::Result;
use k8s_openapi::api::core::v1::Container;

use super::lora;
use super::model_server::ModelServerPart;
use crate::kubernetes::Deployment;
use crate::process::Launch;
use crate::programs::{OWN, Program, Programs};
use poolproof_model::parts::StackKind;
use poolproof_model::topology::Model;

/// The model server of poolproof.
pub(super) struct PoolproofModelServer;

impl ModelServerPart for PoolproofModelServer {
    fn runs_on(&self, _kind: StackKind) -> bool {
        true
    }

    fn moves(&self) -> bool {
        cfg!(target_os = "linux")
    }

    fn control_path(&self) -> Option<&'static str> {
        Some("/poolproof")
    }

    fn programs(&self) -> &'static [Program] {
        &[]
    }

    fn launch(
        &self,
        programs: &Programs,
        (name, model, address): (&str, &Model, SocketAddr),
        _seed: u64,
    ) -> Result<Launch> {
        let mut launch = programs.launch(&OWN)?;
        let listen = address.to_string();
        launch.command.args(args(&listen, name, model));
        Ok(launch)
    }

    fn version(&self, programs: &Programs) -> Result<String> {
        let version = env!("CARGO_PKG_VERSION");
        Ok(format!(
            "poolproof fixture {version}{}",
            programs.origin(&OWN)
        ))
    }

    fn images(&self) -> &'static [&'static str] {
        &[]
    }

    fn fill(
        &self,
        container: &mut Container,
        deployment: &Deployment,
        model: &Model,
    ) -> Result<()> {
        container.image = Some(deployment.own_image.clone());
        container.args = Some(args("0.0.0.0:8000", "$(POD_NAME)", model));
        Ok(())
    }
}

fn args(listen: &str, name: &str, model: &Model) -> Vec<String> {
    let own = ["serve", "model-server", "--listen", listen, "--name", name];
    let models = model.served_names().flat_map(|name| ["--model", name]);
    let own = own.into_iter().chain(models).map(str::to_owned);
    own.chain(lora::args(model, String::clone)).collect()
}
