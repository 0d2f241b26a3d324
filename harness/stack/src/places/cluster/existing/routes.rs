//! The HTTPRoute rules that lead to InferencePools: which of them our requests can match, and why the others are
//! unusable.

use anyhow::{Context, Result};
use regex::Regex;
use serde_json::Value;

use crate::kubernetes::api::INFERENCE_POOL;
use crate::kubernetes::{list, text};

/// The headers that GIE's body-based router and its successors set to the model name.
const MODEL_HEADERS: [&str; 2] = ["x-gateway-base-model-name", "x-gateway-model-name"];
/// The path that every usable route serves.
const PATH: &str = "/v1/completions";

/// A route to the pools of a model.
#[derive(Debug)]
pub(super) struct Route {
    /// The name of the HTTPRoute, for messages.
    pub(super) of: String,
    pub(super) model: Names,
    /// Its Gateway: namespace and name.
    pub(super) gateway: (String, String),
    pub(super) pools: Vec<Backend>,
}

/// The models that a route matches, in order of precedence.
#[derive(Debug)]
pub(super) enum Names {
    /// The model of this name.
    Exactly(String),
    /// All models whose names match.
    Matching(Regex),
    /// All models.
    Any,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Backend {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) weight: u32,
}

impl Names {
    /// Whether a model of this name matches.
    pub(super) fn take(&self, name: &str) -> bool {
        match self {
            Self::Exactly(exactly) => exactly == name,
            Self::Matching(names) => names.is_match(name),
            Self::Any => true,
        }
    }

    fn precedence(&self) -> u8 {
        match self {
            Self::Exactly(_) => 0,
            Self::Matching(_) => 1,
            Self::Any => 2,
        }
    }
}

/// The usable routes of one Gateway, at most one per model and pool, and the reason for each unusable route to a pool.
/// `host` is the host of the gateway URL that the user gave.
pub(super) fn read(routes: &[Value], host: Option<&str>) -> (Vec<Route>, Vec<String>) {
    let (mut found, mut unusable) = (Vec::new(), Vec::new());
    let mut routes: Vec<&Value> = routes.iter().collect();
    // The older route wins, then the first by name: Gateway API, HTTPRouteRule.
    routes.sort_by_key(|route| {
        ["creationTimestamp", "namespace", "name"].map(|field| route["metadata"][field].as_str())
    });
    for route in routes {
        let of = of(route);
        for rule in list(&route["spec"]["rules"]) {
            let pools = pools(route, rule);
            if pools.is_empty() {
                continue;
            }
            if let Err(reason) = takes_host(route, host) {
                unusable.push(format!("{of}: {reason}"));
                continue;
            }
            for names in matches(rule) {
                match names {
                    Ok(model) => found.push(Route {
                        of: of.clone(),
                        model,
                        gateway: gateway(route),
                        pools: pools.clone(),
                    }),
                    Err(error) => unusable.push(format!("{of}: {error:#}")),
                }
            }
        }
    }
    found.sort_by_key(|route| route.model.precedence());
    let mut used: Vec<Route> = Vec::new();
    for route in found {
        match conflict(&route, &used) {
            Some(Conflict::Same) => {}
            Some(Conflict::Because(reason)) => unusable.push(format!("{}: {reason}", route.of)),
            None => used.push(route),
        }
    }
    (used, unusable)
}

/// Why a route cannot be used beside others.
enum Conflict {
    /// Another route has the same models and pools.
    Same,
    Because(String),
}

fn conflict(route: &Route, used: &[Route]) -> Option<Conflict> {
    if let Some(first) = used.first()
        && first.gateway != route.gateway
    {
        let (namespace, name) = &route.gateway;
        return Some(Conflict::Because(format!(
            "it is of another Gateway, {namespace}/{name}; --namespace chooses one"
        )));
    }
    for other in used {
        let same_model = match (&other.model, &route.model) {
            (Names::Exactly(other), Names::Exactly(name)) => other == name,
            (Names::Any, Names::Any) => true,
            _ => false,
        };
        if same_model && other.pools == route.pools {
            return Some(Conflict::Same);
        }
        if same_model {
            let of = &other.of;
            return Some(Conflict::Because(format!(
                "{of} takes the same model to other pools, and has precedence"
            )));
        }
        let is_shared = |pool: &&Backend| {
            let is_it = |it: &Backend| (&it.namespace, &it.name) == (&pool.namespace, &pool.name);
            other.pools.iter().any(is_it)
        };
        if let Some(pool) = route.pools.iter().find(is_shared) {
            return Some(Conflict::Because(format!(
                "pool {}/{} is already used for another model, by {}",
                pool.namespace, pool.name, other.of
            )));
        }
    }
    None
}

/// The name of a route, for messages.
fn of(route: &Value) -> String {
    let (namespace, name) = (
        text(route, "/metadata/namespace"),
        text(route, "/metadata/name"),
    );
    format!("HTTPRoute {namespace}/{name}")
}

/// The first Gateway of a route.
fn gateway(route: &Value) -> (String, String) {
    let parent = &route["spec"]["parentRefs"][0];
    let own = text(route, "/metadata/namespace");
    (
        parent["namespace"].as_str().unwrap_or(own).to_owned(),
        text(parent, "/name").to_owned(),
    )
}

/// The InferencePools of a rule.
fn pools(route: &Value, rule: &Value) -> Vec<Backend> {
    let own = text(route, "/metadata/namespace");
    let pools = list(&rule["backendRefs"]).filter(|backend| backend["kind"] == INFERENCE_POOL.1);
    pools
        .map(|backend| Backend {
            namespace: backend["namespace"].as_str().unwrap_or(own).to_owned(),
            name: text(backend, "/name").to_owned(),
            weight: backend["weight"].as_u64().unwrap_or(1) as u32,
        })
        .collect()
}

/// Whether requests to a host match the hostnames of a route.
fn takes_host(route: &Value, host: Option<&str>) -> Result<(), String> {
    let mut names = list(&route["spec"]["hostnames"]).filter_map(Value::as_str);
    let takes = |name: &str| match (name.strip_prefix('*'), host) {
        (_, None) => false,
        (Some(suffix), Some(host)) => host.len() > suffix.len() && host.ends_with(suffix),
        (None, Some(host)) => host.eq_ignore_ascii_case(name),
    };
    let all: Vec<&str> = names.by_ref().collect();
    if all.is_empty() || all.iter().any(|name| takes(name)) {
        return Ok(());
    }
    let first = all[0].replace('*', "any");
    Err(format!(
        "it takes only requests to {}; give --gateway-url http://{first}:PORT, with a name that leads to the gateway from here",
        all.join(", ")
    ))
}

/// The models of each match of a rule.
fn matches(rule: &Value) -> Vec<Result<Names>> {
    let matches: Vec<&Value> = list(&rule["matches"]).collect();
    if matches.is_empty() {
        return vec![Ok(Names::Any)];
    }
    matches.into_iter().map(names).collect()
}

/// The models of a match; an error if our requests cannot match.
fn names(of: &Value) -> Result<Names> {
    let path = text(of, "/path/value");
    let takes_path = match of["path"]["type"].as_str() {
        Some("Exact") => path == PATH,
        Some("RegularExpression") => whole(path)?.is_match(PATH),
        _ => {
            let rest = PATH.strip_prefix(path.trim_end_matches('/'));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        }
    };
    anyhow::ensure!(takes_path, "its path {path:?} does not take {PATH}");
    let method = of["method"].as_str().unwrap_or("POST");
    anyhow::ensure!(method == "POST", "it takes only {method} requests");
    let query = list(&of["queryParams"]).next();
    anyhow::ensure!(
        query.is_none(),
        "it takes only requests with query parameters"
    );
    let mut names = Names::Any;
    for header in list(&of["headers"]) {
        let (name, value) = (text(header, "/name"), text(header, "/value"));
        let is_model = MODEL_HEADERS.contains(&name.to_lowercase().as_str());
        anyhow::ensure!(is_model, "it takes only requests with the header {name}");
        names = match header["type"].as_str() {
            Some("RegularExpression") => Names::Matching(whole(value)?),
            _ => Names::Exactly(value.to_owned()),
        };
    }
    Ok(names)
}

/// An expression that must match a whole text, as in Envoy.
fn whole(expression: &str) -> Result<Regex> {
    Regex::new(&format!("^(?:{expression})$"))
        .with_context(|| format!("{expression:?} is no regular expression that can be read here"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    fn route(name: &str, rules: &Value) -> Value {
        json!({
            "metadata": {"namespace": "web", "name": name, "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"parentRefs": [{"name": "gw"}], "rules": rules},
        })
    }

    fn rule(matches: &Value, pool: &str) -> Value {
        json!({"matches": matches, "backendRefs": [{"kind": "InferencePool", "name": pool}]})
    }

    fn header(value: &str) -> Value {
        json!([{"headers": [{"name": "X-Gateway-Model-Name", "value": value}]}])
    }

    #[test]
    fn routes_by_model_are_used_and_routes_to_services_are_not_reported() {
        let route = route(
            "r",
            &json!([
                {"backendRefs": [{"kind": "Service", "name": "site"}]},
                {
                    "matches": [{"headers": [{"name": "X-Gateway-Base-Model-Name", "value": "m"}]}],
                    "backendRefs": [
                        {"kind": "InferencePool", "name": "stable", "weight": 90},
                        {"kind": "InferencePool", "name": "canary", "weight": 10, "namespace": "next"},
                    ],
                },
            ]),
        );
        let (routes, unusable) = read(&[route], None);
        assert!(unusable.is_empty(), "{unusable:?}");
        assert_eq!(routes.len(), 1);
        assert!(matches!(&routes[0].model, Names::Exactly(name) if name == "m"));
        assert_eq!(routes[0].gateway, ("web".into(), "gw".into()));
        let pools: Vec<_> = routes[0]
            .pools
            .iter()
            .map(|pool| (pool.namespace.as_str(), pool.name.as_str(), pool.weight))
            .collect();
        assert_eq!(pools, [("web", "stable", 90), ("next", "canary", 10)]);
    }

    #[test]
    fn a_route_without_a_model_header_takes_any_model() {
        let rules = json!([rule(
            &json!([{"path": {"type": "PathPrefix", "value": "/v1"}}]),
            "p"
        )]);
        let (routes, unusable) = read(&[route("r", &rules)], None);
        assert!(unusable.is_empty(), "{unusable:?}");
        assert!(matches!(routes[0].model, Names::Any));
    }

    #[test]
    fn a_regular_expression_takes_the_whole_name() {
        let matches = json!([{"headers": [
            {"name": "x-gateway-model-name", "type": "RegularExpression", "value": "qwen-.*|llama"},
        ]}]);
        let (routes, _) = read(&[route("r", &json!([rule(&matches, "p")]))], None);
        let model = &routes[0].model;
        assert!(model.take("qwen-7b") && model.take("llama"));
        assert!(!model.take("my-llama") && !model.take("qwen"));
    }

    #[test]
    fn the_second_route_of_a_model_is_reported_and_an_equal_one_is_not() {
        let routes = [
            route(
                "a",
                &json!([rule(&header("m"), "p"), rule(&header("m"), "p")]),
            ),
            route("b", &json!([rule(&header("m"), "other")])),
        ];
        let (used, unusable) = read(&routes, None);
        assert_eq!(used.len(), 1);
        assert_eq!(unusable.len(), 1);
        assert!(
            unusable[0].contains("web/b") && unusable[0].contains("web/a"),
            "{unusable:?}"
        );
    }

    #[test]
    fn a_hostname_is_used_with_a_url_that_has_it() {
        let mut route = route("r", &json!([rule(&header("m"), "p")]));
        route["spec"]["hostnames"] = json!(["*.example.com"]);
        let (used, unusable) = read(std::slice::from_ref(&route), None);
        assert!(
            used.is_empty() && unusable[0].contains("--gateway-url"),
            "{unusable:?}"
        );
        assert!(
            read(std::slice::from_ref(&route), Some("example.com"))
                .0
                .is_empty()
        );
        assert_eq!(read(&[route], Some("llm.example.com")).0.len(), 1);
    }

    #[test]
    fn a_match_that_our_requests_cannot_meet_is_reported_with_its_reason() {
        for (matches, reason) in [
            (
                json!([{"path": {"type": "Exact", "value": "/other"}}]),
                "/other",
            ),
            (
                json!([{"path": {"type": "PathPrefix", "value": "/v1/comp"}}]),
                "/v1/comp",
            ),
            (
                json!([{"headers": [{"name": "x-user", "value": "a"}]}]),
                "x-user",
            ),
            (json!([{"method": "GET"}]), "GET"),
        ] {
            let (used, unusable) = read(&[route("r", &json!([rule(&matches, "p")]))], None);
            assert!(used.is_empty());
            assert!(unusable[0].contains(reason), "{unusable:?}");
        }
    }
}
