//! Live counters of a load run.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Spread;

/// The counters of a run at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Requests that were started.
    pub started: u64,
    /// How many of them got a complete response.
    pub answered: u64,
    /// How many of them failed.
    pub failed: u64,
    /// The number of responses with a first token, and the sum of their TTFT in microseconds.
    pub ttft: (u64, u64),
    /// Tokens of complete responses.
    #[serde(default)]
    pub output_tokens: u64,
    /// Failures by kind.
    #[serde(default)]
    pub failures: BTreeMap<String, u64>,
    /// Complete responses by the endpoint that they name.
    #[serde(default)]
    pub endpoints: BTreeMap<String, u64>,
    /// The TTFT of all complete responses.
    #[serde(default)]
    pub ttfts: Spread,
}

impl std::iter::Sum for Snapshot {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |mut sum, part| {
            sum.started += part.started;
            sum.answered += part.answered;
            sum.failed += part.failed;
            sum.ttft.0 += part.ttft.0;
            sum.ttft.1 += part.ttft.1;
            sum.output_tokens += part.output_tokens;
            for (into, from) in [
                (&mut sum.failures, part.failures),
                (&mut sum.endpoints, part.endpoints),
            ] {
                for (name, count) in from {
                    *into.entry(name).or_default() += count;
                }
            }
            sum.ttfts.merge(&part.ttfts);
            sum
        })
    }
}

impl Snapshot {
    /// Requests that have started but not ended.
    pub fn in_flight(&self) -> u64 {
        self.started.saturating_sub(self.answered + self.failed)
    }

    /// The change since `earlier`, without what stayed the same.
    pub fn since(&self, earlier: &Self) -> Self {
        let less = |now: &BTreeMap<String, u64>, before: &BTreeMap<String, u64>| {
            let changes = now.iter().map(|(name, count)| {
                let before = before.get(name).copied().unwrap_or(0);
                (name.clone(), count.saturating_sub(before))
            });
            changes.filter(|(_, count)| *count > 0).collect()
        };
        // A worker that is lost takes its counts along.
        Self {
            started: self.started.saturating_sub(earlier.started),
            answered: self.answered.saturating_sub(earlier.answered),
            failed: self.failed.saturating_sub(earlier.failed),
            ttft: (
                self.ttft.0.saturating_sub(earlier.ttft.0),
                self.ttft.1.saturating_sub(earlier.ttft.1),
            ),
            output_tokens: self.output_tokens.saturating_sub(earlier.output_tokens),
            failures: less(&self.failures, &earlier.failures),
            endpoints: less(&self.endpoints, &earlier.endpoints),
            ttfts: self.ttfts.since(&earlier.ttfts),
        }
    }

    /// The mean TTFT in milliseconds.
    pub fn mean_ttft_ms(&self) -> Option<f64> {
        let (n, sum_us) = self.ttft;
        (n > 0).then(|| sum_us as f64 / n as f64 / 1000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(started: u64, endpoint: &str, ttft_us: u64) -> Snapshot {
        let mut ttfts = Spread::default();
        ttfts.record(ttft_us);
        Snapshot {
            started,
            answered: 1,
            ttft: (1, ttft_us),
            output_tokens: 10,
            failures: BTreeMap::from([("cut".to_owned(), started)]),
            endpoints: BTreeMap::from([(endpoint.to_owned(), 1)]),
            ttfts,
            failed: started,
        }
    }

    #[test]
    fn the_difference_to_a_sum_is_the_other_part_of_it() {
        let (first, second) = (snapshot(2, "a", 500), snapshot(3, "b", 90_000));
        let sum: Snapshot = [first.clone(), second.clone()].into_iter().sum();
        assert_eq!(
            (sum.started, sum.ttft, sum.ttfts.len()),
            (5, (2, 90_500), 2)
        );
        let since = sum.since(&first);
        assert_eq!(
            since.ttfts.percentile_ms(50.0, 0),
            second.ttfts.percentile_ms(50.0, 0)
        );
        assert_eq!(
            Snapshot {
                ttfts: Spread::default(),
                ..since
            },
            Snapshot {
                ttfts: Spread::default(),
                ..second
            }
        );
    }
}
