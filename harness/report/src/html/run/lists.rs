//! The cases of a conformance run by judgement: failures in full, others one line each.

use maud::{Markup, html};

use super::super::super::clipped;
use super::super::number::figure;
use super::super::part::{class, verdict};
use super::{Numbered, case};
use poolproof_records::judged::Judged;
use poolproof_records::run::{CaseRecord, Record};

/// Cases in full.
pub(super) fn in_full(cases: &[Numbered<'_>]) -> Markup {
    html! { @for one in cases { (case::full(*one)) } }
}

/// Known failures: the reason of each, which expands to the case.
pub(super) fn known(cases: &[Numbered<'_>]) -> Markup {
    html! { @for one in cases { (line(*one, true)) } }
}

/// Passed cases by suite.
pub(super) fn passed(record: &Record) -> Markup {
    let cases = record.cases.iter().enumerate();
    let cases = cases.filter(|(_, case)| case.judged() == Judged::Pass);
    let cases: Vec<Numbered<'_>> = cases.collect();
    html! {
        @for of_suite in cases.chunk_by(|one, next| one.1.suite() == next.1.suite()) {
            h3 { bdi { (clipped(of_suite[0].1.suite())) } " " span.soft { (of_suite.len()) } }
            @for one in of_suite { (line(*one, false)) }
        }
    }
}

/// One line of a case, which expands to the rest.
fn line((number, case): Numbered<'_>, with_expectation: bool) -> Markup {
    let judged = case.judged().to_string();
    html! {
        details class={ "case " (class(&judged)) } id={ "c" (number) } {
            summary {
                span { (verdict(&judged)) }
                span.soft { (case.level) }
                strong { bdi { (clipped(&case.id)) } }
                span.found {
                    @match (&case.known, with_expectation) {
                        (Some(known), true) => bdi { (clipped(&known.reason)) },
                        _ => bdi { (clipped(&case.outcome.summary)) },
                    }
                }
                span.took.soft { (figure(case.took_ms as f64 / 1000.0)) " s" }
            }
            div.inside { (case::body((number, case))) }
        }
    }
}

/// Skipped cases by reason, folded.
pub(super) fn skipped(cases: &[Numbered<'_>]) -> Markup {
    let mut reasons: Vec<(&str, Vec<&CaseRecord>)> = Vec::new();
    for (_, case) in cases {
        let reason = case.outcome.summary.as_str();
        match reasons.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, of)) => of.push(case),
            None => reasons.push((reason, vec![case])),
        }
    }
    html! {
        @if !cases.is_empty() {
            details.unfold {
                summary { (cases.len()) " skipped, for " (reasons.len()) @if reasons.len() == 1 { " reason" } @else { " reasons" } }
                dl.facts.inside {
                    @for (reason, of) in &reasons {
                        dt { bdi { (clipped(reason)) } }
                        dd {
                            @for (number, case) in of.iter().enumerate() {
                                @if number > 0 { ", " }
                                bdi { (clipped(&case.id)) } " (" (case.level) ")"
                            }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use poolproof_model::verdict::{Level, Outcome};
    use poolproof_records::samples::{fail, known, record};

    #[test]
    fn skips_are_grouped_by_reason_and_folded() {
        let record = record(&[
            (Level::Must, Outcome::skip("no <i>picker")),
            (Level::May, Outcome::skip("other")),
            (Level::Must, Outcome::skip("no <i>picker")),
        ]);
        let cases: Vec<Numbered<'_>> = record.cases.iter().enumerate().collect();
        let list = skipped(&cases).into_string();
        assert!(list.contains("3 skipped, for 2 reasons"), "{list}");
        assert_eq!(list.matches("no &lt;i&gt;picker").count(), 1, "{list}");
        assert!(!list.contains("<details open"), "{list}");
    }

    #[test]
    fn a_known_failure_shows_its_reason_and_expands_to_what_was_seen() {
        let mut record = record(&[(Level::Must, fail())]);
        record.cases[0].known = Some(super::tests::known());
        let list = super::known(&[(0, &record.cases[0])]).into_string();
        let (summary, rest) = list.split_once("</summary>").unwrap_or_default();
        assert!(
            summary.contains("a cause") && summary.contains("known failure"),
            "{list}"
        );
        assert!(
            rest.contains("it does not work") && rest.contains("known.toml:2"),
            "{list}"
        );
    }
}
