//! The record as a web page: one self-contained file, with light and dark colours, for any screen width.

mod draw;
mod load;
mod overhead;
mod search;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::environment::Environment;
use super::{clipped, detail_lines};
use poolproof_model::picture::Picture;
use poolproof_records::judged::Judged;
use poolproof_records::run::{CaseRecord, Conclusion, Record};

pub use load::render as render_load;
pub use overhead::render as render_overhead;
pub use search::render as render_search;

/// Renders the cases that did not pass first and in full, then one line and chart per remaining case.
pub fn render(record: &Record) -> String {
    let conclusion = record.conclusion();
    let state = match conclusion {
        Conclusion::Passed | Conclusion::KnownFailures => "pass",
        Conclusion::Failed | Conclusion::Outdated => "fail",
        Conclusion::Undecided | Conclusion::Interrupted => "undecided",
    };
    let of = |title: &'static str, is: &dyn Fn(Judged) -> bool| {
        let cases = record.cases.iter().filter(|case| is(case.judged()));
        (title, cases.collect::<Vec<&CaseRecord>>())
    };
    let in_full = [
        of("Listed as expected failures, but passed", &|judged| {
            judged == Judged::UnexpectedPass
        }),
        of("What did not pass", &|judged| {
            use Judged::{KnownFailure, Pass, Skip, UnexpectedPass};
            !matches!(judged, Pass | Skip | KnownFailure | UnexpectedPass)
        }),
        of("Known failures", &|judged| judged == Judged::KnownFailure),
    ];
    let title = format!("poolproof on {}: {conclusion}", clipped(&record.stack));
    page(
        &title,
        html! {
            header class=(state) {
                h1 { (clipped(&record.stack)) ": " (conclusion) }
                p { (record.counts()) }
                @if let Some(flaw) = &record.flaw {
                    p { "flaw enabled: " (clipped(flaw)) }
                }
            }
            @for (title, cases) in &in_full {
                @if !cases.is_empty() {
                    section {
                        h2 { (title) }
                        @for case in cases {
                            (full(case))
                            (pictures(&case.outcome.pictures))
                        }
                    }
                }
            }
            @for suite in suites(record) {
                section {
                    h2 { (clipped(suite)) }
                    @for case in record.cases.iter().filter(|it| it.suite() == suite) {
                        (brief(case))
                    }
                }
            }
            section {
                h2 { "About this run" }
                dl {
                    dt { "started" } dd { (record.started.strftime("%Y-%m-%d %H:%M:%S UTC")) }
                    dt { "poolproof" } dd { (clipped(&record.tool_version)) ", seed " (record.seed) }
                    dt { "error rates" } dd {
                        "a correct stack fails a whole run with probability at most " (record.run_alpha)
                        "; the smallest deviation that matters is caught with probability at least " (record.power)
                        "; split tolerance: " (record.split_tolerance * 100.0) " points"
                    }
                    dt { "client" } dd { (client(record.environment.as_ref(), record.client_cores)) }
                    @if let Some(way) = record.way() {
                        dt { "way" } dd { (way) }
                    }
                    @for it in &record.components {
                        dt { (clipped(&it.role)) } dd { (clipped(&it.version)) }
                    }
                }
            }
        },
    )
}

/// The suites, in run order.
fn suites(record: &Record) -> Vec<&str> {
    let mut suites: Vec<&str> = record.cases.iter().map(CaseRecord::suite).collect();
    suites.dedup();
    suites
}

/// All details of a case.
fn full(case: &CaseRecord) -> Markup {
    html! {
        article class=(class(case)) {
            h3 { (mark(case)) " " (clipped(&case.id)) }
            p.requirement { (clipped(&case.requirement)) }
            ul {
                @for (kind, line) in detail_lines(case) {
                    li { span.kind { (kind) } " " (line) }
                }
            }
            p.source { (case.level) "; " (clipped(&case.source)) }
        }
    }
}

/// One line per case, which expands to its details.
fn brief(case: &CaseRecord) -> Markup {
    html! {
        details class=(class(case)) {
            summary {
                (mark(case)) " " (clipped(&case.id))
                span.found { (clipped(&case.summary())) }
            }
            (full(case))
        }
        @if case.judged() == Judged::Pass {
            (pictures(&case.outcome.pictures))
        }
    }
}

fn mark(case: &CaseRecord) -> Markup {
    html! { span.mark { (case.judged()) } }
}

/// The class of a case, which sets its colour.
fn class(case: &CaseRecord) -> String {
    match case.judged() {
        Judged::UnexpectedPass => "fail".to_owned(),
        judged => judged.to_string(),
    }
}

fn pictures(pictures: &[Picture]) -> Markup {
    html! {
        @for picture in pictures {
            @if let Some(svg) = draw::draw(picture) {
                figure {
                    figcaption { (clipped(&picture.title)) }
                    // The renderer of the chart has escaped its labels.
                    (PreEscaped(svg))
                }
            }
        }
    }
}

/// The client's machine. Older records hold only its number of processors.
fn client(environment: Option<&Environment>, cores: usize) -> String {
    match environment {
        Some(environment) => clipped(&environment.in_words()).into_owned(),
        None => format!("{cores} processors"),
    }
}

fn page(title: &str, body: Markup) -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(include_str!("page.css"))) }
            }
            body { main { (body) } }
        }
    }
    .into_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use poolproof_model::verdict::{Level, Outcome, Verdict};
    use poolproof_records::samples::record;

    #[test]
    fn failed_cases_come_first_and_their_texts_are_escaped() {
        let mut fail = Outcome::pass("<img src=x onerror=alert(1)> \x1b[31m");
        fail.verdict = Verdict::Fail;
        fail.pictures = vec![Picture::bars("<i>t</i>", "n", vec![("<u>a".into(), 3.0)])];
        let page = render(&record(&[
            (Level::Must, Outcome::pass("fine")),
            (Level::Must, fail),
        ]));
        assert!(page.contains("does not conform") && page.contains("1 pass, 1 fail"));
        let first = page.find("suite/case-1").unwrap_or(usize::MAX);
        assert!(first < page.find("suite/case-0").unwrap_or(0), "{page}");
        for markup in [
            "<img", "<i>", "<u>", "\x1b", "http://", "https://", "<script",
        ] {
            let own = "http://www.w3.org/2000/svg";
            assert!(!page.replace(own, "").contains(markup), "{markup}: {page}");
        }
    }
}
