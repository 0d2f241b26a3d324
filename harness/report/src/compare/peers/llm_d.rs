//! llm-d's Benchmark Report v0.2, as YAML or JSON (llm-d-benchmark, llmdbenchmark/analysis/benchmark_report).

use serde_json::Value;

use super::quantiles::Quantiles;
use super::{Peer, count, number};
use crate::foreign::llm_d::PERCENTILES;
use poolproof_model::workload::Series;

pub(super) fn read(value: &Value) -> Option<Peer> {
    let aggregate = value
        .get("results")?
        .get("request_performance")?
        .get("aggregate")?;
    let failed = count(aggregate, &["requests", "failures"]).unwrap_or(0);
    let total = count(aggregate, &["requests", "total"])?;
    let answered = total.saturating_sub(failed);
    let keys = [&PERCENTILES[..], &[("max", 100.0)]].concat();
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
        Some((series, Quantiles::read(metric, answered, &keys, unit_ms)?))
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
