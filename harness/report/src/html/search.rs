//! The search for the highest rate that meets every objective, as a page.

use maud::{Markup, html};

use super::super::clipped;
use super::chart::{Chart, Ink, Line, Range};
use super::number::{count, figure};
use super::part::{Head, Method, Section, State, page, verdict, wide};
use poolproof_model::verdict::Verdict;
use poolproof_records::load::search::{Found, RateSearch, Search};

/// Renders the result, a chart of the probes by rate, and a table of the probes in order.
pub fn render(record: &RateSearch) -> String {
    let search = &record.search;
    let conclusion = record.conclusion();
    let head = Head {
        name: &format!("Limit of {}", record.name),
        stack: &record.stack,
        state: match record.found() {
            Found::Limit => State::Pass,
            Found::Nothing => State::Fail,
            Found::Undecided => State::Undecided,
        },
        conclusion: clipped(&conclusion).into_owned(),
        more: html! {},
    };
    let method = Method {
        started: record.started,
        workload: &record.workload,
        own: Vec::new(),
        tool_version: &record.tool_version,
        seed: record.seed,
        environment: Some(&record.environment),
        components: &record.components,
    };
    let chart = knee(search).draw().unwrap_or_default();
    let sections = vec![
        Section::new("rate", "Rate against latency", chart),
        Section::new("probes", "Probes", probes(search)),
        Section::new("method", "How it was measured", method.facts()),
    ];
    page(&head, sections)
}

fn probes(search: &Search) -> Markup {
    wide(
        "Probes in order",
        html! {
            table {
                thead { tr { th { "req/s" } th.text { "verdict" } th { "requests" } th { "TTFT p95, ms" } th { "tokens/s" } th.text { "missed" } } }
                tbody {
                    @for probe in &search.probes {
                        tr {
                            td { (format!("{:.2}", probe.rate_per_s)) }
                            td.text { (verdict(&probe.verdict.to_string())) }
                            td { (count(probe.requests)) }
                            td { (probe.ttft_p95()) }
                            td { (figure(probe.output_tokens_per_s)) }
                            td.text.long { bdi { (clipped(&probe.remarks())) } }
                        }
                    }
                }
            }
        },
    )
}

/// The probes by rate. The limit lies between the highest rate that met all objectives and the lowest rate that did not. A probe
/// without a TTFT p95 has no dot: the percentile is a failure, or the sample is too small.
fn knee(search: &Search) -> Chart {
    let group = |name: &str, ink: Ink, verdict: Verdict| {
        let of = search
            .probes
            .iter()
            .filter(|probe| probe.verdict == verdict);
        let dots = of.filter_map(|probe| Some((probe.rate_per_s, probe.ttft_p95_ms.flatten()?)));
        Line {
            name: name.to_owned(),
            ink,
            points: dots.collect(),
        }
    };
    let axes = ("requests per second", "ms");
    let mut chart = Chart::lines("TTFT p95 at each probed rate", axes, Vec::new());
    chart.ranges.1 = Range::Decades;
    chart.dots = vec![
        group("every objective met", Ink::Pass, Verdict::Pass),
        group("one missed", Ink::Fail, Verdict::Fail),
        group("not decided", Ink::Open, Verdict::Inconclusive),
    ];
    let limit = search.met().zip(search.not_met());
    let limit = limit.filter(|_| !search.client_was_the_limit());
    let limit = limit.map(|(met, bad)| ("the limit".to_owned(), met.rate_per_s, bad.rate_per_s));
    chart.spans = limit.into_iter().collect();
    chart
}

#[cfg(test)]
mod tests {
    use super::*;
    use poolproof_records::samples::rate_search;

    #[test]
    fn the_limit_lies_between_the_highest_good_and_the_lowest_bad_rate() {
        let mut record = rate_search();
        for probe in &mut record.search.probes {
            probe.broke = vec!["<b>ttft".to_owned()];
        }
        let chart = knee(&record.search);
        assert_eq!(chart.spans, [("the limit".to_owned(), 20.0, 24.0)]);
        assert_eq!(chart.dots[0].points, [(10.0, 20.0), (20.0, 30.0)]);
        assert_eq!(chart.dots[1].points, [(28.0, 900.0)]);
        if let Some(last) = record.search.probes.last_mut() {
            last.doubts.push("busy".to_owned());
        }
        let spans = knee(&record.search).spans;
        assert!(spans.is_empty(), "the limit is that of the client");
        record.name = "<u>w".to_owned();
        let page = render(&record);
        assert!(
            page.contains("<figure>") && page.contains("never"),
            "{page}"
        );
        assert!(page.contains("he client was the bottleneck"), "{page}");
        assert!(!page.contains("<b>") && !page.contains("<u>"), "{page}");
    }
}
