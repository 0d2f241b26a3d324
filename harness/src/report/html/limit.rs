//! The search for the highest rate that meets every objective, as a page.

use maud::html;

use super::super::clipped;
use super::{page, pictures};
use crate::load::limit::{Probe, Search};
use crate::picture::Picture;
use crate::verdict::Verdict;

/// What it found, the probes by rate as a picture, and each of them in the order in which they were made.
pub fn render(name: &str, stack: &str, search: &Search, conclusion: &str) -> String {
    let state = match (search.met(), search.not_met()) {
        (Some(_), Some(_)) if !search.client_was_the_limit() => "pass",
        (None, Some(_)) => "fail",
        _ => "undecided",
    };
    let title = format!("the limit of {} on {}", clipped(name), clipped(stack));
    page(
        &title,
        html! {
            header class=(state) {
                h1 { (title) }
                p { (clipped(conclusion)) }
            }
            section {
                h2 { "Rate against latency" }
                (pictures(&[knee(search)]))
            }
            section {
                h2 { "Probes" }
                div.wide {
                    table {
                        tr { th { "req/s" } th { "" } th { "requests" } th { "TTFT p95 ms" } th { "tokens/s" } th { "what broke" } }
                        @for probe in &search.probes {
                            tr {
                                td { (format!("{:.2}", probe.rate_per_s)) }
                                td { (probe.verdict) }
                                td { (probe.requests) }
                                td { (ttft(probe)) }
                                td { (format!("{:.0}", probe.output_tokens_per_s)) }
                                td { (clipped(&[probe.broke.as_slice(), &probe.doubts].concat().join("; "))) }
                            }
                        }
                    }
                }
            }
        },
    )
}

/// The probes by rate. Between the highest rate that was met and the lowest one that was not lies the limit. What has no TTFT p95,
/// because that is one of a failure or the sample was too small, has no dot.
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
        "TTFT p95 at each rate that was tried",
        ("requests per second", "ms"),
        groups,
        limit.into_iter().collect(),
    )
}

fn ttft(probe: &Probe) -> String {
    match probe.ttft_p95_ms {
        Some(Some(ms)) => format!("{ms:.1}"),
        Some(None) => "never".to_owned(),
        None => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::Drawing;

    fn probe(rate_per_s: f64, verdict: Verdict, ttft_ms: Option<Option<f64>>) -> Probe {
        Probe {
            rate_per_s,
            verdict,
            broke: vec!["<b>ttft".to_owned()],
            doubts: vec![],
            requests: 100,
            ttft_p95_ms: ttft_ms,
            output_tokens_per_s: 5.0,
        }
    }

    #[test]
    fn the_limit_lies_between_the_last_rate_that_was_met_and_the_first_that_was_not() {
        let mut search = Search::new(10.0, 1.05);
        search.probes = vec![
            probe(10.0, Verdict::Pass, Some(Some(20.0))),
            probe(20.0, Verdict::Pass, Some(Some(30.0))),
            probe(40.0, Verdict::Fail, Some(None)),
            probe(28.0, Verdict::Fail, Some(Some(900.0))),
            probe(24.0, Verdict::Inconclusive, None),
        ];
        let Drawing::Dots { groups, spans, .. } = knee(&search).drawing else {
            unreachable!("probes are dots")
        };
        assert_eq!(spans, [("the limit".to_owned(), 20.0, 24.0)]);
        assert_eq!(groups[0].1, [(10.0, 20.0), (20.0, 30.0)]);
        assert_eq!(groups[1].1, [(28.0, 900.0)]);
        if let Some(last) = search.probes.last_mut() {
            last.doubts.push("busy".to_owned());
        }
        let Drawing::Dots { spans, .. } = knee(&search).drawing else {
            unreachable!("probes are dots")
        };
        assert!(spans.is_empty(), "it is the limit of the client");
        let page = render("<u>w", "s", &search, "limit: 20.00 req/s");
        assert!(page.contains("<svg") && page.contains("never"), "{page}");
        assert!(page.contains("limit: 20.00 req/s"), "{page}");
        assert!(!page.contains("<b>") && !page.contains("<u>"), "{page}");
    }
}
