//! The record of a load run as a web page: the verdict, then what a reader asks next, in that order.

mod failures;
mod figures;
mod method;
mod objectives;
mod over_time;
mod served;
mod servers;
mod verdict;

use super::super::compare::beside::Beside;
use super::compared;
use super::part::{Section, page};
pub(super) use figures::cell;
use poolproof_records::load::Record;

/// Renders the record.
pub fn render(record: &Record) -> String {
    render_compared(record, None)
}

/// Renders the record, beside its comparison with an earlier run if there is one.
pub(super) fn render_compared(record: &Record, with: Option<&Beside>) -> String {
    let sections = vec![
        Section::new("objectives", "Objectives", objectives::body(record)),
        Section::new("failures", "Failures", failures::body(record)),
        Section::new("figures", "How fast", figures::body(record)),
        Section::new("over-time", "Over time", over_time::body(record)),
        Section::new("served", "Who served", served::body(record)),
        compared::section(with),
        Section::new("method", "How it was measured", method::body(record)),
    ];
    page(&verdict::head(record), sections)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::path::Path;

    use poolproof_model::remark::Remark;
    use poolproof_records::load::Example;
    use poolproof_records::load::over_time::{
        OverTime, Server, ServerMetric, ServerSeries, Unread,
    };
    use poolproof_records::load::over_time::{Window, WindowTimes};

    use super::*;

    pub(super) fn record() -> Record {
        let reports = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../reports");
        Record::read(&reports.join("load-local-envoy/load.json")).unwrap()
    }

    pub(super) const HOSTILE: &str = "<script>alert(1)</script>\u{1b}[31m\u{202e}";

    /// A record whose every text is hostile, and which has all sections.
    fn hostile() -> Record {
        let mut record = record();
        let hostile = || HOSTILE.to_owned();
        record.name = hostile();
        record.stack = hostile();
        record.workload.shows = hostile();
        record.workload.mix[0].class = hostile();
        record.doubts.push(hostile());
        record.target.name = hostile();
        for component in &mut record.components {
            component.version = hostile();
        }
        record.total.failed = [(hostile(), 3), ("status-500".to_owned(), 4)].into();
        record.total.remarks = [(hostile(), 3), (Remark::NoDone.name().to_owned(), 4)].into();
        record.classes[0].name = hostile();
        record.classes[0].failed = record.total.failed.clone();
        record.pools[0].pool = hostile();
        record.pools[0].endpoints[0].name = hostile();
        record.pools[0].endpoints[0].failed = record.total.failed.clone();
        record.examples = vec![Example {
            kind: hostile(),
            request: 7,
            detail: hostile(),
        }];
        let server = || Server::Other { name: hostile() };
        let times = WindowTimes {
            n: 3,
            p50_ms: Some(1.0),
            p99_ms: None,
            ..WindowTimes::default()
        };
        record.over_time = Some(OverTime {
            window_s: 1.0,
            windows: (0..3)
                .map(|second| Window {
                    at_s: f64::from(second),
                    length_s: 1.0,
                    started: 3,
                    answered: 2,
                    failed: [(hostile(), 1)].into(),
                    times: [("ttft".to_owned(), times)].into(),
                    ..Window::default()
                })
                .collect(),
            series: vec![ServerSeries {
                server: server(),
                device: Some(hostile()),
                metric: ServerMetric::Queue,
                unit: ServerMetric::Queue.unit(),
                points: vec![(0.0, 1.0), (1.0, 2.0)],
            }],
            unread: vec![Unread {
                server: server(),
                failed: 1,
                of: 2,
                reason: hostile(),
            }],
        });
        record
    }

    #[test]
    fn hostile_texts_are_escaped_in_every_section() {
        let page = render(&hostile());
        for markup in ["<script", "\u{1b}", "<link", "src=\"", "href=\"h", "url("] {
            assert!(!page.contains(markup), "{markup:?}: {page}");
        }
        let sections = [
            "objectives",
            "failures",
            "figures",
            "over-time",
            "served",
            "method",
        ];
        for id in sections {
            assert!(
                page.contains(&format!("<section id=\"{id}\">")),
                "{id}: {page}"
            );
        }
        assert!(page.contains("&lt;script&gt;alert(1)"), "{page}");
    }

    #[test]
    fn the_verdict_comes_first_and_sections_without_content_are_left_out() {
        let page = render(&record());
        let verdict = page.find("Every objective was met").unwrap();
        assert!(verdict < page.find("<section").unwrap(), "{page}");
        assert!(!page.contains("id=\"over-time\"") && !page.contains("id=\"compared\""));
    }
}
