//! The head of the page of a conformance run: the verdict, the Must cases that failed, and counts by level.

use maud::{Markup, html};

use super::super::super::clipped;
use super::super::part::{Head, State, verdict, wide};
use super::Numbered;
use poolproof_model::verdict::Level;
use poolproof_records::judged::Judged;
use poolproof_records::run::{Conclusion, Record};

/// Most failed cases that the head names.
const FAILED_SHOWN: usize = 6;

/// The head.
pub(super) fn head<'a>(record: &'a Record, failed: &[Numbered<'_>]) -> Head<'a> {
    let conclusion = record.conclusion();
    let state = match conclusion {
        Conclusion::Passed | Conclusion::KnownFailures => State::Pass,
        Conclusion::Failed | Conclusion::Outdated => State::Fail,
        Conclusion::Undecided | Conclusion::Interrupted => State::Undecided,
    };
    let must: Vec<&Numbered<'_>> = failed
        .iter()
        .filter(|(_, case)| case.level == Level::Must)
        .collect();
    Head {
        name: "Conformance",
        stack: &record.stack,
        state,
        conclusion: conclusion.to_string(),
        more: html! {
            @if !must.is_empty() {
                ul {
                    @for (number, case) in must.iter().take(FAILED_SHOWN) {
                        li { a href={ "#c" (number) } { bdi { (clipped(&case.id)) } } ": " bdi { (clipped(&case.requirement)) } }
                    }
                    @if must.len() > FAILED_SHOWN { li { (must.len() - FAILED_SHOWN) " more" } }
                }
            }
            @if let Some(flaw) = &record.flaw { p { "A flaw was switched on deliberately: " bdi { (clipped(flaw)) } } }
            (counts(record))
        },
    }
}

/// Cases by level and judgement. Judgements without cases are left out.
fn counts(record: &Record) -> Markup {
    let number = |level: Option<Level>, judged: Judged| {
        let of = |case: &&_| is(case, level, judged);
        record.cases.iter().filter(of).count()
    };
    let shown: Vec<Judged> = Judged::ALL
        .into_iter()
        .filter(|judged| number(None, *judged) > 0)
        .collect();
    let row = |name: &str, level: Option<Level>| {
        html! {
            tr class=[level.is_none().then_some("sum")] {
                th scope="row" { (name) }
                @for judged in &shown { td { (some(number(level, *judged))) } }
            }
        }
    };
    wide(
        "Cases by level and verdict",
        html! {
            table {
                thead { tr { th.text { "cases" } @for judged in &shown { th { (verdict(&judged.to_string())) } } } }
                tbody {
                    @for level in [Level::Must, Level::Should, Level::May] {
                    @if record.cases.iter().any(|case| case.level == level) { (row(&level.to_string(), Some(level))) }
                }
                    (row("all", None))
                }
            }
        },
    )
}

fn is(case: &poolproof_records::run::CaseRecord, level: Option<Level>, judged: Judged) -> bool {
    case.judged() == judged && level.is_none_or(|level| case.level == level)
}

/// A number, and nothing for 0, which leaves the others easier to see.
fn some(number: usize) -> String {
    if number == 0 {
        String::new()
    } else {
        number.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use poolproof_records::samples::with_expectations;

    #[test]
    fn counts_are_by_level_and_add_up() {
        let text = counts(&with_expectations()).into_string();
        // One pass, one failure, and of the Should cases one known failure.
        let cells: Vec<&str> = text.split("<td>").skip(1).collect();
        // Must and Should; there is no May case.
        let columns = cells.len() / 3;
        let column = |number: usize| {
            let rows = (0..3).map(|row| cells[row * columns + number].split('<').next());
            let rows = rows.map(|cell| cell.unwrap_or_default().parse().unwrap_or(0));
            rows.collect::<Vec<usize>>()
        };
        for number in 0..columns {
            let rows = column(number);
            assert_eq!(rows[0] + rows[1], rows[2], "{text}");
        }
        assert_eq!(column(2), [1, 1, 2], "known failures: {text}");
    }
}
