//! vLLM, in a cluster with GPUs.

use std::net::SocketAddr;

use anyhow::{Result, bail, ensure};
use k8s_openapi::api::core::v1::{Container, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::model_server::ModelServerPart;
use crate::kubernetes::Deployment;
use crate::process::Launch;
use crate::programs::{Program, Programs};
use poolproof_model::parts::StackKind;
use poolproof_model::topology::{Model, Topology};

/// vLLM itself.
pub(super) struct Vllm;

impl ModelServerPart for Vllm {
    fn runs_on(&self, kind: StackKind) -> bool {
        kind.is_cluster()
    }

    fn programs(&self) -> &'static [Program] {
        &[]
    }

    fn launch(
        &self,
        _programs: &Programs,
        _endpoint: (&str, &Model, SocketAddr),
        _seed: u64,
    ) -> Result<Launch> {
        bail!("vLLM cannot be started here")
    }

    fn version(&self, _programs: &Programs) -> Result<String> {
        Ok("vLLM".to_owned())
    }

    fn images(&self) -> &'static [&'static str] {
        &["vllm"]
    }

    fn check(&self, topology: &Topology) -> Result<()> {
        for model in &topology.models {
            ensure!(
                model.adapters.is_empty(),
                "model {:?}: `adapters`: there are no weights of them for --model-server vllm",
                model.name
            );
        }
        Ok(())
    }

    fn fill(
        &self,
        container: &mut Container,
        deployment: &Deployment,
        model: &Model,
    ) -> Result<()> {
        let gpus = ("nvidia.com/gpu".to_owned(), Quantity("1".to_owned()));
        container.resources = Some(ResourceRequirements {
            limits: Some([gpus].into()),
            ..ResourceRequirements::default()
        });
        container.image = Some(deployment.versions.image("vllm")?.to_owned());
        let args = ["--model", &model.name, "--port", "8000"];
        container.args = Some(args.map(str::to_owned).into());
        Ok(())
    }
}
