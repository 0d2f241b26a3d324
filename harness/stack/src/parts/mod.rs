//! The parts of stacks. Each part provides its configuration, its processes, its objects in a cluster and its
//! properties.
//!
//! To add a gateway: a folder here, a row in `poolproof_model::parts::Gateway`, a row in [`gateway`], its flaws in
//! [`flaws`], and its versions in `kind/versions.toml`.

mod agentgateway;
mod envoy;
mod flawed;
pub mod flaws;
pub(crate) mod gateway;
pub(crate) mod gie;
mod llm_d_inference_sim;
mod lora;
pub(crate) mod model_server;
pub(crate) mod picker;
mod poolproof_gateway;
mod poolproof_model_server;
mod poolproof_picker;
mod vllm;

use anyhow::{Result, bail, ensure};

use gateway::GatewayPart;
use model_server::ModelServerPart;
use picker::PickerPart;
use poolproof_model::build::{Build, Builds};
use poolproof_model::parts::{
    Asked, EndpointPicker, Gateway, ModelServer, Named, Parts, StackKind,
};
use poolproof_model::target::{Pool, Target, Urls};
use poolproof_model::topology::Topology;

use crate::programs::Chosen;
use crate::versions;

pub(crate) use flawed::priority;

/// The gateway of this name.
pub(crate) fn gateway(which: Gateway) -> &'static dyn GatewayPart {
    match which {
        Gateway::Agentgateway => &agentgateway::Agentgateway,
        Gateway::Envoy => &envoy::Envoy,
        Gateway::Poolproof => &poolproof_gateway::PoolproofGateway,
    }
}

/// The endpoint picker of this name.
pub(crate) fn picker(which: EndpointPicker) -> &'static dyn PickerPart {
    match which {
        EndpointPicker::Gie => &gie::GIE,
        EndpointPicker::GieLight => &gie::LIGHT,
        EndpointPicker::LlmDRouter => &gie::LLM_D_ROUTER,
        EndpointPicker::Poolproof => &poolproof_picker::PoolproofPicker,
    }
}

/// The model server of this name.
pub(crate) fn model_server(which: ModelServer) -> &'static dyn ModelServerPart {
    match which {
        ModelServer::LlmDInferenceSim => &llm_d_inference_sim::LlmDInferenceSim,
        ModelServer::Vllm => &vllm::Vllm,
        ModelServer::Poolproof => &poolproof_model_server::PoolproofModelServer,
    }
}

/// The charts that parts need in a cluster, by their names in `kind/versions.toml`.
pub(crate) fn charts(parts: Parts) -> Vec<&'static str> {
    [gateway(parts.gateway).charts(), picker(parts.epp).charts()].concat()
}

/// The parts of a stack of this kind: the requested ones, otherwise its defaults. Fails if the kind lacks one of them.
pub fn choose(kind: StackKind, asked: &Asked) -> Result<Parts> {
    let parts = Parts::asked_for(kind, asked);
    let missing = if !gateway(parts.gateway).runs_on(kind) {
        format!("--gateway {}", parts.gateway)
    } else if !picker(parts.epp).runs_on(kind) {
        format!("--epp {}", parts.epp)
    } else if !model_server(parts.model_server).runs_on(kind) {
        format!("--model-server {}", parts.model_server)
    } else {
        return Ok(parts);
    };
    let others = StackKind::ALL.iter().filter(|other| {
        let asked_for = Parts::asked_for(**other, asked);
        **other != StackKind::Url
            && gateway(asked_for.gateway).runs_on(**other)
            && picker(asked_for.epp).runs_on(**other)
            && model_server(asked_for.model_server).runs_on(**other)
    });
    let others: Vec<&str> = others.map(|other| other.name()).collect();
    if others.is_empty() {
        bail!("{missing} is not available on --stack {kind}");
    }
    bail!(
        "{missing} is not available on --stack {kind}: use --stack {}",
        others.join(", ")
    )
}

/// The builds of these parts that a stack of this kind is asked for. Fails for an unknown version, with those known, and for a file where
/// no files run.
pub fn builds(kind: StackKind, parts: Parts, asked: &Builds) -> Result<Builds> {
    let known = |flag: &str, name: &str, build: &Build| {
        let build = versions::known(flag, name, build)?;
        ensure!(
            kind == StackKind::Local || !matches!(build, Build::File(_)),
            "{flag} {name}@file:PATH is not available on --stack {kind}: use --stack local"
        );
        Ok(build)
    };
    Ok(Builds {
        gateway: known("--gateway", parts.gateway.name(), &asked.gateway)?,
        epp: known("--epp", parts.epp.name(), &asked.epp)?,
        model_server: known(
            "--model-server",
            parts.model_server.name(),
            &asked.model_server,
        )?,
    })
}

/// The builds of the programs that these parts are, except those of the default version.
pub(crate) fn chosen(parts: Parts, builds: &Builds) -> Chosen {
    let of_parts = [
        (
            parts.gateway.name(),
            gateway(parts.gateway).programs(),
            &builds.gateway,
        ),
        (parts.epp.name(), picker(parts.epp).programs(), &builds.epp),
        (
            parts.model_server.name(),
            model_server(parts.model_server).programs(),
            &builds.model_server,
        ),
    ];
    let of_parts = of_parts
        .into_iter()
        .filter(|(_, _, build)| **build != Build::Default);
    of_parts
        .filter_map(|(name, programs, build)| Some((programs.last()?.name, (name, build.clone()))))
        .collect()
}

/// The target of a stack with these parts and addresses. The place sets its name.
pub(crate) fn target(topology: &Topology, parts: Parts, urls: Urls) -> Result<Target> {
    let mut target = Target::of_topology(
        topology,
        urls,
        gateway(parts.gateway).body_limit_bytes(),
        model_server(parts.model_server).control_path(),
    )?;
    let picker = picker(parts.epp);
    picker
        .objective_header()
        .clone_into(&mut target.objective_header);
    let pools = target.models.iter_mut().flat_map(|model| &mut model.pools);
    for pool in pools {
        if !picker.keeps_sessions() {
            pool.session_header = None;
        }
        if !picker.schedules() {
            *pool = Pool {
                name: std::mem::take(&mut pool.name),
                weight: pool.weight,
                endpoints: std::mem::take(&mut pool.endpoints),
                flow_control: Some(false),
                fair_flows: Some(false),
                prefix_affinity: Some(false),
                ..Pool::default()
            };
        }
    }
    if !picker.schedules() {
        target.objectives.clear();
    }
    Ok(target)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_a_kind_of_stack_lacks_is_named_with_the_stacks_that_have_it() {
        let asked = Asked {
            gateway: Some(Gateway::Envoy),
            ..Asked::default()
        };
        let message = choose(StackKind::Embedded, &asked).unwrap_err();
        assert_eq!(
            message.to_string(),
            "--gateway envoy is not available on --stack embedded: use --stack local, containers, kind, cluster"
        );
        let parts = choose(StackKind::Local, &asked).unwrap();
        assert_eq!(parts.epp, EndpointPicker::Gie);
        let asked = Asked {
            gateway: Some(Gateway::Agentgateway),
            model_server: Some(ModelServer::LlmDInferenceSim),
            ..Asked::default()
        };
        assert!(choose(StackKind::Local, &asked).is_ok());
    }
}
