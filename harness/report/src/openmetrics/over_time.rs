//! A load run over time, as samples with timestamps. The library that writes the other families has no timestamps, so that these lines
//! are written here.
//!
//! Source: OpenMetrics 1.0.0, sections "Text format" and "Timestamps": the points of one metric are in the order of their timestamps.

use std::fmt::Write as _;

use super::shown;
use poolproof_model::server_metric::ServerMetric;
use poolproof_records::load::Record;
use poolproof_records::load::over_time::{OverTime, ServerSeries, Window, WindowTimes};

/// The times of windows, by the name of their series.
const TIMES: [&str; 4] = ["ttft", "ttfa", "tpot", "e2e"];

type OfTimes = fn(&WindowTimes) -> Option<f64>;

const QUANTILES: [(&str, OfTimes); 4] = [
    ("0.5", |times| times.p50_ms),
    ("0.9", |times| times.p90_ms),
    ("0.95", |times| times.p95_ms),
    ("0.99", |times| times.p99_ms),
];

/// The families of windows and of server metrics; empty if the record has none. Counts of a window are rates at its end.
pub(super) fn families(record: &Record) -> String {
    let Some(over_time) = &record.over_time else {
        return String::new();
    };
    let mut text = Text {
        text: String::new(),
        start_s: record.started.as_millisecond() as f64 / 1000.0,
    };
    text.windows(over_time);
    for metric in ServerMetric::ALL {
        let of = over_time
            .series
            .iter()
            .filter(|series| series.metric == metric);
        let of: Vec<&ServerSeries> = of.collect();
        if !of.is_empty() {
            text.servers(metric, &of);
        }
    }
    text.text
}

struct Text {
    text: String,
    start_s: f64,
}

impl Text {
    fn windows(&mut self, over_time: &OverTime) {
        type OfWindow = fn(&Window) -> f64;
        const RATES: [(&str, &str, OfWindow); 5] = [
            (
                "started_per_second",
                "Requests that were started.",
                |window| window.per_s(window.started),
            ),
            (
                "answered_per_second",
                "Requests that were answered completely.",
                |window| window.per_s(window.answered),
            ),
            ("failed_per_second", "Requests that failed.", |window| {
                window.per_s(window.failures())
            }),
            (
                "output_tokens_per_second",
                "Answer tokens.",
                Window::output_tokens_per_s,
            ),
            (
                "in_flight",
                "Mean number of requests in flight.",
                |window| window.in_flight,
            ),
        ];
        for (name, help, of) in RATES {
            let name = format!("poolproof_load_over_time_{name}");
            self.describe(&name, &format!("{help} By windows of the run."));
            for window in &over_time.windows {
                self.sample(&name, &[], of(window), end_s(window));
            }
        }
        for series in TIMES {
            let mut windows = over_time.windows.iter();
            if !windows.any(|window| window.times.contains_key(series)) {
                continue;
            }
            let name = format!("poolproof_load_over_time_{series}_seconds");
            let help = format!(
                "Percentiles of {series} by windows of the run; failures are infinitely late."
            );
            self.describe(&name, &help);
            for (quantile, of) in QUANTILES {
                for window in &over_time.windows {
                    if let Some(times) = window.times.get(series) {
                        let seconds = of(times).map_or(f64::INFINITY, |ms| ms / 1000.0);
                        let labels = [("quantile", quantile)];
                        self.sample(&name, &labels, seconds, end_s(window));
                    }
                }
            }
        }
    }

    fn servers(&mut self, metric: ServerMetric, of: &[&ServerSeries]) {
        let name = format!("poolproof_server_{}", metric.name().replace('-', "_"));
        let unit = match metric.unit().symbol() {
            "" => String::new(),
            symbol => format!(" in {symbol}"),
        };
        let help = format!("What servers reported: {}{unit}.", metric.title());
        self.describe(&name, &help);
        for series in of {
            let (server, device) = (shown(&series.server), series.device.as_ref().map(shown));
            let mut labels = vec![("server", server.as_str())];
            labels.extend(device.as_deref().map(|device| ("device", device)));
            for (at_s, value) in &series.points {
                self.sample(&name, &labels, *value, *at_s);
            }
        }
    }

    fn describe(&mut self, name: &str, help: &str) {
        // Writing to a string cannot fail, here and below.
        let _ = writeln!(self.text, "# HELP {name} {help}");
        let _ = writeln!(self.text, "# TYPE {name} gauge");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64, at_s: f64) {
        self.text.push_str(name);
        for (place, (label, text)) in labels.iter().enumerate() {
            let before = if place == 0 { '{' } else { ',' };
            let _ = write!(self.text, "{before}{label}=\"{}\"", escaped(text));
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        let value = if value.is_infinite() {
            "+Inf".to_owned()
        } else {
            value.to_string()
        };
        let _ = writeln!(self.text, " {value} {:.3}", self.start_s + at_s);
    }
}

fn end_s(window: &Window) -> f64 {
    window.at_s + window.length_s
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}
