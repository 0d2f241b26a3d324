//! The parts of a stack: which implementation stands in each place. They meet only over wire protocols, so any can stand in
//! for any other.

use anyhow::{Result, bail};
use clap::ValueEnum;

use super::StackKind;

/// The gateway in front.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Gateway {
    /// agentgateway.
    Agentgateway,
    /// Envoy with GIE's body-based router.
    Envoy,
    /// The reference gateway of poolproof.
    Poolproof,
}

/// The endpoint picker of each pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EndpointPicker {
    /// The one of the Gateway API Inference Extension.
    Gie,
    /// The reference endpoint picker of poolproof.
    Poolproof,
}

/// The model servers of all pools.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ModelServer {
    /// The simulator of llm-d.
    LlmDInferenceSim,
    /// vLLM itself.
    Vllm,
    /// The model server of poolproof.
    Poolproof,
}

/// What was asked for; `None`: what the kind of stack has by default.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked {
    /// The gateway.
    pub gateway: Option<Gateway>,
    /// The endpoint pickers.
    pub epp: Option<EndpointPicker>,
    /// The model servers.
    pub model_server: Option<ModelServer>,
}

/// What a stack is put together from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts {
    /// The gateway.
    pub gateway: Gateway,
    /// The endpoint pickers.
    pub epp: EndpointPicker,
    /// The model servers.
    pub model_server: ModelServer,
}

impl Parts {
    /// The parts of a stack of this kind: those asked for, else its own. Fails if the kind does not have one of them.
    pub fn of(kind: StackKind, asked: &Asked) -> Result<Self> {
        let own = Self::default_of(kind);
        let parts = Self {
            gateway: asked.gateway.unwrap_or(own.gateway),
            epp: asked.epp.unwrap_or(own.epp),
            model_server: asked.model_server.unwrap_or(own.model_server),
        };
        if let Some(part) = parts.missing_in(kind) {
            bail!("stack {} does not have {part}", name(kind));
        }
        Ok(parts)
    }

    fn default_of(kind: StackKind) -> Self {
        match kind {
            StackKind::Embedded | StackKind::Url => Self {
                gateway: Gateway::Poolproof,
                epp: EndpointPicker::Poolproof,
                model_server: ModelServer::Poolproof,
            },
            StackKind::Local => Self {
                gateway: Gateway::Envoy,
                epp: EndpointPicker::Gie,
                model_server: ModelServer::Poolproof,
            },
            StackKind::Containers | StackKind::Kind | StackKind::Cluster => Self {
                gateway: Gateway::Agentgateway,
                epp: EndpointPicker::Gie,
                model_server: ModelServer::LlmDInferenceSim,
            },
        }
    }

    /// The argument that asks for a part that stacks of this kind do not have.
    fn missing_in(self, kind: StackKind) -> Option<String> {
        let (gateway, epp, model_server) = match kind {
            StackKind::Kind | StackKind::Cluster => (true, true, true),
            StackKind::Embedded | StackKind::Url => (
                self.gateway == Gateway::Poolproof,
                self.epp == EndpointPicker::Poolproof,
                self.model_server == ModelServer::Poolproof,
            ),
            StackKind::Local | StackKind::Containers => {
                (true, true, self.model_server != ModelServer::Vllm)
            }
        };
        if !gateway {
            return Some(format!("--gateway {}", name(self.gateway)));
        }
        if !epp {
            return Some(format!("--epp {}", name(self.epp)));
        }
        (!model_server).then(|| format!("--model-server {}", name(self.model_server)))
    }
}

/// The name that a value has on the command line.
pub fn name(value: impl ValueEnum) -> String {
    let value = value.to_possible_value();
    value.map_or_else(String::new, |value| value.get_name().to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_a_kind_of_stack_lacks_is_named() {
        let asked = Asked {
            gateway: Some(Gateway::Envoy),
            ..Asked::default()
        };
        let message = Parts::of(StackKind::Embedded, &asked).unwrap_err();
        assert_eq!(
            message.to_string(),
            "stack embedded does not have --gateway envoy"
        );
        let parts = Parts::of(StackKind::Local, &asked).unwrap();
        assert_eq!(parts.epp, EndpointPicker::Gie);
        let asked = Asked {
            gateway: Some(Gateway::Agentgateway),
            model_server: Some(ModelServer::LlmDInferenceSim),
            ..Asked::default()
        };
        assert!(Parts::of(StackKind::Local, &asked).is_ok());
    }
}
