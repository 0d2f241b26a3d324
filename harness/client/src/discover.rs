//! Asks a gateway or a model server what can be known without a file: its models, and the header in which answers name their endpoint.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::Value;
use url::Url;

use crate::{Api, Client, Connections, Ending, Exchange, Request};
use poolproof_model::target::{Model, Pool, SERVED_BY_HEADER, Target};

/// The longest wait for each answer.
pub const TIMEOUT: Duration = Duration::from_secs(10);
/// The longest list of models that is read, in bytes: an entry has about 1 KB (vLLM, with its permissions).
const LIST_LIMIT_BYTES: usize = 2 << 20;
/// The most models that are read from a list.
const MODELS_MAX: usize = 1000;

/// Headers of answers that are known to name the endpoint: that of llm-d-inference-sim and of poolproof's model server, and that of
/// GIE's conformance tests (gateway-api-inference-extension, `pkg/epp/metadata/consts.go`).
const SERVED_BY_HEADERS: [&str; 2] = [SERVED_BY_HEADER, "x-gateway-destination-endpoint-served"];

/// The answer of `/v1/models`.
#[derive(Clone, Debug)]
pub enum Listed {
    /// The base models, each with its LoRA adapters; at least one.
    Models(Vec<Model>),
    /// No server answers: why.
    Unreachable(String),
    /// A server answers, with something else than a list: its status, and what.
    Nothing(Option<u16>, String),
}

/// Asks `/v1/models` of a target whose models are not known. Fails only if no client can be set up.
pub async fn models(target: &Target) -> Result<Listed> {
    let answer = send(target, Request::to(Method::GET, "/v1/models")).await?;
    if let Ending::NotConnected(why) = &answer.ending {
        return Ok(Listed::Unreachable(why.clone()));
    }
    if answer.body.len() > LIST_LIMIT_BYTES {
        let long = answer.body.len();
        let why =
            format!("its list has {long} bytes or more, and {LIST_LIMIT_BYTES} at most are read");
        return Ok(Listed::Nothing(answer.status, why));
    }
    let listed = serde_json::from_slice::<Value>(&answer.body).unwrap_or_default();
    let models = of_list(&listed);
    Ok(if answer.status != Some(200) {
        Listed::Nothing(answer.status, answer.describe())
    } else if models.is_empty() {
        let what = format!("it lists no model: {}", answer.describe());
        Listed::Nothing(answer.status, what)
    } else {
        Listed::Models(models)
    })
}

/// The header in which the answer to a chat of one token names its endpoint, if it is one of those that are known.
pub async fn served_by_header(target: &Target, model: &str) -> Result<Option<String>> {
    let request = Request::new(Api::Chat, model, 1, &mut rand::rng());
    let answer = send(target, request).await?;
    Ok(named_in(&answer.headers))
}

/// The address without the path of the API, which every request adds: other tools ask for `http://host/v1`.
pub fn base_of(url: &Url) -> Url {
    let mut base = url.clone();
    let path = url.path().trim_end_matches('/');
    let own = [
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/models",
        "/v1",
    ];
    let rest = own.iter().find_map(|own| path.strip_suffix(own));
    base.set_path(rest.unwrap_or(path));
    base
}

async fn send(target: &Target, request: Request) -> Result<Exchange> {
    let (base, connections) = (&target.url, Connections::NewPerRequest);
    let client = Client::of(target, base, "discover", connections, Arc::default())?;
    Ok(client.send(request.timeout(TIMEOUT)).await)
}

/// The models of a list. An entry with a parent is a LoRA adapter (vLLM, llm-d-inference-sim).
fn of_list(listed: &Value) -> Vec<Model> {
    let entries = listed["data"].as_array().into_iter().flatten();
    let entries: Vec<(&str, Option<&str>)> = entries
        .filter_map(|entry| Some((entry["id"].as_str()?, entry["parent"].as_str())))
        .filter(|(id, _)| !id.is_empty() && !id.contains(char::is_control))
        .take(MODELS_MAX)
        .collect();
    let is_listed = |name: &str| entries.iter().any(|(id, _)| *id == name);
    let mut models: Vec<Model> = Vec::new();
    for (id, parent) in &entries {
        let is_adapter = parent.is_some_and(|parent| parent != *id && is_listed(parent));
        if !is_adapter && models.iter().all(|model| model.name != *id) {
            models.push(of_name(id));
        }
    }
    for (id, parent) in &entries {
        let is_new = models
            .iter()
            .all(|model| model.name != *id && model.adapters.iter().all(|own| own != id));
        let of = parent.and_then(|parent| models.iter_mut().find(|model| model.name == parent));
        if let (Some(model), true) = (of, is_new) {
            model.adapters.push((*id).to_owned());
        }
    }
    models
}

/// A model of which only the name is known: one pool gets all of its requests.
pub fn of_name(name: &str) -> Model {
    Model {
        name: name.to_owned(),
        adapters: Vec::new(),
        request_timeout_ms: None,
        rewrites: Default::default(),
        pools: vec![Pool {
            name: name.to_owned(),
            weight: 1,
            ..Pool::default()
        }],
    }
}

fn named_in(headers: &HeaderMap) -> Option<String> {
    let named = SERVED_BY_HEADERS
        .iter()
        .find(|name| headers.contains_key(**name));
    named.map(|name| (*name).to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn adapters_are_listed_with_their_model_and_names_once() {
        let listed = json!({"data": [
            {"id": "lora", "parent": "m"}, {"id": "m"}, {"id": "m"}, {"id": "other", "parent": "unlisted"}, {"id": ""}, 7,
        ]});
        let models = of_list(&listed);
        let names: Vec<&str> = models.iter().map(|model| model.name.as_str()).collect();
        assert_eq!(names, ["m", "other"]);
        assert_eq!(models[0].adapters, ["lora"]);
        // Adapters of one another are no models, and no endless chain either.
        let ring = json!({"data": [{"id": "a", "parent": "b"}, {"id": "b", "parent": "a"}]});
        assert!(of_list(&ring).is_empty());
        assert!(of_list(&json!("text")).is_empty());
    }

    #[test]
    fn the_path_of_the_api_is_no_part_of_the_address() {
        for (url, base) in [
            ("http://h:1", "http://h:1/"),
            ("http://h:1/v1/", "http://h:1/"),
            ("http://h/a/v1/chat/completions?x=1", "http://h/a?x=1"),
            ("http://h/a/", "http://h/a"),
        ] {
            assert_eq!(base_of(&Url::parse(url).unwrap()).as_str(), base);
        }
    }

    #[test]
    fn a_known_header_names_the_endpoint() {
        let mut headers = HeaderMap::new();
        assert_eq!(named_in(&headers), None);
        headers.insert("x-inference-pod", "a".parse().unwrap());
        assert_eq!(named_in(&headers).as_deref(), Some(SERVED_BY_HEADER));
    }

    #[tokio::test]
    async fn a_port_without_a_server_is_unreachable() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", free.local_addr().unwrap());
        drop(free);
        let target = Target::at(url.clone(), url.parse().unwrap());
        let listed = models(&target).await.unwrap();
        assert!(matches!(listed, Listed::Unreachable(_)), "{listed:?}");
    }
}
