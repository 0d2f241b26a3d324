//! guidellm (`guidellm run --output kind=json`, guidellm 0.8, schemas/statistics.py). The last benchmark of a sweep is read.
//!
//! Its inter-token latency of a request is (last - first token) / (tokens - 1), as `tpot` here, but weighted by tokens.

use serde_json::Value;

use super::quantiles::Quantiles;
use super::{Peer, count, number};
use poolproof_model::workload::Series;

const KEYS: [(&str, f64); 11] = [
    ("p001", 0.1),
    ("p01", 1.0),
    ("p05", 5.0),
    ("p10", 10.0),
    ("p25", 25.0),
    ("p50", 50.0),
    ("p75", 75.0),
    ("p90", 90.0),
    ("p95", 95.0),
    ("p99", 99.0),
    ("p999", 99.9),
];

pub(super) fn read(value: &Value) -> Option<Peer> {
    let version = value.get("metadata")?.get("guidellm_version")?.as_str()?;
    let metrics = value
        .get("benchmarks")?
        .as_array()?
        .last()?
        .get("metrics")?;
    let answered = count(metrics, &["request_totals", "successful"])?;
    let failed = ["errored", "incomplete"];
    let failed = failed.map(|kind| count(metrics, &["request_totals", kind]).unwrap_or(0));
    let times = [
        (Series::TtftFromSend, "time_to_first_token_ms", 1.0),
        (Series::E2eFromSend, "request_latency", 1e3),
        (Series::Tpot, "inter_token_latency_ms", 1.0),
    ];
    let times = times.into_iter().filter_map(|(series, key, unit_ms)| {
        let percentiles = metrics.get(key)?.get("successful")?.get("percentiles")?;
        let quantiles = Quantiles::read(percentiles, answered, &KEYS, unit_ms)?;
        Some((series, quantiles))
    });
    let rate = |key: &str| number(metrics, &[key, "successful", "mean"]);
    Some(Peer {
        tool: format!("guidellm {version}"),
        answered,
        failed: failed.iter().sum(),
        times: times.collect(),
        rates: [
            rate("requests_per_second"),
            rate("output_tokens_per_second"),
        ],
    })
}
