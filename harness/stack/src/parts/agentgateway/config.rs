//! agentgateway's configuration: the model name copied from the body into a header, a route per model, the endpoint
//! picker of the chosen pool.
//!
//! Source: agentgateway v1.2.1, crates/agentgateway/src/types/local.rs, http/ext_proc.rs, http/transformation_cel.rs. A pool is a service
//! without endpoints: the picker's choice is dialled as it is (`passthrough`).

use std::net::SocketAddr;

use poolproof_fixtures::flaw::Flaw;
use serde_json::{Value, json};

use crate::parts::flawed;
use poolproof_model::target::GIE_OBJECTIVE_HEADER;
use poolproof_model::topology::{Model, Pool, Topology};

const MODEL_HEADER: &str = "X-Gateway-Base-Model-Name";
const MODEL: &str = "string(json(request.body).model)";
const NAMESPACE: &str = "poolproof";
/// The port of every service. It is never dialled, since pickers set the destination.
const SERVICE_PORT: u16 = 8000;

/// The addresses of agentgateway and its peers. It listens on every address of the machine: a bind has only a port.
#[derive(Clone, Debug)]
pub(super) struct Addresses {
    pub(super) listener: SocketAddr,
    pub(super) admin: SocketAddr,
    pub(super) stats: SocketAddr,
    pub(super) readiness: SocketAddr,
    /// In the order of the topology's pools.
    pub(super) pickers: Vec<SocketAddr>,
}

/// The text of the whole configuration, with `$` escaped: agentgateway expands environment variables in it.
pub(super) fn text(topology: &Topology, at: &Addresses, flaw: Option<Flaw>) -> String {
    format!("{:#}", config(topology, at, flaw)).replace('$', "$$")
}

fn config(topology: &Topology, at: &Addresses, flaw: Option<Flaw>) -> Value {
    json!({
        "config": {
            // Without this setting it cannot start where IPv6 is off.
            "enableIpv6": false,
            "adminAddr": at.admin.to_string(),
            "statsAddr": at.stats.to_string(),
            "readinessAddr": at.readiness.to_string(),
            "logging": {"format": "json"},
        },
        "services": topology.pools().map(service).collect::<Vec<_>>(),
        "binds": [{
            "port": at.listener.port(),
            "listeners": [{
                "name": "inference",
                "protocol": "HTTP",
                "policies": {"transformations": {"request": lift_model(flaw)}},
                "routes": routes(topology, &at.pickers, flaw),
            }],
        }],
    })
}

/// A pool. Its protocol is HTTP/1: model servers misread HTTP/2.
fn service(pool: &Pool) -> Value {
    let port = SERVICE_PORT.to_string();
    json!({
        "name": pool.name,
        "namespace": NAMESPACE,
        "hostname": pool.name,
        "vips": [],
        "ports": {&port: SERVICE_PORT},
        "appProtocols": {&port: "Http11"},
    })
}

/// Transforms a request before its route is chosen. Setting a header replaces the client's value, even if the body has
/// no model. Adding one would append it, and only the first value is matched.
fn lift_model(flaw: Option<Flaw>) -> Value {
    match flaw {
        Some(Flaw::TrustedModelHeader) => json!({"add": {MODEL_HEADER: MODEL}}),
        Some(Flaw::ObjectiveLost) => {
            json!({"set": {MODEL_HEADER: MODEL}, "remove": [GIE_OBJECTIVE_HEADER]})
        }
        _ => json!({"set": {MODEL_HEADER: MODEL}}),
    }
}

/// Routes by the header with the model name, whether of a model or an adapter. agentgateway answers 404 to anything
/// else.
fn routes(topology: &Topology, pickers: &[SocketAddr], flaw: Option<Flaw>) -> Vec<Value> {
    let path = match flaw {
        Some(Flaw::ChatRouteMissing) => json!({"exact": "/v1/completions"}),
        _ => json!({"pathPrefix": "/"}),
    };
    let mut routes: Vec<Value> = (topology.models.iter().enumerate())
        .map(|(number, model)| {
            let adapters = model
                .routed_names()
                .filter(|_| flaw != Some(Flaw::AdapterUnrouted));
            let names = adapters.map(|adapter| json!({"exact": adapter}));
            let matches = std::iter::once(named(model, flaw)).chain(names).map(
                |name| json!({"path": path, "headers": [{"name": MODEL_HEADER, "value": name}]}),
            );
            let destination = flawed::destination(topology, number, flaw);
            let mut route = json!({
                "name": format!("model-{number}"),
                "matches": matches.collect::<Vec<_>>(),
                "backends": backends(topology, destination, pickers, flaw),
            });
            if let Some(ms) = model.request_timeout_ms {
                route["policies"] = json!({"timeout": {"requestTimeout": format!("{ms}ms")}});
            }
            route
        })
        .collect();
    routes.extend(rest(topology, pickers, flaw));
    routes
}

/// The match for a model name.
fn named(model: &Model, flaw: Option<Flaw>) -> Value {
    let name = escaped(&model.name);
    match flaw {
        Some(Flaw::PrefixMatch) => json!({"regex": format!("{name}.*")}),
        Some(Flaw::CaseInsensitiveMatch) => json!({"regex": format!("(?i){name}")}),
        Some(Flaw::ProviderDropped) => json!({"regex": format!("(.*/)?{name}")}),
        _ => json!({"exact": model.name}),
    }
}

/// A regular expression that matches exactly this text.
fn escaped(text: &str) -> String {
    let mut expression = String::new();
    for character in text.chars() {
        if !character.is_alphanumeric() {
            expression.push_str(&format!("\\x{{{:x}}}", u32::from(character)));
        } else {
            expression.push(character);
        }
    }
    expression
}

/// The routes that some flaws add for requests that match no model.
fn rest(topology: &Topology, pickers: &[SocketAddr], flaw: Option<Flaw>) -> Option<Value> {
    let matches = json!([{"path": {"pathPrefix": "/"}}]);
    let answer = |status: u16, body: &str| {
        json!({
            "name": "rest", "matches": matches,
            "policies": {"directResponse": {"status": status, "body": body}},
        })
    };
    match flaw? {
        Flaw::CatchAllRoute => {
            let backends = backends(topology, topology.models.first()?, pickers, flaw);
            Some(json!({"name": "rest", "matches": matches, "backends": backends}))
        }
        Flaw::Unknown503 => Some(answer(503, "no model server")),
        Flaw::Unknown200 => Some(answer(200, r#"{"error":{"message":"no such model"}}"#)),
        _ => None,
    }
}

fn backends(
    topology: &Topology,
    model: &Model,
    pickers: &[SocketAddr],
    flaw: Option<Flaw>,
) -> Vec<Value> {
    let picker_of = |pool: &Pool| {
        let mut all = topology.pools().zip(pickers);
        all.find(|(it, _)| it.name == pool.name)
            .map(|(_, picker)| picker.to_string())
    };
    let weights = flawed::weights(model, flaw);
    (model.pools.iter().zip(weights))
        .map(|(pool, weight)| {
            json!({
                "service": {"name": format!("{NAMESPACE}/{}", pool.name), "port": SERVICE_PORT},
                "weight": weight,
                "policies": {"inferenceRouting": {
                    "endpointPicker": {"host": picker_of(pool)},
                    "destinationMode": "passthrough",
                }},
            })
        })
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use poolproof_fixtures::flaw::Component;

    use super::*;
    use crate::parts::flaws::{can_have, topology_showing};
    use poolproof_model::parts::{Gateway, Parts, StackKind};

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    fn config_under(flaw: Option<Flaw>) -> Value {
        let at = Addresses {
            listener: address(1),
            admin: address(2),
            stats: address(3),
            readiness: address(4),
            pickers: (5..9).map(address).collect(),
        };
        config(&topology_showing(Some(Flaw::AdapterUnrouted)), &at, flaw)
    }

    fn routes_under(flaw: Option<Flaw>) -> Value {
        config_under(flaw)["binds"][0]["listeners"][0]["routes"].take()
    }

    #[test]
    fn each_pool_has_its_weight_and_asks_its_own_picker() {
        let routes = routes_under(None);
        let of_pools: Vec<_> = (routes[1]["backends"].as_array().unwrap().iter())
            .map(|backend| {
                let picker = &backend["policies"]["inferenceRouting"]["endpointPicker"]["host"];
                (
                    backend["service"]["name"].clone(),
                    backend["weight"].clone(),
                    picker.clone(),
                )
            })
            .collect();
        let expected = [
            ("poolproof/model-b-stable", 90, "127.0.0.1:6"),
            ("poolproof/model-b-canary", 10, "127.0.0.1:7"),
            ("poolproof/model-b-next", 0, "127.0.0.1:8"),
        ];
        assert_eq!(
            of_pools,
            expected.map(|(pool, weight, picker)| (pool.into(), weight.into(), picker.into()))
        );
    }

    #[test]
    fn what_no_model_matches_has_no_route_but_under_flaws() {
        let sound = routes_under(None);
        assert_eq!(sound.as_array().unwrap().len(), 2);
        let caught = routes_under(Some(Flaw::CatchAllRoute));
        assert_eq!(caught[2]["backends"], sound[0]["backends"]);
        let crossed = routes_under(Some(Flaw::CrossedRoutes));
        assert_eq!(crossed[0]["backends"], sound[1]["backends"]);
        let answered = routes_under(Some(Flaw::Unknown503));
        assert_eq!(answered[2]["policies"]["directResponse"]["status"], 503);
    }

    #[test]
    fn names_are_compared_as_they_are_but_under_flaws() {
        let matched = |flaw| {
            let routes = routes_under(flaw);
            routes[0]["matches"][0]["headers"][0]["value"].clone()
        };
        assert_eq!(matched(None), json!({"exact": "model-a"}));
        let adapter = &routes_under(None)[0]["matches"][1]["headers"][0]["value"];
        assert_eq!(adapter, &json!({"exact": "model-a-lora"}));
        assert_eq!(
            matched(Some(Flaw::PrefixMatch)),
            json!({"regex": r"model\x{2d}a.*"})
        );
    }

    #[test]
    fn every_flaw_that_it_can_have_changes_the_configuration() {
        let sound = config_under(None);
        let parts = Parts {
            gateway: Gateway::Agentgateway,
            ..Parts::default_of(StackKind::Local)
        };
        let of_gateway = Flaw::ALL
            .iter()
            .filter(|flaw| flaw.component() == Component::Gateway)
            .filter(|flaw| can_have(StackKind::Local, parts, **flaw));
        for flaw in of_gateway {
            assert_ne!(config_under(Some(*flaw)), sound, "{flaw}");
        }
    }

    #[test]
    fn a_model_name_is_no_variable_of_the_environment() {
        let mut topology = Topology::default();
        topology.models[0].name = "cheap-$HOME".into();
        let at = Addresses {
            listener: address(1),
            admin: address(2),
            stats: address(3),
            readiness: address(4),
            pickers: Vec::new(),
        };
        assert!(text(&topology, &at, None).contains("\"cheap-$$HOME\""));
    }
}
