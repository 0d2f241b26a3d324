//! aiperf (`profile_export_aiperf.json`, aiperf 0.13, schema 1.4; metrics reference in its documentation).

use serde_json::Value;

use super::quantiles::Quantiles;
use super::{Peer, count, number};
use poolproof_model::workload::Series;

const KEYS: [(&str, f64); 10] = [
    ("p1", 1.0),
    ("p5", 5.0),
    ("p10", 10.0),
    ("p25", 25.0),
    ("p50", 50.0),
    ("p75", 75.0),
    ("p90", 90.0),
    ("p95", 95.0),
    ("p99", 99.0),
    ("max", 100.0),
];

pub(super) fn read(value: &Value) -> Option<Peer> {
    let version = value.get("aiperf_version")?.as_str()?;
    let answered = count(value, &["request_count", "avg"])?;
    let times = [
        (Series::TtftFromSend, "time_to_first_token"),
        (Series::E2eFromSend, "request_latency"),
        (Series::Tpot, "inter_token_latency"),
        (Series::ItlChunk, "inter_chunk_latency"),
    ];
    let times = times.into_iter().filter_map(|(series, key)| {
        let metric = value.get(key)?;
        let unit_ms = match metric.get("unit")?.as_str()? {
            "ms" => 1.0,
            "sec" | "s" => 1e3,
            _ => return None,
        };
        let n = match series.is_per_answer() {
            true => answered,
            false => count(metric, &["count"]).unwrap_or(answered),
        };
        Some((series, Quantiles::read(metric, n, &KEYS, unit_ms)?))
    });
    Some(Peer {
        tool: format!("aiperf {version}"),
        answered,
        failed: count(value, &["error_request_count", "avg"]).unwrap_or(0),
        times: times.collect(),
        rates: [
            number(value, &["request_throughput", "avg"]),
            number(value, &["output_token_throughput", "avg"]),
        ],
    })
}
