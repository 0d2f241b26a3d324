//! Counters of pickers and endpoints, at one time or over an interval.

use std::collections::BTreeMap;

use anyhow::Result;

use crate::evidence::{endpoint, epp};
use poolproof_model::target::Pool;

/// Counters of pickers and endpoints, at one time or over an interval.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counters {
    /// Picks by endpoint, by the pool of the picker, for pools whose picker exports them.
    pub(super) picks: BTreeMap<String, BTreeMap<String, u64>>,
    /// Requests that pickers refused or found no endpoint for, by pool.
    pub(super) refused: BTreeMap<String, u64>,
    /// Served requests by endpoint, for endpoints that export them.
    pub(super) served: BTreeMap<String, u64>,
    /// Prompt tokens by endpoint, for endpoints that export them.
    pub(super) prompt_tokens: BTreeMap<String, u64>,
}

impl Counters {
    /// Reads the counters of these pools.
    pub async fn read<'a>(
        http: &reqwest::Client,
        pools: impl Iterator<Item = &'a Pool>,
    ) -> Result<Self> {
        let mut counters = Self::default();
        for pool in pools {
            if let Some(reading) = epp::read(http, pool)
                .await?
                .filter(|reading| reading.is_picker)
            {
                let refused = reading.refused_total + reading.failed_total;
                counters.refused.insert(pool.name.clone(), refused);
                let names = pool
                    .endpoints
                    .iter()
                    .map(|endpoint| (endpoint.name.clone(), 0));
                let mut picks: BTreeMap<String, u64> = names.collect();
                picks.extend(reading.picks);
                counters.picks.insert(pool.name.clone(), picks);
            }
            for endpoint in pool
                .endpoints
                .iter()
                .filter(|endpoint| endpoint.url.is_some())
            {
                let reading = endpoint::read(http, endpoint).await?;
                if reading.counts_served {
                    let served = reading.served_total as u64;
                    counters.served.insert(endpoint.name.clone(), served);
                }
                if let Some(tokens) = reading.prompt_tokens_total {
                    let name = endpoint.name.clone();
                    counters.prompt_tokens.insert(name, tokens as u64);
                }
            }
        }
        Ok(counters)
    }

    /// The change since `earlier`. Fails with the name of a counter that decreased, as after the restart of a process.
    pub fn since(&self, earlier: &Self) -> Result<Self, String> {
        let mut picks = BTreeMap::new();
        for (pool, now) in &self.picks {
            let none = BTreeMap::new();
            let then = earlier.picks.get(pool).unwrap_or(&none);
            let of = format!("picks of the endpoint picker of pool {pool}");
            picks.insert(pool.clone(), difference(&of, now, then)?);
        }
        Ok(Self {
            picks,
            refused: difference(
                "refusals of endpoint pickers",
                &self.refused,
                &earlier.refused,
            )?,
            served: difference("requests served", &self.served, &earlier.served)?,
            prompt_tokens: difference(
                "prompt tokens",
                &self.prompt_tokens,
                &earlier.prompt_tokens,
            )?,
        })
    }

    /// Requests seen by the picker of each pool: picks and refusals.
    pub fn seen_by_pickers(&self) -> BTreeMap<&str, u64> {
        let seen = self.picks.iter().map(|(pool, picks)| {
            let refused = self.refused.get(pool).copied().unwrap_or(0);
            (pool.as_str(), picks.values().sum::<u64>() + refused)
        });
        seen.collect()
    }

    /// Requests served by an endpoint, if it exports them.
    pub fn served_by(&self, endpoint: &str) -> Option<u64> {
        self.served.get(endpoint).copied()
    }

    /// Prompt tokens read by an endpoint, if it exports them.
    pub fn prompt_tokens_of(&self, endpoint: &str) -> Option<u64> {
        self.prompt_tokens.get(endpoint).copied()
    }
}

fn difference(
    of: &str,
    now: &BTreeMap<String, u64>,
    then: &BTreeMap<String, u64>,
) -> Result<BTreeMap<String, u64>, String> {
    for (name, before) in then {
        if now.get(name).is_none_or(|count| count < before) {
            return Err(format!(
                "{of}: the counter of {name} decreased from {before}"
            ));
        }
    }
    let since = |(name, count): (&String, &u64)| {
        let before = then.get(name).copied().unwrap_or(0);
        (name.clone(), count - before)
    };
    Ok(now.iter().map(since).collect())
}
