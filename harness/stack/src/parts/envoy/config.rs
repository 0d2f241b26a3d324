//! Envoy's configuration: the body-based router, a route per model, the endpoint picker of the chosen pool.
//!
//! Source: Envoy 1.39 API, config.bootstrap.v3.Bootstrap; GIE v1.5.0, docs/proposals/004-endpoint-picker-protocol. The
//! filter for endpoint pickers does nothing by itself; each route or weighted cluster names its own picker.

use std::net::SocketAddr;
use std::path::Path;

use poolproof_fixtures::flaw::Flaw;
use serde_json::{Value, json};

use crate::hash::fnv;
use crate::parts::flawed;
use poolproof_model::topology::{Model, Pool, Topology};

const MODEL_HEADER: &str = "x-gateway-base-model-name";
const DESTINATION_HEADER: &str = "x-gateway-destination-endpoint";
/// Headers that are removed from client requests: only the body-based router and the endpoint picker may set them.
const RESERVED_HEADERS: [&str; 3] = [MODEL_HEADER, "x-gateway-model-name", DESTINATION_HEADER];

const CHAT_PATH: &str = "/v1/chat/completions";
/// Longer than any request may be held.
const MESSAGE_TIMEOUT: &str = "1000s";
/// With Envoy's default limits of 1,024, more held requests get an empty 500.
const LIMIT: u32 = 40_000;

/// The addresses of Envoy and its peers.
#[derive(Clone, Debug)]
pub(super) struct Addresses {
    pub(super) listener: SocketAddr,
    pub(super) admin: SocketAddr,
    pub(super) bbr: Upstream,
    /// In the order of the topology's pools.
    pub(super) pickers: Vec<Upstream>,
}

/// A gRPC server that Envoy calls.
#[derive(Clone, Debug)]
pub(super) struct Upstream {
    /// An address or a DNS name.
    pub(super) host: String,
    pub(super) port: u16,
    /// Whether it uses TLS. Its certificate is self-signed, so it is not verified.
    pub(super) tls: bool,
}

impl From<SocketAddr> for Upstream {
    /// A server without TLS.
    fn from(address: SocketAddr) -> Self {
        Self {
            host: address.ip().to_string(),
            port: address.port(),
            tls: false,
        }
    }
}

/// The name of the routes in their file.
const ROUTES: &str = "models";
const ROUTES_TYPE: &str = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration";

/// The routes as a file. Different routes have a different version, which Envoy reports once it has loaded them.
pub(super) fn routes_file(topology: &Topology, flaw: Option<Flaw>) -> Value {
    let routes = json!({
        "@type": ROUTES_TYPE,
        "name": ROUTES,
        "virtual_hosts": [{"name": "models", "domains": ["*"], "routes": routes(topology, flaw)}],
    });
    json!({"version_info": format!("{:016x}", fnv(&routes.to_string())), "resources": [routes]})
}

/// The whole configuration except the routes, which Envoy reads from a file. It reloads the file when another is moved
/// over it, or over the symbolic link beside it.
pub(super) fn bootstrap(
    topology: &Topology,
    at: &Addresses,
    routes_file: &Path,
    flaw: Option<Flaw>,
) -> Value {
    let mut clusters = vec![destination_cluster(), grpc_cluster("bbr", &at.bbr)];
    for (pool, picker) in topology.pools().zip(&at.pickers) {
        clusters.push(grpc_cluster(&picker_cluster(pool), picker));
    }
    json!({
        "node": {"id": "poolproof", "cluster": "poolproof"},
        "admin": {"address": socket_address(at.admin)},
        "static_resources": {
            "listeners": [{
                "name": "inference",
                "address": socket_address(at.listener),
                "filter_chains": [{"filters": [connection_manager(topology, routes_file, flaw)]}],
            }],
            "clusters": clusters,
        },
    })
}

fn connection_manager(topology: &Topology, routes_file: &Path, flaw: Option<Flaw>) -> Value {
    let mut filters = Vec::new();
    if flaw != Some(Flaw::TrustedModelHeader) {
        let removed: Vec<Value> = RESERVED_HEADERS
            .iter()
            .map(|name| json!({"remove": name}))
            .collect();
        filters.push(json!({
            "name": "envoy.filters.http.header_mutation",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation",
                "mutations": {"request_mutations": removed},
            },
        }));
    }
    filters.push(ext_proc(
        "bbr",
        "bbr",
        json!({
            "request_header_mode": "SEND", "request_body_mode": "FULL_DUPLEX_STREAMED", "request_trailer_mode": "SEND",
            "response_header_mode": "SKIP", "response_body_mode": "NONE", "response_trailer_mode": "SKIP",
        }),
    ));
    let any_picker = topology
        .pools()
        .next()
        .map(picker_cluster)
        .unwrap_or_default();
    filters.push(ext_proc(
        "epp",
        &any_picker,
        json!({
            "request_header_mode": "SKIP", "request_body_mode": "NONE", "request_trailer_mode": "SKIP",
            "response_header_mode": "SKIP", "response_body_mode": "NONE", "response_trailer_mode": "SKIP",
        }),
    ));
    filters.push(json!({
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
    }));
    json!({
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "inference",
            "stream_idle_timeout": "0s",
            "http_filters": filters,
            "rds": {
                "route_config_name": ROUTES,
                "config_source": {"path_config_source": {
                    "path": routes_file,
                    "watched_directory": {"path": routes_file.parent()},
                }},
            },
        },
    })
}

fn ext_proc(name: &str, cluster: &str, processing_mode: Value) -> Value {
    json!({
        "name": name,
        "typed_config": {
            "@type": format!("type.googleapis.com/{EXT_PROC_TYPE}ExternalProcessor"),
            "grpc_service": grpc_service(cluster),
            "processing_mode": processing_mode,
            "message_timeout": MESSAGE_TIMEOUT,
            "failure_mode_allow": false,
        },
    })
}
const EXT_PROC_TYPE: &str = "envoy.extensions.filters.http.ext_proc.v3.";

/// Routes by the header with the model name, which the body-based router has set. Other requests get 404.
fn routes(topology: &Topology, flaw: Option<Flaw>) -> Vec<Value> {
    let mut routes = Vec::new();
    if flaw == Some(Flaw::ChatRouteMissing) {
        routes.push(not_found(json!({"prefix": CHAT_PATH})));
    }
    for (number, model) in topology.models.iter().enumerate() {
        let header = json!({"name": MODEL_HEADER, "string_match": {"exact": model.name}});
        let matched = json!({"prefix": "/", "headers": [header]});
        let destination = flawed::destination(topology, number, flaw);
        routes.push(forward(matched, destination, flaw));
    }
    let rest = json!({"prefix": "/"});
    routes.push(match (flaw, topology.models.first()) {
        (Some(Flaw::CatchAllRoute), Some(first)) => forward(rest, first, flaw),
        _ => not_found(rest),
    });
    routes
}

fn forward(matched: Value, model: &Model, flaw: Option<Flaw>) -> Value {
    let weights = flawed::weights(model, flaw);
    let clusters: Vec<Value> = model
        .pools
        .iter()
        .zip(weights)
        .map(|(pool, weight)| {
            json!({
                "name": "destination",
                "weight": weight,
                "typed_per_filter_config": {"epp": picker_of(pool)},
            })
        })
        .collect();
    // 0: no limit.
    let timeout_s = model.request_timeout_ms.unwrap_or(0) as f64 / 1e3;
    json!({
        "match": matched,
        "route": {
            "weighted_clusters": {"clusters": clusters},
            "timeout": format!("{timeout_s}s"),
            "idle_timeout": "0s",
        },
    })
}

/// Asks the endpoint picker of a pool.
fn picker_of(pool: &Pool) -> Value {
    json!({
        "@type": format!("type.googleapis.com/{EXT_PROC_TYPE}ExtProcPerRoute"),
        "overrides": {
            "grpc_service": grpc_service(&picker_cluster(pool)),
            "processing_mode": {
                "request_header_mode": "SEND", "request_body_mode": "FULL_DUPLEX_STREAMED", "request_trailer_mode": "SEND",
                "response_header_mode": "SEND", "response_body_mode": "FULL_DUPLEX_STREAMED", "response_trailer_mode": "SEND",
            },
        },
    })
}

fn not_found(matched: Value) -> Value {
    json!({
        "match": matched,
        "direct_response": {"status": 404, "body": {"inline_string": "route not found"}},
        "typed_per_filter_config": {
            "epp": {"@type": format!("type.googleapis.com/{EXT_PROC_TYPE}ExtProcPerRoute"), "disabled": true},
        },
    })
}

fn picker_cluster(pool: &Pool) -> String {
    format!("epp-{}", pool.name)
}

fn grpc_service(cluster: &str) -> Value {
    json!({"envoy_grpc": {"cluster_name": cluster}, "timeout": MESSAGE_TIMEOUT})
}

/// Forwards a request to the address in the header that the endpoint picker has set.
fn destination_cluster() -> Value {
    json!({
        "name": "destination",
        "type": "ORIGINAL_DST",
        "lb_policy": "CLUSTER_PROVIDED",
        "connect_timeout": "5s",
        "original_dst_lb_config": {"use_http_header": true, "http_header_name": DESTINATION_HEADER},
        "circuit_breakers": circuit_breakers(),
    })
}

fn grpc_cluster(name: &str, upstream: &Upstream) -> Value {
    let address =
        json!({"socket_address": {"address": upstream.host, "port_value": upstream.port}});
    let mut cluster = json!({
        "name": name,
        "type": "STRICT_DNS",
        "connect_timeout": "5s",
        "circuit_breakers": circuit_breakers(),
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {}},
            },
        },
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
    });
    if upstream.tls {
        cluster["transport_socket"] = json!({
            "name": "envoy.transport_sockets.tls",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
                "common_tls_context": {"alpn_protocols": ["h2"]},
            },
        });
    }
    cluster
}

fn circuit_breakers() -> Value {
    json!({"thresholds": [{"max_connections": LIMIT, "max_pending_requests": LIMIT, "max_requests": LIMIT}]})
}

fn socket_address(address: SocketAddr) -> Value {
    json!({"socket_address": {"address": address.ip().to_string(), "port_value": address.port()}})
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_no_model_matches_is_not_found_but_under_the_flaw() {
        let topology = Topology::default();
        let sound = routes(&topology, None);
        assert_eq!(sound.len(), topology.models.len() + 1);
        assert_eq!(sound.last().unwrap()["direct_response"]["status"], 404);
        let caught = routes(&topology, Some(Flaw::CatchAllRoute));
        assert!(caught.last().unwrap()["route"].is_object());
        let crossed = routes(&topology, Some(Flaw::CrossedRoutes));
        assert_eq!(crossed[0]["route"], sound[1]["route"]);
    }

    #[test]
    fn each_pool_asks_its_own_picker() {
        let route = &routes(&Topology::default(), None)[1]["route"];
        let picker = "/typed_per_filter_config/epp/overrides/grpc_service/envoy_grpc/cluster_name";
        let clusters = route["weighted_clusters"]["clusters"].as_array().unwrap();
        let pickers: Vec<_> = clusters
            .iter()
            .map(|route| route.pointer(picker).unwrap())
            .collect();
        assert_eq!(
            pickers,
            [
                "epp-model-b-stable",
                "epp-model-b-canary",
                "epp-model-b-next"
            ]
        );
    }
}
