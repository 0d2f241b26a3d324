//! The comparison of the gateway with round robin, as a web page.

use maud::{Markup, html};

use super::super::{Better, better, clipped};
use super::number::figure;
use super::part::{Head, Method, Section, State, page, wide};
use poolproof_records::load::overhead::{BLOCKS_MIN, Compared, Overhead};

/// Renders each figure with both medians, their difference and its interval, then facts about the run.
pub fn render(record: &Overhead) -> String {
    let is_empty = record.compared.is_empty();
    let worse = record
        .compared
        .iter()
        .filter(|it| better(it) == Some(Better::RoundRobin));
    let conclusion = match (is_empty, worse.count()) {
        (true, _) => "not decided: too few pairs of blocks".to_owned(),
        (false, 0) => "no figure is better with round robin".to_owned(),
        (false, n) => format!(
            "{n} of {} figures are better with round robin",
            record.compared.len()
        ),
    };
    let head = Head {
        name: "Gateway and round robin",
        stack: &record.stack,
        state: if is_empty {
            State::Undecided
        } else {
            State::Pass
        },
        conclusion,
        more: html! {
            p {
                "Pool " bdi { (clipped(&record.pool)) } ", " (record.pairs) " pairs of blocks; both blocks of a pair have the same requests"
                @if let Some(factor) = record.uneven { "; its first endpoint is " (factor) " times as slow" }
                "."
            }
        },
    };
    let method = Method {
        started: record.started,
        workload: &record.workload,
        own: Vec::new(),
        tool_version: &record.tool_version,
        seed: record.seed,
        environment: None,
        components: &record.components,
    };
    let sections = vec![
        Section::new(
            "compared",
            "Medians over blocks, and median differences",
            table(record),
        ),
        Section::new("method", "How it was measured", method.facts()),
    ];
    page(&head, sections)
}

fn table(record: &Overhead) -> Markup {
    html! {
        @if record.compared.is_empty() {
            p { "No figure has the " (BLOCKS_MIN) " pairs of blocks needed for a median with an interval." }
        } @else {
            (wide("Medians and differences", html! {
                table {
                    thead { tr { th.text { "figure" } th { "gateway" } th { "round robin" } th { "difference" } th { "95 %" } th.text { "conclusion" } } }
                    tbody { @for compared in &record.compared { (row(compared)) } }
                }
            }))
        }
    }
}

fn row(compared: &Compared) -> Markup {
    let signed = |value: f64| format!("{value:+.2}");
    html! {
        tr {
            th scope="row" { (clipped(&compared.figure)) }
            td { (figure(compared.first)) }
            td { (figure(compared.second)) }
            td { (signed(compared.difference)) }
            td { (signed(compared.interval.0)) " to " (signed(compared.interval.1)) }
            td.text { @if let Some(better) = better(compared) { (better) } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use poolproof_records::samples::rate_search;

    #[test]
    fn the_head_counts_the_figures_that_are_better_with_round_robin() {
        let search = rate_search();
        let mut record = Overhead {
            schema: String::new(),
            tool_version: "0".to_owned(),
            started: search.started,
            workload: search.workload,
            seed: 1,
            stack: "<u>s".to_owned(),
            components: vec![],
            pool: "p".to_owned(),
            uneven: None,
            pairs: 30,
            compared: vec![],
        };
        assert!(render(&record).contains("Not decided: too few pairs"));
        record.compared.push(Compared {
            figure: "ttft p50 ms".to_owned(),
            first: 20.0,
            second: 10.0,
            difference: 10.0,
            interval: (8.0, 12.0),
            ratio: None,
            blocks: 30,
        });
        let page = render(&record);
        assert!(
            page.contains("1 of 1 figures are better with round robin"),
            "{page}"
        );
        assert!(
            page.contains("+8.00 to +12.00") && !page.contains("<u>"),
            "{page}"
        );
    }
}
