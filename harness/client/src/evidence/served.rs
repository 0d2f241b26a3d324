//! The endpoint that served a request, from a header of its response.

use std::collections::BTreeMap;

use anyhow::Result;
use reqwest::header::HeaderMap;
use url::Url;

use crate::{Exchange, ready};
use poolproof_model::target::{Endpoint, Pool, SERVED_BY_HEADER, Target};

/// The response header that the endpoint picker of GIE v1.5.0 adds to responses it has seen.
pub const SEEN_BY_EPP_HEADER: &str = "x-went-into-resp-headers";

/// The longest name of an endpoint that is kept, in bytes: that of a host has 253 at most (RFC 1035, section 2.3.4), with scheme and port.
const NAME_LIMIT_BYTES: usize = 280;

/// How responses identify the endpoint that served them.
#[derive(Clone, Debug)]
pub struct Names {
    header: String,
    /// Endpoint names by the `HOST:PORT` of their urls.
    by_address: BTreeMap<String, String>,
    /// Endpoint names by the host of their urls, for hosts with one endpoint.
    by_host: BTreeMap<String, String>,
}

impl Names {
    /// The lookup for a target.
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

    /// The name of the header; empty if responses identify no endpoint.
    pub fn header(&self) -> &str {
        &self.header
    }

    /// The endpoint name for a value of that header. The value may be a name, a `HOST:PORT`, a URL, or a host that only
    /// one endpoint has.
    pub fn endpoint_of<'a>(&'a self, value: &'a [u8]) -> &'a [u8] {
        let value = value.trim_ascii();
        let value = &value[..value.len().min(NAME_LIMIT_BYTES)];
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

    /// The endpoint at an address in another form than `HOST:PORT`.
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

    /// The endpoint that the headers of a response identify.
    pub fn endpoint(&self, headers: &HeaderMap) -> Option<String> {
        let value = headers.get(&self.header)?.as_bytes();
        String::from_utf8(self.endpoint_of(value).to_owned()).ok()
    }
}

impl Default for Names {
    /// Uses the header that model servers add.
    fn default() -> Self {
        Self {
            header: SERVED_BY_HEADER.to_owned(),
            by_address: BTreeMap::new(),
            by_host: BTreeMap::new(),
        }
    }
}

/// The `HOST:PORT` of a URL.
fn address(url: &Url) -> Option<String> {
    Some(format!(
        "{}:{}",
        url.host_str()?,
        url.port_or_known_default()?
    ))
}

/// Whether responses of a gateway identify their endpoints, by the answer to the first request of a run. Returns `false` only after the
/// head of a successful response without an endpoint.
pub async fn are_named(target: &Target) -> Result<bool> {
    let first = ready::first(target).await?;
    Ok(first.is_none_or(|answer| answer.status != Some(200) || answer.served_by.is_some()))
}

/// Whether an endpoint answered: the response identifies one, or gateways never produce such a response themselves.
pub fn is_by_an_endpoint(exchange: &Exchange) -> bool {
    exchange.is_success() || exchange.served_by.is_some()
}

/// The endpoint that a response identifies.
pub fn endpoint_of(exchange: &Exchange) -> Option<&str> {
    exchange.served_by.as_deref()
}

/// The pool of the endpoint that a response identifies.
pub fn pool_of<'a>(target: &'a Target, exchange: &Exchange) -> Option<&'a Pool> {
    target.pool_of(endpoint_of(exchange)?)
}

/// The number of responses by the endpoint that they identify.
pub fn by_endpoint<'a>(exchanges: impl Iterator<Item = &'a Exchange>) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for endpoint in exchanges.filter_map(endpoint_of) {
        *counts.entry(endpoint.to_owned()).or_default() += 1;
    }
    counts
}

/// Counts by endpoint or pool, in words.
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
    async fn one_answer_shows_whether_answers_name_their_endpoint() {
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
        // No response at all: the cases report that.
        assert!(are_named(&target).await.unwrap());
    }
}
