//! Figures as OpenMetrics text, of a record or of a run in progress.
//!
//! Every label comes from a fixed set or from the request (cases, classes, objectives, endpoints of the target), never from
//! server responses, except for the GPUs of a server, of which a record has a limited number. This bounds the number of labels.

mod family;
mod load;
mod over_time;
mod run;
mod sweep;

use std::fmt;

use anyhow::{Context, Result};
use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;

use family::{Families, Family, Labels};

pub use load::{render as render_load, render_live as render_live_load};
pub use run::render;
pub use sweep::render as render_sweep;

/// The content type of the text (OpenMetrics 1.0.0, section "Content Negotiation").
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

fn written(families: Vec<Family>) -> Result<String> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Families(families)));
    let mut text = String::new();
    text::encode(&mut text, &registry).context("writing openmetrics")?;
    Ok(text)
}

/// Labels that describe a run. The flaw is present only if one was enabled.
fn about(tool_version: &str, stack: &str, flaw: Option<&str>) -> Labels {
    let mut labels = vec![("version", shown(tool_version)), ("stack", shown(stack))];
    labels.extend(flaw.map(|flaw| ("flaw", shown(flaw))));
    labels
}

/// A gauge per state: 1 for the current one, 0 for the others.
fn states<T: PartialEq>(label: &'static str, all: &[(T, &str)], is: &T) -> Vec<(Labels, f64)> {
    all.iter()
        .map(|(state, name)| (vec![(label, (*name).to_owned())], one_if(state == is)))
        .collect()
}

fn one_if(is: bool) -> f64 {
    f64::from(u8::from(is))
}

/// A label value from an untrusted source. The encoder escapes its quotes.
fn shown(text: impl fmt::Display) -> String {
    super::clipped(&text.to_string()).into_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::path::Path;

    use super::*;
    use poolproof_model::verdict::Level;
    use poolproof_model::verdict::Outcome;
    use poolproof_records::load::Snapshot;
    use poolproof_records::samples::{over_time, record};

    /// Checks that every line describes a family or is a sample of the last described one, and that the text ends with `# EOF`.
    fn check_shape(text: &str) {
        let ends = text.lines().filter(|line| *line == "# EOF").count();
        assert!(text.ends_with("\n# EOF\n") && ends == 1, "{text}");
        let (mut family, mut kind) = ("", "");
        for line in text.lines().take_while(|line| *line != "# EOF") {
            if let Some(described) = line.strip_prefix("# ") {
                let mut words = described.splitn(3, ' ');
                let (what, name) = (words.next().unwrap(), words.next().unwrap());
                match what {
                    "HELP" => family = name,
                    "TYPE" => kind = words.next().unwrap(),
                    "UNIT" => assert!(name.ends_with(&format!("_{}", words.next().unwrap()))),
                    other => unreachable!("{other}"),
                }
                assert_eq!(family, name, "{line}");
                continue;
            }
            let name = &line[..line.find(['{', ' ']).unwrap()];
            let suffixes: &[&str] = match kind {
                "counter" => &["_total"],
                "gauge" => &[""],
                "info" => &["_info"],
                "histogram" => &["_bucket", "_sum", "_count"],
                other => unreachable!("{other}"),
            };
            let suffix = name.strip_prefix(family).unwrap();
            assert!(suffixes.contains(&suffix), "{line}");
        }
    }

    #[test]
    fn cases_are_counted_by_verdict_and_hostile_names_are_escaped() {
        let mut run = record(&[
            (Level::Must, Outcome::pass("fine")),
            (Level::Must, Outcome::pass("fine")),
            (Level::Should, Outcome::skip("no urls")),
        ]);
        run.cases[1].outcome.requests = 7;
        run.stack = "a\"} 1\n# EOF\\".to_owned();
        let text = render(&run).unwrap();
        check_shape(&text);
        for line in [
            "poolproof_run_info{version=\"0\",stack=\"a\\\"} 1\\n# EOF\\\\\"} 1",
            "poolproof_run_cases_total{level=\"must\",verdict=\"pass\"} 2",
            "poolproof_run_cases_total{level=\"must\",verdict=\"fail\"} 0",
            "poolproof_run_case_requests_total{case=\"suite/case-1\"} 7",
            "poolproof_run_conclusion{conclusion=\"passed\"} 1.0",
            "poolproof_run_conclusion{conclusion=\"failed\"} 0.0",
        ] {
            assert!(text.lines().any(|other| other == line), "{line}: {text}");
        }
    }

    #[test]
    fn the_histograms_of_a_load_run_count_all_answers() {
        let reports = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../reports");
        let path = reports.join("load-local-envoy/load.json");
        let mut record = poolproof_records::load::Record::read(&path).unwrap();
        let class = &mut record.classes[0];
        class.name = "\"".to_owned();
        // A server may respond with any status.
        class.failed = (0..500)
            .map(|status| (format!("status-{status}"), 1))
            .collect();
        let n = class.times["ttft"].n;
        let text = render_load(&record).unwrap();
        check_shape(&text);
        for line in [
            format!("poolproof_load_ttft_seconds_bucket{{le=\"+Inf\",class=\"\\\"\"}} {n}"),
            format!("poolproof_load_ttft_seconds_count{{class=\"\\\"\"}} {n}"),
        ] {
            assert!(text.lines().any(|other| other == line), "{line}: {text}");
        }
        let failures = text
            .lines()
            .filter(|line| line.starts_with("poolproof_load_failures_total{class=\"\\\""));
        let counts: Vec<u64> = failures
            .map(|line| line.rsplit(' ').next().unwrap().parse().unwrap())
            .collect();
        assert!(counts.len() < 50, "{text}");
        assert_eq!(counts.iter().sum::<u64>(), 500);
    }

    #[test]
    fn a_load_run_over_time_has_timestamps_in_order() {
        let reports = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../reports");
        let path = reports.join("load-local-envoy/load.json");
        let mut record = poolproof_records::load::Record::read(&path).unwrap();
        let without = render_load(&record).unwrap();
        record.started = "2026-11-28T00:00:00Z".parse().unwrap();
        let mut over_time = over_time();
        over_time.series[0].device = Some("\"} 1\n# EOF\\".to_owned());
        record.over_time = Some(over_time);
        let text = render_load(&record).unwrap();
        check_shape(&text);
        assert!(text.len() > without.len() && !without.contains("over_time"));
        for line in [
            "poolproof_load_over_time_answered_per_second 40 1795824001.000",
            "poolproof_load_over_time_failed_per_second 20 1795824002.000",
            "poolproof_load_over_time_ttft_seconds{quantile=\"0.5\"} 0.02 1795824001.000",
            "poolproof_load_over_time_ttft_seconds{quantile=\"0.99\"} +Inf 1795824002.000",
            "poolproof_server_queue{server=\"p/a\",device=\"\\\"} 1\\n# EOF\\\\\"} 3 1795824001.500",
        ] {
            assert!(text.lines().any(|other| other == line), "{line}: {text}");
        }
        let mut last = ("", 0.0);
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        for line in samples.filter(|line| line.contains("_over_time_")) {
            let (named, at) = line.rsplit_once(' ').unwrap();
            let named = named.rsplit_once(' ').unwrap().0;
            let at: f64 = at.parse().unwrap_or(0.0);
            assert!(named != last.0 || at > last.1, "{line}");
            last = (named, at);
        }
    }

    #[test]
    fn a_load_run_in_progress_reports_its_progress() {
        let now = Snapshot {
            started: 10,
            answered: 6,
            failed: 1,
            ttft: (6, 3_000_000),
            output_tokens: 600,
            failures: [("cut".to_owned(), 1)].into(),
            ..Snapshot::default()
        };
        let text = render_live_load("steady-chat", &now).unwrap();
        check_shape(&text);
        for line in [
            "poolproof_load_started_requests_total{workload=\"steady-chat\"} 10",
            "poolproof_load_in_flight_requests{workload=\"steady-chat\"} 3.0",
            "poolproof_load_failed_requests_total{workload=\"steady-chat\",kind=\"cut\"} 1",
            "poolproof_load_output_tokens_total{workload=\"steady-chat\"} 600",
            "poolproof_load_ttft_seconds_sum{workload=\"steady-chat\"} 3.0",
            "poolproof_load_ttft_seconds_count{workload=\"steady-chat\"} 6",
        ] {
            assert!(text.lines().any(|other| other == line), "{line}: {text}");
        }
    }
}
