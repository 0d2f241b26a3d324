//! The keys of `vllm bench serve` (vLLM, benchmarks/serve.py, BenchmarkMetrics).

use serde_json::{Map, Value, json};

use super::summary::Summary;
use super::{Converted, LEFT_OUT};
use poolproof_model::workload::Series;
use poolproof_records::load::Record;

/// Renders a load run with the keys of `vllm bench serve`; times in milliseconds.
pub fn convert(record: &Record) -> Converted {
    let total = &record.total;
    let failed = total.failures();
    let mut keys = Map::new();
    for (key, value) in [
        ("duration", json!(record.window_s)),
        ("completed", json!(total.answered)),
        ("failed", json!(failed)),
        ("total_input_tokens", json!(total.input_tokens)),
        ("total_output_tokens", json!(total.output_tokens)),
        ("request_throughput", json!(total.answered_per_s)),
        (
            "request_goodput",
            json!(total.goodput * total.requests as f64 / record.window_s),
        ),
        ("output_throughput", json!(total.output_tokens_per_s)),
        (
            "total_token_throughput",
            json!((total.input_tokens + total.output_tokens) as f64 / record.window_s),
        ),
    ] {
        keys.insert(key.to_owned(), value);
    }
    for (name, series) in [
        ("ttft", Series::Ttft),
        ("tpot", Series::Tpot),
        ("itl", Series::ItlChunk),
        ("e2el", Series::E2e),
    ] {
        let Some(times) = Summary::of(record, series) else {
            continue;
        };
        let mut put = |of: &str, ms: f64| keys.insert(format!("{of}_{name}_ms"), json!(ms));
        put("mean", times.mean());
        put("std", times.deviation());
        put("median", times.percentile(50.0));
        for percentile in [90.0, 95.0, 99.0] {
            put(&format!("p{percentile}"), times.percentile(percentile));
        }
    }
    Converted {
        value: Value::Object(keys),
        left_out: LEFT_OUT.into(),
    }
}
