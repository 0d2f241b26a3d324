//! llm-d's Benchmark Report v0.2, as YAML or JSON (llm-d-benchmark, llmdbenchmark/analysis/benchmark_report).

use serde_json::Value;

use super::quantiles::Quantiles;
use super::{Peer, count, number};
use poolproof_model::workload::Series;

const KEYS: [(&str, f64); 12] = [
    ("p0p1", 0.1),
    ("p1", 1.0),
    ("p5", 5.0),
    ("p10", 10.0),
    ("p25", 25.0),
    ("p50", 50.0),
    ("p75", 75.0),
    ("p90", 90.0),
    ("p95", 95.0),
    ("p99", 99.0),
    ("p99p9", 99.9),
    ("max", 100.0),
];

pub(super) fn read(value: &Value) -> Option<Peer> {
    let aggregate = value
        .get("results")?
        .get("request_performance")?
        .get("aggregate")?;
    let failed = count(aggregate, &["requests", "failures"]).unwrap_or(0);
    let total = count(aggregate, &["requests", "total"])?;
    let answered = total.saturating_sub(failed);
    let times = [
        (Series::TtftFromSend, "time_to_first_token"),
        (Series::E2eFromSend, "request_latency"),
        (Series::Tpot, "time_per_output_token"),
        (Series::ItlChunk, "inter_token_latency"),
    ];
    let times = times.into_iter().filter_map(|(series, key)| {
        let metric = aggregate.get("latency")?.get(key)?;
        let unit_ms = match metric.get("units")?.as_str()? {
            "ms" | "ms/token" => 1.0,
            "s" | "s/token" => 1e3,
            _ => return None,
        };
        Some((series, Quantiles::read(metric, answered, &KEYS, unit_ms)?))
    });
    let rate = |key: &str| number(aggregate, &["throughput", key, "mean"]);
    let load = ["scenario", "load", "standardized", "tool"];
    let tool = load.iter().try_fold(value, |at, key| at.get(key));
    let tool = tool.and_then(Value::as_str).unwrap_or("another tool");
    Some(Peer {
        tool: format!("Benchmark Report of {tool}"),
        answered,
        failed,
        times: times.collect(),
        rates: [rate("request_rate"), rate("output_token_rate")],
    })
}
