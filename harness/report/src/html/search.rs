//! The search for the highest rate that meets every objective, as a page.

use maud::html;

use super::super::clipped;
use super::{page, pictures};
use poolproof_model::picture::Picture;
use poolproof_model::verdict::Verdict;
use poolproof_records::load::search::Search;
use poolproof_records::load::search::{Found, RateSearch};

/// Renders the result, a chart of the probes by rate, and a table of the probes in order.
pub fn render(record: &RateSearch) -> String {
    let state = match record.found() {
        Found::Limit => "pass",
        Found::Nothing => "fail",
        Found::Undecided => "undecided",
    };
    let search = &record.search;
    let title = format!(
        "limit of {} on {}",
        clipped(&record.name),
        clipped(&record.stack)
    );
    page(
        &title,
        html! {
            header class=(state) {
                h1 { (title) }
                p { (clipped(&record.conclusion())) }
            }
            section {
                h2 { "Rate against latency" }
                (pictures(&[knee(search)]))
            }
            section {
                h2 { "Probes" }
                div.wide {
                    table {
                        tr { th { "req/s" } th { "" } th { "requests" } th { "TTFT p95 ms" } th { "tokens/s" } th { "missed" } }
                        @for probe in &search.probes {
                            tr {
                                td { (format!("{:.2}", probe.rate_per_s)) }
                                td { (probe.verdict) }
                                td { (probe.requests) }
                                td { (probe.ttft_p95()) }
                                td { (format!("{:.0}", probe.output_tokens_per_s)) }
                                td { (clipped(&probe.remarks())) }
                            }
                        }
                    }
                }
            }
            section {
                h2 { "About this run" }
                dl {
                    dt { "started" } dd { (record.started.strftime("%Y-%m-%d %H:%M:%S UTC")) }
                    dt { "poolproof" } dd { (clipped(&record.tool_version)) ", seed " (record.seed) }
                    dt { "client" } dd { (clipped(&record.environment.in_words())) }
                    @for it in &record.components {
                        dt { (clipped(&it.role)) } dd { (clipped(&it.version)) }
                    }
                }
            }
        },
    )
}

/// The probes by rate. The limit lies between the highest rate that met all objectives and the lowest rate that did not. A probe
/// without a TTFT p95 has no dot: the percentile is a failure, or the sample is too small.
fn knee(search: &Search) -> Picture {
    let group = |name: &str, verdicts: &[Verdict]| {
        let of = search
            .probes
            .iter()
            .filter(|it| verdicts.contains(&it.verdict));
        let dots = of.filter_map(|it| Some((it.rate_per_s, it.ttft_p95_ms.flatten()?)));
        (name.to_owned(), dots.collect())
    };
    let groups = vec![
        group("every objective met", &[Verdict::Pass]),
        group("one missed", &[Verdict::Fail]),
        group("not decided", &[Verdict::Inconclusive]),
    ];
    let limit = search.met().zip(search.not_met());
    let limit = limit.filter(|_| !search.client_was_the_limit());
    let limit = limit.map(|(met, bad)| ("the limit".to_owned(), met.rate_per_s, bad.rate_per_s));
    Picture::dots(
        "TTFT p95 at each probed rate",
        ("requests per second", "ms"),
        groups,
        limit.into_iter().collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use poolproof_model::picture::Drawing;
    use poolproof_records::samples::rate_search;

    #[test]
    fn the_limit_lies_between_the_highest_good_and_the_lowest_bad_rate() {
        let mut record = rate_search();
        for probe in &mut record.search.probes {
            probe.broke = vec!["<b>ttft".to_owned()];
        }
        let Drawing::Dots { groups, spans, .. } = knee(&record.search).drawing else {
            unreachable!("probes are dots")
        };
        assert_eq!(spans, [("the limit".to_owned(), 20.0, 24.0)]);
        assert_eq!(groups[0].1, [(10.0, 20.0), (20.0, 30.0)]);
        assert_eq!(groups[1].1, [(28.0, 900.0)]);
        if let Some(last) = record.search.probes.last_mut() {
            last.doubts.push("busy".to_owned());
        }
        let Drawing::Dots { spans, .. } = knee(&record.search).drawing else {
            unreachable!("probes are dots")
        };
        assert!(spans.is_empty(), "the limit is that of the client");
        record.name = "<u>w".to_owned();
        let page = render(&record);
        assert!(page.contains("<svg") && page.contains("never"), "{page}");
        assert!(page.contains("the client was the bottleneck"), "{page}");
        assert!(!page.contains("<b>") && !page.contains("<u>"), "{page}");
    }
}
