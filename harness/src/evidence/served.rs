//! Who served a request: by the header of its answer, checked against the counters at the other end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use reqwest::header::HeaderMap;

use super::{endpoint, epp};
use crate::client::{Api, Client, Connections, Exchange, Request};
use crate::target::{Endpoint, Pool, SERVED_BY_HEADER, Target};

/// The response header by which the endpoint picker of GIE v1.5.0 says that it saw the answer.
pub const SEEN_BY_EPP_HEADER: &str = "x-went-into-resp-headers";

/// How answers name the endpoint that served them.
#[derive(Clone, Debug)]
pub struct Names {
    header: String,
    /// The names of endpoints by the addresses in their urls.
    by_address: BTreeMap<String, String>,
}

impl Names {
    /// How those of a target do.
    pub fn of(target: &Target) -> Self {
        let address = |endpoint: &Endpoint| {
            let url = endpoint.url.as_ref()?;
            let address = format!("{}:{}", url.host_str()?, url.port_or_known_default()?);
            Some((address, endpoint.name.clone()))
        };
        Self {
            header: target.served_by_header.clone().unwrap_or_default(),
            by_address: target.endpoints().filter_map(address).collect(),
        }
    }

    /// The header in which they do; empty if they do not.
    pub fn header(&self) -> &str {
        &self.header
    }

    /// The endpoint that the value of that header names, as the target has it.
    pub fn endpoint_of<'a>(&'a self, value: &'a [u8]) -> &'a [u8] {
        let address = std::str::from_utf8(value).ok();
        let name = address.and_then(|it| self.by_address.get(it));
        name.map_or(value, String::as_bytes)
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
        }
    }
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

/// Counters at the far end, at one time.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    /// Picks by endpoint, for pools whose endpoint picker says so.
    picks: BTreeMap<String, u64>,
    /// Requests that endpoint pickers refused.
    refused: u64,
    /// Served requests by endpoint, for endpoints that can be reached.
    served: BTreeMap<String, u64>,
}

impl Counters {
    /// Reads the counters of these pools.
    pub async fn read<'a>(
        http: &reqwest::Client,
        pools: impl Iterator<Item = &'a Pool>,
    ) -> Result<Self> {
        let mut counters = Self::default();
        for pool in pools {
            if let Some(reading) = epp::read(http, pool).await? {
                counters.refused += reading.refused_total;
                for endpoint in &pool.endpoints {
                    counters.picks.entry(endpoint.name.clone()).or_default();
                }
                counters.picks.extend(reading.picks);
            }
            for endpoint in pool.endpoints.iter().filter(|e| e.url.is_some()) {
                let reading = endpoint::read(http, endpoint).await?;
                counters
                    .served
                    .insert(endpoint.name.clone(), reading.served_total as u64);
            }
        }
        Ok(counters)
    }

    /// What was counted since `earlier`.
    pub fn since(&self, earlier: &Self) -> Self {
        let difference = |now: &BTreeMap<String, u64>, then: &BTreeMap<String, u64>| {
            now.iter()
                .map(|(name, count)| {
                    let before = then.get(name).copied().unwrap_or(0);
                    (name.clone(), count.saturating_sub(before))
                })
                .collect()
        };
        Self {
            picks: difference(&self.picks, &earlier.picks),
            refused: self.refused.saturating_sub(earlier.refused),
            served: difference(&self.served, &earlier.served),
        }
    }

    /// What endpoint pickers saw: picks and refusals.
    pub fn seen_by_epps(&self) -> u64 {
        self.picks.values().sum::<u64>() + self.refused
    }

    /// Whether an endpoint picker's counters are among them.
    pub fn has_picks(&self) -> bool {
        !self.picks.is_empty()
    }

    /// The sources that contradict these counts by endpoint, which come from the answers; empty if all agree.
    /// `others` are requests that went straight to endpoints: pickers do not count them, endpoints do.
    pub fn contradictions(&self, by_answers: &BTreeMap<String, u64>, others: bool) -> Vec<String> {
        let mut found = Vec::new();
        for (source, counts) in [("picks", &self.picks), ("requests served", &self.served)] {
            if others && source != "picks" {
                continue;
            }
            for (endpoint, counted) in counts {
                let answered = by_answers.get(endpoint).copied().unwrap_or(0);
                if answered != *counted {
                    found.push(format!(
                        "{endpoint} named itself in {answered} answers, but {counted} {source} were counted"
                    ));
                }
            }
        }
        found
    }
}

impl Counters {
    fn sources(&self, others: bool) -> String {
        let mut text = "who served it: a header of the answers".to_owned();
        if self.has_picks() {
            text.push_str(", agreeing with the endpoint pickers' counters");
        }
        if !self.served.is_empty() && !others {
            text.push_str(", agreeing with the endpoints' counters");
        }
        text
    }
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

/// A cross-check of what answers say against what was counted at the far end, over one sample.
#[derive(Debug)]
pub struct CrossCheck<'a> {
    pools: Vec<&'a Pool>,
    before: Counters,
}

impl<'a> CrossCheck<'a> {
    /// Notes the counters before the sample.
    pub async fn start(
        http: &reqwest::Client,
        pools: impl Iterator<Item = &'a Pool>,
    ) -> Result<Self> {
        let pools: Vec<&Pool> = pools.collect();
        let before = Counters::read(http, pools.iter().copied()).await?;
        Ok(Self { pools, before })
    }

    /// Waits until the counters agree with the answers: by which sources, or what disagrees in the end.
    pub async fn finish(
        self,
        http: &reqwest::Client,
        by_answers: &BTreeMap<String, u64>,
        others: bool,
        timeout: Duration,
    ) -> Result<Result<String, String>> {
        const READ_AGAIN: Duration = Duration::from_millis(10);
        let deadline = Instant::now() + timeout;
        loop {
            let now = Counters::read(http, self.pools.iter().copied()).await?;
            let counted = now.since(&self.before);
            let found = counted.contradictions(by_answers, others);
            if found.is_empty() {
                return Ok(Ok(counted.sources(others)));
            }
            if Instant::now() > deadline {
                return Ok(Err(format!("evidence disagrees: {}", found.join("; "))));
            }
            tokio::time::sleep(READ_AGAIN).await;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use poolproof_fixtures::stub::Stub;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::topology::Topology;

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
