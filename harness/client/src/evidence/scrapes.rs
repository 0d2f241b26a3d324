//! Whether the endpoints were scraped often enough for a picker.
//!
//! On an overloaded machine, scrapes are delayed, and a correct picker decides on stale metrics. Such a measurement
//! cannot be trusted. A picker that does not scrape at all is different: that is its own fault.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::control;
use poolproof_model::target::Endpoint;

/// The longest gap between two scrapes after which a picker's metrics are still usable: four of GIE's default
/// intervals.
const GAP_MAX: Duration = Duration::from_millis(200);

/// The current time in the unit of the logs of model servers: microseconds since the Unix epoch.
pub fn now_us() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_micros() as u64)
}

/// Why a picker's metrics since `since_us` cannot be trusted, if they cannot. Endpoints without a control url, and
/// endpoints that were not scraped at all, give no reason.
pub async fn starved(
    http: &reqwest::Client,
    endpoints: &[Endpoint],
    since_us: u64,
) -> Option<String> {
    let until_us = now_us();
    let mut worst: Option<(Duration, &str)> = None;
    for endpoint in endpoints
        .iter()
        .filter(|endpoint| endpoint.control.is_some())
    {
        let Ok(scrapes) = control::scrapes_us(http, endpoint, since_us).await else {
            continue;
        };
        let gap = longest_gap(&scrapes, since_us, until_us);
        if gap.is_some_and(|gap| gap > GAP_MAX && worst.is_none_or(|(other, _)| gap > other)) {
            worst = gap.map(|gap| (gap, endpoint.name.as_str()));
        }
    }
    worst.map(|(gap, name)| {
        format!(
            "endpoint {name} was not scraped for {} ms (limit: {} ms): this machine is too busy",
            gap.as_millis(),
            GAP_MAX.as_millis()
        )
    })
}

/// The longest time without a scrape; `None` if there were too few scrapes to determine an interval.
fn longest_gap(scrapes_us: &[u64], since_us: u64, until_us: u64) -> Option<Duration> {
    if scrapes_us.len() < 4 {
        return None;
    }
    let edges = std::iter::once(&since_us)
        .chain(scrapes_us)
        .chain(std::iter::once(&until_us));
    let edges: Vec<u64> = edges.copied().collect();
    edges
        .windows(2)
        .map(|pair| Duration::from_micros(pair[1].saturating_sub(pair[0])))
        .max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_gap_counts_the_edges() {
        let scrapes = [100_000, 150_000, 200_000, 250_000];
        assert_eq!(
            longest_gap(&scrapes, 80_000, 290_000),
            Some(Duration::from_millis(50))
        );
        assert_eq!(
            longest_gap(&scrapes, 80_000, 900_000),
            Some(Duration::from_millis(650))
        );
        assert_eq!(longest_gap(&scrapes[..2], 0, 900_000), None);
    }
}
