//! `vllm bench serve --save-result` (vLLM, benchmarks/serve.py, BenchmarkMetrics); with `--save-detailed`, single times as well.

use serde_json::Value;

use super::quantiles::Quantiles;
use super::{Peer, count, number};
use poolproof_model::workload::Series;

pub(super) fn read(value: &Value) -> Option<Peer> {
    value.get("request_throughput")?;
    let answered = count(value, &["completed"])?;
    let times = [
        (Series::TtftFromSend, "ttft", Some("ttfts")),
        (Series::E2eFromSend, "e2el", None),
        (Series::Tpot, "tpot", None),
        (Series::ItlChunk, "itl", Some("itls")),
    ];
    let times = times.into_iter().filter_map(|(series, key, single)| {
        let single = single
            .and_then(|single| value.get(single))
            .and_then(times_s);
        let single = single.and_then(|times_s| {
            Quantiles::of_all(times_s.into_iter().map(|time| time * 1e3).collect())
        });
        Some((
            series,
            single.or_else(|| percentiles(value, key, answered))?,
        ))
    });
    Some(Peer {
        tool: "vllm bench serve".to_owned(),
        answered,
        failed: count(value, &["failed"]).unwrap_or(0),
        times: times.collect(),
        rates: [
            number(value, &["request_throughput"]),
            number(value, &["output_throughput"]),
        ],
    })
}

/// The percentiles of a metric: `median_ttft_ms`, and what `--metric-percentiles` asked for, such as `p99_ttft_ms`.
fn percentiles(value: &Value, metric: &str, n: u64) -> Option<Quantiles> {
    let end = format!("_{metric}_ms");
    let keys = value.as_object()?.keys().filter_map(|key| {
        let start = key.strip_suffix(&end)?;
        let percentile = match start {
            "median" => 50.0,
            _ => start.strip_prefix('p')?.parse().ok()?,
        };
        Some((key.as_str(), percentile))
    });
    Quantiles::read(value, n, &keys.collect::<Vec<_>>(), 1.0)
}

/// A list of times, or of lists of times.
fn times_s(value: &Value) -> Option<Vec<f64>> {
    let mut times = Vec::new();
    for time in value.as_array()? {
        match time {
            Value::Array(times_of_one) => {
                times.extend(times_of_one.iter().filter_map(Value::as_f64))
            }
            time => times.extend(time.as_f64()),
        }
    }
    // A request without an answer has a time of 0.
    times.retain(|time| *time > 0.0);
    Some(times)
}
