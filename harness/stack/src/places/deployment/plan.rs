//! The deployment that options ask for.

use anyhow::Result;

use crate::kubernetes::Deployment;
use crate::kubernetes::deployment::{Asked, GATEWAY_NODE_PORT};
use crate::options::Options;
use crate::parts::{self, flaws};
use crate::versions::Versions;
use poolproof_model::parts::StackKind;

/// The deployment of these options: names, namespaces, ports and labels.
pub(crate) fn plan(options: &Options, namespace: &str, own_image: String) -> Result<Deployment> {
    let parts = options.parts;
    let (gateway, picker) = (parts::gateway(parts.gateway), parts::picker(parts.epp));
    let node_port = (options.kind == StackKind::Kind).then_some(GATEWAY_NODE_PORT);
    Ok(Deployment::new(
        Asked {
            topology: options.topology.clone(),
            parts,
            own_image,
            versions: Versions::with(parts, &options.builds)?,
            flaw: options.flaw,
            seed: options.seed,
            namespace: namespace.to_owned(),
            gateway_node_port: node_port,
            gateway_pod: gateway.pod(),
            models_share_namespaces: gateway.models_share_namespaces(),
            picker_tls: picker.tls(),
        },
        |name| picker.labels(name),
    ))
}

/// Fails if a deployment is impossible because of its names, its parts or its flaw.
pub(crate) fn check(options: &Options, deployment: &Deployment) -> Result<()> {
    deployment.check()?;
    let (topology, parts) = (&options.topology, options.parts);
    parts::gateway(parts.gateway).check(topology)?;
    parts::model_server(parts.model_server).check(topology)?;
    flaws::check(options.kind, parts, options.flaw)
}
