//! The comparison of a record with an earlier one, as a section of its page.

use maud::{Markup, html};

use super::super::clipped;
use super::super::compare::Comparison;
use super::super::compare::beside::Beside;
use super::super::compare::figure::{Compared, Says};
use super::number::{figure, percent};
use super::part::{Section, verdict, wide};

/// The section of a page that shows a comparison, if there is one.
pub(super) fn section(beside: Option<&Beside>) -> Option<Section> {
    beside.and_then(|beside| Section::new("compared", beside.title(), body(beside)))
}

/// Changed verdicts and figures, and what could not be compared.
fn body(beside: &Beside) -> Markup {
    let (comparison, date) = (&beside.comparison, beside.date());
    html! {
        @if !date.is_empty() { p.note { "That run was started at " (date) "." } }
        @if comparison.verdicts_compared && comparison.verdicts.is_empty() { p { "No verdict has changed." } }
        @if !comparison.verdicts.is_empty() { (verdicts(comparison)) }
        @if let Some(words) = comparison.in_words() {
            p { (words) "." }
            (figures(&comparison.figures))
        }
        @for line in &comparison.refused { p.note { "Not compared: " bdi { (clipped(line)) } } }
        @for line in &comparison.notes { p.note { "Differs: " bdi { (clipped(line)) } } }
    }
}

fn verdicts(comparison: &Comparison) -> Markup {
    wide(
        "Changed verdicts",
        html! {
            table.stack {
                thead { tr { th.text { "case" } th.text { "level" } th.text { "before" } th.text { "now" } th.text { "change" } th.text { "finding" } } }
                tbody {
                    @for change in &comparison.verdicts {
                        tr {
                            td.text data-label="case" { strong { bdi { (clipped(&change.id)) } } }
                            td.text data-label="level" { (change.level) }
                            td.text data-label="before" { @match change.before { Some(judged) => (verdict(&judged.to_string())), None => "not run" } }
                            td.text data-label="now" { @match change.now { Some(judged) => (verdict(&judged.to_string())), None => "not run" } }
                            td.text data-label="change" { @if change.worse { (mark("fail", "worse")) } @else { (mark("pass", "no worse")) } }
                            td.text.long data-label="finding" { bdi { (clipped(&change.summary)) } }
                        }
                    }
                }
            }
        },
    )
}

fn figures(figures: &[Compared]) -> Markup {
    wide(
        "Compared figures",
        html! {
            table {
                thead { tr { th.text { "figure" } th { "before" } th { "now" } th { "unit" } th { "worse by" } th { "95 %" } th.text { "" } } }
                tbody {
                    @for compared in figures {
                        tr {
                            th scope="row" { bdi { (clipped(&compared.figure)) } }
                            td { (value(compared.before, compared.unit)) }
                            td { (value(compared.now, compared.unit)) }
                            td { (compared.unit) }
                            td { (change(compared.worse_by)) }
                            td { (change(compared.interval.0)) " to " (change(compared.interval.1)) }
                            td.text { (says(compared.says)) }
                        }
                    }
                }
            }
        },
    )
}

/// A figure; one without a unit is a share or a ratio.
fn value(value: f64, unit: &str) -> String {
    match value {
        f64::INFINITY => "never".to_owned(),
        value if unit.is_empty() && (0.0..=1.0).contains(&value) => percent(value),
        value => figure(value),
    }
}

/// A ratio as a change in percent; positive is worse.
fn change(ratio: f64) -> String {
    let percent = 100.0 * (ratio - 1.0);
    if percent.is_finite() {
        format!("{percent:+.1} %")
    } else {
        "without end".to_owned()
    }
}

fn says(says: Says) -> Markup {
    match says {
        Says::Worse => mark("fail", "worse"),
        Says::Better => mark("pass", "better"),
        Says::Same => mark("skip", "same"),
        Says::NotDecided => mark("undecided", "not decided"),
    }
}

/// A word in the colour of a verdict.
fn mark(class: &str, word: &str) -> Markup {
    html! { span class={ "verdict " (class) } { (word) } }
}

#[cfg(test)]
mod tests {
    use super::super::super::compare::beside::Earlier;
    use super::*;

    #[test]
    fn figures_show_both_values_and_the_conclusion() {
        let compared = Compared {
            figure: "load <b>chat ttft p95".to_owned(),
            before: 100.0,
            now: f64::INFINITY,
            unit: "ms",
            worse_by: f64::INFINITY,
            interval: (1.2, f64::INFINITY),
            says: Says::Worse,
        };
        let beside = Beside {
            earlier: Earlier::Last,
            started: Some(jiff::Timestamp::UNIX_EPOCH),
            comparison: Comparison {
                refused: vec!["overhead: <i>x".to_owned()],
                notes: vec!["stack: a, now b".to_owned()],
                verdicts_compared: true,
                verdicts: vec![],
                figures: vec![compared],
            },
        };
        let body = body(&beside).into_string();
        for shown in [
            "started at 1970-01-01 00:00:00 UTC",
            "No verdict has changed",
            "1 of 1 figures is worse",
            ">never<",
            "+20.0 % to without end",
            "Not compared: <bdi>overhead: &lt;i&gt;x",
            "Differs: ",
        ] {
            assert!(body.contains(shown), "{shown}: {body}");
        }
        assert!(!body.contains("<b>") && !body.contains("<i>"), "{body}");
    }
}
