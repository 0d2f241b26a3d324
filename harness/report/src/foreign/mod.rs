//! Records in the formats of other tools, for existing dashboards. Contents that a format cannot hold are listed.

pub mod gie;
pub mod inference_perf;
pub mod llm_d;
pub(crate) mod summary;
pub mod vllm;

/// A record in another tool's format.
#[derive(Clone, Debug)]
pub struct Converted {
    /// The document.
    pub value: serde_json::Value,
    /// Contents of the record that the format cannot hold.
    pub left_out: Vec<&'static str>,
}

/// Contents that no load generator's format can hold.
const LEFT_OUT: [&str; 6] = [
    "verdicts of objectives, with their intervals",
    "failures in percentiles, which cover only answered requests",
    "classes; all requests form one sample",
    "shares of pools and endpoints, and Jain's index",
    "the client's own cost, its calibration, and doubts about the measurement",
    "intervals of percentiles",
];

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::path::Path;

    use super::*;
    use poolproof_model::verdict::Level;
    use poolproof_model::verdict::Outcome;
    use poolproof_model::workload::Series;
    use poolproof_records::load::Record;
    use poolproof_records::samples::record;

    fn load() -> Record {
        let reports = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../reports");
        Record::read(&reports.join("load-local-envoy/load.json")).unwrap()
    }

    #[test]
    fn a_record_with_impossible_times_is_converted() {
        let mut record = load();
        for seconds in [1e300, -1e300, -1.0] {
            record.window_s = seconds;
            let converted = super::llm_d::convert(&record);
            assert!(converted.value.is_object(), "{seconds}");
        }
    }

    #[test]
    fn foreign_formats_hold_the_figures_of_the_record() {
        let record = load();
        let n = record.total.requests;
        let p95 = record
            .total
            .percentile_ms(Series::Ttft, 95.0)
            .flatten()
            .unwrap();
        let about = |ms: &serde_json::Value, factor: f64| {
            let ms = ms.as_f64().unwrap() * factor;
            assert!((ms / p95 - 1.0).abs() < 0.01, "{ms} {p95}");
        };
        let vllm = vllm::convert(&record).value;
        assert_eq!(
            vllm["completed"].as_u64().unwrap() + vllm["failed"].as_u64().unwrap(),
            n
        );
        about(&vllm["p95_ttft_ms"], 1.0);
        let inference_perf = inference_perf::convert(&record).value;
        assert_eq!(inference_perf["load_summary"]["count"], n);
        let latency = &inference_perf["successes"]["latency"];
        about(&latency["time_to_first_token"]["p95"], 1000.0);
        assert!(latency["time_per_output_token"]["median"].is_number());
        let llm_d = llm_d::convert(&record).value;
        let aggregate = &llm_d["results"]["request_performance"]["aggregate"];
        assert_eq!(aggregate["requests"]["total"], n);
        let ttft = &aggregate["latency"]["time_to_first_token"];
        assert_eq!(ttft["units"], "ms");
        about(&ttft["p95"], 1.0);
        // The schema of v0.2.1 requires these keys and allows no others.
        let standardized = llm_d["scenario"]["load"]["standardized"]
            .as_object()
            .unwrap();
        let keys = [
            "tool",
            "tool_version",
            "source",
            "input_seq_len",
            "output_seq_len",
        ];
        assert!(
            keys.iter().all(|key| standardized.contains_key(*key))
                && standardized.len() == keys.len()
        );
    }

    #[test]
    fn a_companion_report_is_not_a_conformance_report() {
        let mut skipped = record(&[
            (Level::Must, Outcome::pass("")),
            (Level::Must, Outcome::skip("")),
            (Level::May, Outcome::pass("")),
        ]);
        skipped.cases[2].outcome.verdict = poolproof_model::verdict::Verdict::Fail;
        let report = gie::convert(&skipped).value;
        assert_eq!(report["kind"], "CompanionReport");
        let profile = &report["profiles"][0];
        assert_eq!(profile["core"]["result"], "partial");
        assert_eq!(profile["core"]["statistics"]["Passed"], 1);
        assert_eq!(profile["extended"]["failedTests"][0], "suite/case-2");
    }
}
