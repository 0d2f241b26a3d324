//! The names of the kinds of stacks and of their parts. The `stack` crate implements them.

use std::fmt;
use std::str::FromStr;

use anyhow::{Error, anyhow};

/// A choice whose values have names, as on the command line.
pub trait Named: Copy + Eq + FromStr<Err = Error> + 'static {
    /// All values.
    const ALL: &'static [Self];

    /// The name in kebab case.
    fn name(self) -> &'static str;

    /// A one-line description for help texts, without a full stop.
    fn summary(self) -> &'static str;
}

/// Declares an enum whose values have a name and a summary.
macro_rules! named {
    ($(#[$doc:meta])* $type:ident, $what:literal; $($variant:ident $name:literal $summary:literal;)*) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $type {
            $(#[doc = $summary] $variant,)*
        }

        impl Named for $type {
            const ALL: &'static [Self] = &[$(Self::$variant),*];

            fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            fn summary(self) -> &'static str {
                match self { $(Self::$variant => $summary,)* }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.name())
            }
        }

        impl FromStr for $type {
            type Err = Error;

            /// Fails with the list of valid names.
            fn from_str(name: &str) -> Result<Self, Error> {
                let mut all = Self::ALL.iter();
                all.find(|value| value.name() == name).copied().ok_or_else(|| {
                    let names: Vec<&str> = Self::ALL.iter().map(|value| value.name()).collect();
                    anyhow!("unknown {} {name:?}: must be one of {}", $what, names.join(", "))
                })
            }
        }
    };
}

named! {
    /// The kinds of stacks.
    StackKind, "stack";
    Embedded "embedded" "Stand-ins for every component, in this process, on loopback sockets";
    Local "local" "Real upstream processes: one endpoint picker per pool, a gateway, model servers";
    Containers "containers" "The same from container images, on a Docker engine";
    Kind "kind" "A new kind cluster with the parts deployed into it";
    Cluster "cluster" "An existing cluster: deploys the parts into it, or tests those it already has";
    Url "url" "Any running stack, described by a target file";
}

impl StackKind {
    /// Whether the parts are pods of a Kubernetes cluster.
    pub fn is_cluster(self) -> bool {
        matches!(self, Self::Kind | Self::Cluster)
    }
}

named! {
    /// The gateway in front of the pools.
    Gateway, "gateway";
    Agentgateway "agentgateway" "agentgateway";
    Envoy "envoy" "Envoy with GIE's body-based router";
    Poolproof "poolproof" "The reference gateway of poolproof";
}

named! {
    /// The endpoint picker of each pool.
    EndpointPicker, "endpoint picker";
    Gie "gie" "The endpoint picker of the Gateway API Inference Extension";
    GieLight "gie-light" "Its light endpoint picker, since v1.6: round robin";
    LlmDRouter "llm-d-router" "The endpoint picker of llm-d-router";
    Poolproof "poolproof" "The reference endpoint picker of poolproof";
}

named! {
    /// The model servers of all pools.
    ModelServer, "model server";
    LlmDInferenceSim "llm-d-inference-sim" "The simulator of llm-d";
    Vllm "vllm" "vLLM itself";
    Poolproof "poolproof" "The model server of poolproof";
}

named! {
    /// The Kubernetes API that the endpoint pickers of a stack of processes or containers watch.
    KubeApi, "Kubernetes API";
    StandIn "stand-in" "A stand-in that serves only what endpoint pickers and the body-based router request";
    Real "real" "kube-apiserver and etcd, without a kubelet";
}

/// The requested parts. `None` selects the default of the kind of stack.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked {
    /// The gateway.
    pub gateway: Option<Gateway>,
    /// The endpoint pickers.
    pub epp: Option<EndpointPicker>,
    /// The model servers.
    pub model_server: Option<ModelServer>,
}

/// The parts of a stack. They communicate only over wire protocols, so each is interchangeable.
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
    /// The default parts of a kind of stack.
    pub fn default_of(kind: StackKind) -> Self {
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

    /// The requested parts, with defaults for the others. Whether the stack offers them is not checked here.
    pub fn asked_for(kind: StackKind, asked: &Asked) -> Self {
        let own = Self::default_of(kind);
        Self {
            gateway: asked.gateway.unwrap_or(own.gateway),
            epp: asked.epp.unwrap_or(own.epp),
            model_server: asked.model_server.unwrap_or(own.model_server),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn survives_its_name<T: Named + fmt::Debug>() {
        for value in T::ALL {
            assert_eq!(value.name().parse::<T>().unwrap(), *value);
            assert!(!value.summary().ends_with('.'));
        }
    }

    #[test]
    fn every_value_is_found_by_its_name() {
        survives_its_name::<StackKind>();
        survives_its_name::<Gateway>();
        survives_its_name::<EndpointPicker>();
        survives_its_name::<ModelServer>();
        survives_its_name::<KubeApi>();
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_list_of_valid_names() {
        let message = "nginx".parse::<Gateway>().unwrap_err().to_string();
        assert_eq!(
            message,
            "unknown gateway \"nginx\": must be one of agentgateway, envoy, poolproof"
        );
    }
}
