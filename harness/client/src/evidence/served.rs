//! Who served a request, by the header of its answer.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Result;
use reqwest::header::HeaderMap;
use url::Url;

use crate::{Api, Client, Connections, Exchange, Request};
use poolproof_model::target::{Endpoint, Pool, SERVED_BY_HEADER, Target};

/// The response header by which the endpoint picker of GIE v1.5.0 says that it saw the answer.
pub const SEEN_BY_EPP_HEADER: &str = "x-went-into-resp-headers";

/// How answers name the endpoint that served them.
#[derive(Clone, Debug)]
pub struct Names {
    header: String,
    /// The names of endpoints by the `HOST:PORT` of their urls.
    by_address: BTreeMap<String, String>,
    /// The names of endpoints by the host of their urls, for hosts with one endpoint.
    by_host: BTreeMap<String, String>,
}

impl Names {
    /// How those of a target do.
    pub fn of(target: &Target) -> Self {
        let address = |endpoint: &Endpoint| {
            let address = address(endpoint.url.as_ref()?)?;
            Some((address, endpoint.name.clone()))
        };
        let mut by_host: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for endpoint in target.endpoints() {
            let host = endpoint.url.as_ref().and_then(|url| url.host_str());
            if let Some(host) = host {
                by_host
                    .entry(host.to_owned())
                    .or_default()
                    .push(&endpoint.name);
            }
        }
        let only = |(host, names): (String, Vec<&str>)| match names.as_slice() {
            [name] => Some((host, (*name).to_owned())),
            _ => None,
        };
        Self {
            header: target.served_by_header.clone().unwrap_or_default(),
            by_address: target.endpoints().filter_map(address).collect(),
            by_host: by_host.into_iter().filter_map(only).collect(),
        }
    }

    /// The header in which they do; empty if they do not.
    pub fn header(&self) -> &str {
        &self.header
    }

    /// The endpoint that the value of that header names, as the target has it: by its name, its `HOST:PORT`, a URL of it, or
    /// its host alone where only one endpoint has that host.
    pub fn endpoint_of<'a>(&'a self, value: &'a [u8]) -> &'a [u8] {
        let value = value.trim_ascii();
        if self.by_address.is_empty() {
            return value;
        }
        let text = std::str::from_utf8(value).ok();
        let name = text.and_then(|text| {
            let exact = self.by_address.get(text);
            exact.or_else(|| self.endpoint_at(text))
        });
        name.map_or(value, String::as_bytes)
    }

    /// The endpoint at an address that is spelled in another way than `HOST:PORT`.
    fn endpoint_at(&self, text: &str) -> Option<&String> {
        if self.by_address.values().any(|name| name == text) {
            return None;
        }
        if text.contains("://") {
            let url = Url::parse(text).ok()?;
            return self.by_address.get(&address(&url)?);
        }
        let url = Url::parse(&format!("http://{text}")).ok()?;
        let by_address = self.by_address.get(&address(&url)?);
        let has_port = text
            .trim_end_matches('/')
            .ends_with(|c: char| c.is_ascii_digit())
            && url.port().is_some();
        by_address.or_else(|| {
            let host = url.host_str().filter(|_| !has_port)?;
            self.by_host.get(host)
        })
    }

    /// The endpoint that the headers of an answer name.
    pub fn endpoint(&self, headers: &HeaderMap) -> Option<String> {
        let value = headers.get(&self.header)?.as_bytes();
        String::from_utf8(self.endpoint_of(value).to_owned()).ok()
    }
}

impl Default for Names {
    /// By the header that model servers add.
    fn default() -> Self {
        Self {
            header: SERVED_BY_HEADER.to_owned(),
            by_address: BTreeMap::new(),
            by_host: BTreeMap::new(),
        }
    }
}

/// The `HOST:PORT` of a url.
fn address(url: &Url) -> Option<String> {
    Some(format!(
        "{}:{}",
        url.host_str()?,
        url.port_or_known_default()?
    ))
}

/// Whether the answers of a gateway name their endpoints: `false` only if one was seen that is served and names none.
pub async fn are_named(target: &Target) -> Result<bool> {
    let Some(model) = target.models.first() else {
        return Ok(true);
    };
    let client = Client::new(
        "first",
        &target.url,
        Connections::NewPerRequest,
        Arc::default(),
    )?;
    let request = Request::new(Api::Completions, &model.name, 1, &mut rand::rng());
    let answer = client.knowing(Names::of(target)).send(request).await;
    Ok(!answer.is_success() || answer.served_by.is_some())
}

/// Whether an endpoint answered: it says so, or the answer is one that no gateway gives by itself.
pub fn is_by_an_endpoint(exchange: &Exchange) -> bool {
    exchange.is_success() || exchange.served_by.is_some()
}

/// The endpoint that an answer names.
pub fn endpoint_of(exchange: &Exchange) -> Option<&str> {
    exchange.served_by.as_deref()
}

/// The pool of the endpoint that an answer names.
pub fn pool_of<'a>(target: &'a Target, exchange: &Exchange) -> Option<&'a Pool> {
    target.pool_of(endpoint_of(exchange)?)
}

/// The answers by the endpoint that they name.
pub fn by_endpoint<'a>(exchanges: impl Iterator<Item = &'a Exchange>) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for endpoint in exchanges.filter_map(endpoint_of) {
        *counts.entry(endpoint.to_owned()).or_default() += 1;
    }
    counts
}

/// Counts by endpoint or pool, for people.
pub fn in_words(counts: &BTreeMap<String, u64>) -> String {
    let words: Vec<String> = counts
        .iter()
        .map(|(name, n)| format!("{name} {n}"))
        .collect();
    words.join(", ")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use poolproof_fixtures::stub::Stub;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use poolproof_model::topology::Topology;

    #[test]
    fn an_endpoint_is_named_by_its_name_or_by_its_address() {
        let mut target = Target::planned(&Topology::default()).unwrap();
        target.served_by_header = Some("X-Served-By".to_owned());
        target.models[0].pools[0].endpoints[1].url = Some("http://10.0.0.7:8000".parse().unwrap());
        let names = Names::of(&target);
        for (value, expected) in [
            ("10.0.0.7:8000", Some("model-a-1")),
            ("model-a-2", Some("model-a-2")),
            ("10.0.0.8:8000", Some("10.0.0.8:8000")),
            ("http://10.0.0.7:8000", Some("model-a-1")),
            ("http://10.0.0.7:8000/", Some("model-a-1")),
            ("HTTP://10.0.0.7:8000/v1/completions", Some("model-a-1")),
            (" 10.0.0.7:8000/ ", Some("model-a-1")),
            ("10.0.0.7", Some("model-a-1")),
            ("http://10.0.0.7", Some("http://10.0.0.7")),
            ("10.0.0.7:8001", Some("10.0.0.7:8001")),
        ] {
            let headers = HeaderMap::from_iter([(
                reqwest::header::HeaderName::from_static("x-served-by"),
                value.parse().unwrap(),
            )]);
            assert_eq!(names.endpoint(&headers).as_deref(), expected);
        }
        assert_eq!(names.endpoint(&HeaderMap::new()), None);
    }

    #[tokio::test]
    async fn one_answer_tells_whether_answers_name_anybody() {
        let stub = Stub::recorded(1, 0, 0).unwrap();
        let mut target = Target::planned(&Topology::default()).unwrap();
        target.url = format!("http://{}", stub.address().unwrap())
            .parse()
            .unwrap();
        let stop = CancellationToken::new();
        let serving = tokio::spawn(stub.serve(stop.clone()));
        assert!(are_named(&target).await.unwrap());
        target.served_by_header = Some("x-served-by".to_owned());
        assert!(!are_named(&target).await.unwrap());
        stop.cancel();
        serving.await.unwrap().unwrap();
        // Nobody answers: that is for the cases to say.
        assert!(are_named(&target).await.unwrap());
    }
}
