//! llm-d's Benchmark Report v0.2.1 (llm-d-benchmark, llmdbenchmark/analysis/benchmark_report).

use serde_json::{Value, json};

use super::summary::Summary;
use super::{Converted, LEFT_OUT};
use poolproof_model::workload::Count;
use poolproof_model::workload::Series;
use poolproof_records::load::Record;

/// The keys of percentiles.
pub(crate) const PERCENTILES: [(&str, f64); 11] = [
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
];

/// Renders a load run as a Benchmark Report.
pub fn convert(record: &Record) -> Converted {
    let total = &record.total;
    let failed = total.failures();
    // The time of an edited record may be beyond any calendar.
    let window = jiff::SignedDuration::try_from_secs_f64(record.window_s).ok();
    let end = window.and_then(|window| record.started.checked_add(window).ok());
    let end = end.unwrap_or(record.started);
    let times = |series, units: &str| {
        Summary::of(record, series).map(|summary| statistics(&summary, units))
    };
    let rate = |per_s: f64, units: &str| json!({"units": units, "mean": per_s});
    let per_s = |tokens: u64| tokens as f64 / record.window_s;
    let stack = record.components.iter().enumerate().map(|(number, it)| {
        json!({
            "metadata": {"schema_version": "0.0.1", "label": it.role, "cfg_id": format!("{}-{number}", it.role)},
            "standardized": {"kind": "generic", "tool": it.role, "tool_version": it.version},
            "native": {"args": null, "envars": null, "config": null},
        })
    });
    let class = record.workload.mix.first();
    let value = json!({
        "version": "0.2.1",
        "run": {
            "uid": format!("poolproof-{}-{}", record.started, record.seed),
            "time": {"start": record.started.to_string(), "end": end.to_string(), "duration": format!("PT{:.3}S", record.window_s)},
            "description": record.workload.shows,
            "keywords": [record.name, record.stack],
        },
        "scenario": {
            "stack": stack.collect::<Vec<_>>(),
            "load": {
                "metadata": {"schema_version": "0.0.1", "description": record.name},
                "standardized": {
                    "tool": "poolproof",
                    "tool_version": record.tool_version,
                    "source": "random",
                    "input_seq_len": class.map_or(length(Count::Fixed(0)), |it| length(it.input_tokens)),
                    "output_seq_len": class.map(|it| length(it.output_tokens)),
                },
                "native": {"args": {"seed": record.seed}, "envars": null, "config": record.workload},
            },
        },
        "results": {"request_performance": {"aggregate": {
            "requests": {"total": total.requests, "failures": failed, "incomplete": record.client.unfinished},
            "latency": {
                "time_to_first_token": times(Series::Ttft, "ms"),
                "time_per_output_token": times(Series::Tpot, "ms/token"),
                "inter_token_latency": times(Series::ItlChunk, "ms/token"),
                "request_latency": times(Series::E2e, "ms"),
            },
            "throughput": {
                "input_token_rate": rate(per_s(total.input_tokens), "tokens/s"),
                "output_token_rate": rate(per_s(total.output_tokens), "tokens/s"),
                "total_token_rate": rate(per_s(total.input_tokens + total.output_tokens), "tokens/s"),
                "request_rate": rate(total.answered_per_s, "queries/s"),
            },
        }}},
    });
    let mut left_out: Vec<&str> = LEFT_OUT.into();
    left_out.push("token counts of all classes except the first");
    Converted { value, left_out }
}

fn statistics(times: &Summary, units: &str) -> Value {
    let mut value = json!({
        "units": units,
        "mean": times.mean(),
        "stddev": times.deviation(),
        "min": times.min(),
        "max": times.max(),
    });
    for (key, percentile) in PERCENTILES {
        value[key] = times.percentile(percentile).into();
    }
    value
}

fn length(tokens: Count) -> Value {
    match tokens {
        Count::Fixed(tokens) => json!({"distribution": "fixed", "value": tokens}),
        Count::Uniform { from, to } => json!({
            "distribution": "uniform", "value": f64::midpoint(from.into(), to.into()), "min": from, "max": to,
        }),
        Count::Normal { mean, .. } => json!({"distribution": "other", "value": mean}),
        Count::LogNormal { median, .. } => json!({"distribution": "other", "value": median}),
    }
}
