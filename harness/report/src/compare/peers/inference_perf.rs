//! The summary of inference-perf (`summary_lifecycle_metrics.json`, inference-perf 0.7, reportgen). Times are in seconds.

use serde_json::Value;

use super::quantiles::Quantiles;
use super::{Peer, count, number};
use poolproof_model::workload::Series;

const KEYS: [(&str, f64); 12] = [
    ("p0.1", 0.1),
    ("p1", 1.0),
    ("p5", 5.0),
    ("p10", 10.0),
    ("p25", 25.0),
    ("median", 50.0),
    ("p75", 75.0),
    ("p90", 90.0),
    ("p95", 95.0),
    ("p99", 99.0),
    ("p99.9", 99.9),
    ("max", 100.0),
];

pub(super) fn read(value: &Value) -> Option<Peer> {
    value.get("load_summary")?;
    let successes = value.get("successes")?;
    let answered = count(successes, &["count"])?;
    let times = [
        (Series::TtftFromSend, "time_to_first_token"),
        (Series::E2eFromSend, "request_latency"),
        (Series::Tpot, "time_per_output_token"),
        (Series::ItlChunk, "inter_token_latency"),
    ];
    let times = times.into_iter().filter_map(|(series, key)| {
        let metric = successes.get("latency")?.get(key)?;
        Some((series, Quantiles::read(metric, answered, &KEYS, 1e3)?))
    });
    let rate = |key: &str| number(successes, &["throughput", key]);
    Some(Peer {
        tool: "inference-perf".to_owned(),
        answered,
        failed: count(value, &["failures", "count"]).unwrap_or(0),
        times: times.collect(),
        rates: [rate("requests_per_sec"), rate("output_tokens_per_sec")],
    })
}
