//! The summary of inference-perf (`summary_lifecycle_metrics.json`, inference-perf 0.7, reportgen). Times are in seconds.

use serde_json::{Value, json};

use super::summary::Summary;
use super::{Converted, LEFT_OUT};
use poolproof_model::workload::Series;
use poolproof_records::load::Record;

/// Renders a load run as a summary of inference-perf.
pub fn convert(record: &Record) -> Converted {
    let total = &record.total;
    let failed = total.failures();
    let times = |series| Summary::of(record, series).map(|summary| statistics(&summary));
    let per_s = |tokens: u64| tokens as f64 / record.window_s;
    let by_label = total
        .failed
        .iter()
        .map(|(kind, count)| (kind.clone(), json!({"count": count, "messages": []})));
    let value = json!({
        "benchmark_time_seconds": record.window_s,
        "load_summary": {"count": total.requests},
        "successes": {
            "count": total.answered,
            "latency": {
                "request_latency": times(Series::E2e),
                "normalized_time_per_output_token": null,
                "time_per_output_token": times(Series::Tpot),
                "time_to_first_token": times(Series::Ttft),
                "inter_token_latency": times(Series::ItlChunk),
            },
            "throughput": {
                "input_tokens_per_sec": per_s(total.input_tokens),
                "output_tokens_per_sec": per_s(total.output_tokens),
                "total_tokens_per_sec": per_s(total.input_tokens + total.output_tokens),
                "requests_per_sec": total.answered_per_s,
            },
            "prompt_tokens": {"total": total.input_tokens},
            "output_tokens": {"total": total.output_tokens},
            "goodput_metrics": {
                "goodput_percentage": total.goodput * 100.0,
                "good_requests": (total.goodput * total.requests as f64).round(),
                "total_requests": total.requests,
            },
        },
        "failures": {"count": failed, "by_label": by_label.collect::<serde_json::Map<_, _>>()},
    });
    Converted {
        value,
        left_out: LEFT_OUT.into(),
    }
}

fn statistics(times: &Summary) -> Value {
    let mut value = json!({
        "mean": times.mean() / 1000.0,
        "min": times.min() / 1000.0,
        "max": times.max() / 1000.0,
        "median": times.percentile(50.0) / 1000.0,
    });
    for percentile in [0.1, 1.0, 5.0, 10.0, 25.0, 75.0, 90.0, 95.0, 99.0, 99.9] {
        value[format!("p{percentile}")] = (times.percentile(percentile) / 1000.0).into();
    }
    value
}
