//! The simulator of llm-d.
//!
//! Source: llm-d-inference-sim v0.8.2, pkg/common/config.go (flags), pkg/communication/http.go (headers of answers). It
//! listens on every address of the machine. It exits with status 0 on any error, so only its answers count.

mod config;

use std::net::SocketAddr;

use anyhow::Result;
use k8s_openapi::api::core::v1::Container;

use super::model_server::ModelServerPart;
use crate::kubernetes::Deployment;
use crate::kubernetes::deployment::MODEL_SERVER_PORT;
use crate::process::Launch;
use crate::programs::{Get, Program, Programs};
use poolproof_model::topology::Model;

const PROGRAM: Program = Program {
    name: "llm-d-inference-sim",
    in_image: "/app/llm-d-inference-sim",
    needed_for: "--model-server llm-d-inference-sim",
    get: Get::BuildOr("--model-server poolproof"),
};

/// llm-d-inference-sim.
pub(super) struct LlmDInferenceSim;

impl ModelServerPart for LlmDInferenceSim {
    fn programs(&self) -> &'static [Program] {
        &[PROGRAM]
    }

    fn launch(
        &self,
        programs: &Programs,
        endpoint: (&str, &Model, SocketAddr),
        seed: u64,
    ) -> Result<Launch> {
        Ok(launch(programs.launch(&PROGRAM)?, endpoint, seed))
    }

    /// It does not report its version, so the requested one is named.
    fn version(&self, programs: &Programs) -> Result<String> {
        let name = PROGRAM.name;
        let wanted = programs.wanted(name, &PROGRAM)?;
        let wanted = wanted.map_or_else(String::new, |wanted| format!("; {wanted} is wanted"));
        let origin = programs.origin(&PROGRAM);
        Ok(format!("{name} (does not say its version{wanted}){origin}"))
    }

    fn images(&self) -> &'static [&'static str] {
        &["llm-d-inference-sim"]
    }

    fn fill(
        &self,
        container: &mut Container,
        deployment: &Deployment,
        model: &Model,
    ) -> Result<()> {
        let image = deployment.versions.image("llm-d-inference-sim")?;
        container.image = Some(image.to_owned());
        container.args = Some(config::args(model, MODEL_SERVER_PORT));
        Ok(())
    }
}

/// The process of one endpoint.
fn launch(
    mut launch: Launch,
    (name, model, address): (&str, &Model, SocketAddr),
    seed: u64,
) -> Launch {
    launch
        .command
        // Answers name their server only if this is set, and the KV cache works only with some POD_IP.
        .env("POD_NAME", name)
        .env("POD_NAMESPACE", "poolproof")
        .env("POD_IP", address.to_string())
        .args(config::args(model, address.port()))
        .arg("--seed")
        .arg(seed.to_string());
    launch
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::process::Command;

    use poolproof_fixtures::flaw::Flaw;

    use super::*;
    use crate::parts::flaws::topology_showing;

    #[test]
    fn the_arguments_of_a_simulator_name_its_port_model_adapters_and_seed() {
        let address = SocketAddr::from(([127, 0, 0, 1], 8001));
        let launch = Launch {
            image: None,
            command: Command::new(PROGRAM.name),
        };
        let model = &topology_showing(Some(Flaw::AdapterUnrouted)).models[0];
        let command = super::launch(launch, ("model-a-0", model, address), 7).command;
        let words: Vec<_> = command
            .get_args()
            .map(|argument| argument.to_str().unwrap())
            .collect();
        let value = |flag: &str| words[words.iter().position(|word| *word == flag).unwrap() + 1];
        assert_eq!(value("--port"), "8001");
        assert_eq!(value("--served-model-name"), "model-a");
        assert_eq!(value("--seed"), "7");
        let adapter = r#"{"name":"model-a-lora","path":"none"}"#;
        assert_eq!(value("--lora-modules"), adapter);
        let after = words.iter().position(|word| *word == "model-a").unwrap() + 1;
        assert!(words[after].starts_with("--"), "the list has ended");
        let named = command.get_envs().any(|(name, value)| {
            name == "POD_NAME" && value.is_some_and(|value| value == "model-a-0")
        });
        assert!(named);
    }
}
