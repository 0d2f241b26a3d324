//! Who served a request: by the header of its answer, checked against the counters at the other end.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::{endpoint, epp};
use crate::client::Exchange;
use crate::target::{Pool, Target};

/// The response header by which a model server names itself (llm-d-inference-sim, poolproof's model server).
pub const SERVED_BY_HEADER: &str = "x-inference-pod";

/// The response header by which the endpoint picker of GIE v1.5.0 says that it saw the answer.
pub const SEEN_BY_EPP_HEADER: &str = "x-went-into-resp-headers";

/// The endpoint that an answer names.
pub fn endpoint_of(exchange: &Exchange) -> Option<&str> {
    exchange.header(SERVED_BY_HEADER)
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
        let mut text = format!("who served it: {SERVED_BY_HEADER} of the answers");
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
