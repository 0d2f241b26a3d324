//! One case in full: what was required, expected and seen, with the numbers and charts behind the verdict.

use maud::{Markup, html};
use serde_json::Value;

use super::super::super::{MISMATCHES_SHOWN, clipped};
use super::super::chart::pictures;
use super::super::number::{count, figure};
use super::super::part::{class, verdict, wide};
use super::Numbered;
use poolproof_model::verdict::{Mismatch, Verdict};
use poolproof_stats::Statistic;

/// Most mismatches in the folded list; the record holds all of them.
const MISMATCHES_FOLDED: usize = 60;

/// The case in full, with its anchor.
pub(super) fn full((number, case): Numbered<'_>) -> Markup {
    let judged = case.judged().to_string();
    html! {
        article id={ "c" (number) } class=(class(&judged)) {
            h3 { (verdict(&judged)) " " bdi { (clipped(&case.id)) } " " span.soft { (case.level) } }
            (body((number, case)))
        }
    }
}

/// Everything about a case but its name and verdict.
pub(super) fn body((_, case): Numbered<'_>) -> Markup {
    let outcome = &case.outcome;
    let failed = outcome.verdict == Verdict::Fail && !outcome.mismatches.is_empty();
    html! {
        p.requirement { bdi { (clipped(&case.requirement)) } }
        @if let Some(expectation) = case.expectation() { p { bdi { (clipped(&expectation)) } } }
        @if !failed { p { bdi { (clipped(&outcome.summary)) } } }
        (mismatches(&without_statistics(&outcome.mismatches, &outcome.statistics)))
        @if !outcome.statistics.is_empty() { (statistics(&outcome.statistics)) }
        @if !outcome.evidence.is_empty() {
            ul.evidence { @for line in &outcome.evidence { li { bdi { (clipped(line)) } } } }
        }
        (pictures(&outcome.pictures))
        p.note {
            (case.level) "; " (count(outcome.requests)) " requests in " (figure(case.took_ms as f64 / 1000.0)) " s; source: " bdi { (clipped(&case.source)) }
        }
    }
}

/// The mismatches that no statistic states: the table of statistics has the others, with their numbers.
fn without_statistics<'a>(all: &'a [Mismatch], statistics: &[Statistic]) -> Vec<&'a Mismatch> {
    let states = |mismatch: &Mismatch, statistic: &Statistic| {
        let seen = format!("{} (n={}", four(statistic.observed), statistic.n);
        let actual = mismatch.actual.as_str();
        mismatch.what == statistic.of && actual.is_some_and(|actual| actual.starts_with(&seen))
    };
    let all = all.iter();
    let others = all.filter(|mismatch| {
        !statistics
            .iter()
            .any(|one| !one.holds() && states(mismatch, one))
    });
    others.collect()
}

/// What was expected and seen. Equal lines are one line with their number.
fn mismatches(all: &[&Mismatch]) -> Markup {
    let mut distinct: Vec<(&Mismatch, usize)> = Vec::new();
    for mismatch in all {
        match distinct.iter_mut().find(|(known, _)| known == mismatch) {
            Some((_, number)) => *number += 1,
            None => distinct.push((mismatch, 1)),
        }
    }
    let (shown, folded) = distinct.split_at(distinct.len().min(MISMATCHES_SHOWN));
    let more = folded.len().saturating_sub(MISMATCHES_FOLDED);
    html! {
        @if !shown.is_empty() { (table(shown)) }
        @if !folded.is_empty() {
            details {
                summary { (folded.len()) " more differences" }
                (table(&folded[..folded.len() - more]))
                @if more > 0 { p.note { (more) " more in the record." } }
            }
        }
    }
}

fn table(mismatches: &[(&Mismatch, usize)]) -> Markup {
    let repeated = mismatches.iter().any(|(_, number)| *number > 1);
    wide(
        "Expected and seen",
        html! {
            table.stack {
                thead { tr { th.text { "what" } th.text { "expected" } th.text { "seen" } @if repeated { th { "times" } } } }
                tbody {
                    @for (mismatch, number) in mismatches {
                        tr {
                            td.text.long data-label="what" { bdi { (clipped(&mismatch.what)) } }
                            td.text.long data-label="expected" { bdi { (value(&mismatch.expected)) } }
                            td.text.long data-label="seen" { strong { bdi { (value(&mismatch.actual)) } } }
                            @if repeated { td data-label="times" { (number) } }
                        }
                    }
                }
            }
        },
    )
}

fn value(value: &Value) -> String {
    match value {
        Value::String(text) => clipped(text).into_owned(),
        other => clipped(&other.to_string()).into_owned(),
    }
}

/// The statistical decisions. Those that hold are folded if others do not.
fn statistics(all: &[Statistic]) -> Markup {
    let (holding, broken): (Vec<&Statistic>, Vec<&Statistic>) =
        all.iter().partition(|one| one.holds());
    html! {
        @if broken.is_empty() {
            (statistics_table(&holding))
        } @else {
            (statistics_table(&broken))
            @if !holding.is_empty() {
                details { summary { (holding.len()) " more statistics, which hold" } (statistics_table(&holding)) }
            }
        }
    }
}

fn statistics_table(all: &[&Statistic]) -> Markup {
    let mut tests: Vec<_> = all.iter().map(|one| clipped(&one.test)).collect();
    tests.sort();
    tests.dedup();
    html! {
        (wide("Statistics", html! {
            table.stack.dense {
                thead {
                    tr {
                        th.text { "measured" } th { "observed" } th { "95 %" } th { "accepted" } th { "" } th { "n" }
                        th { "p" } th { "alpha" } th { "power" } th { "against" } th { "null" }
                    }
                }
                tbody { @for statistic in all { (statistic_row(statistic)) } }
            }
        }))
        p.note { "Test: " bdi { (tests.join(", ")) } ". Green: accepted. The line: the 95 % interval, with the observed value." }
    }
}

fn statistic_row(statistic: &Statistic) -> Markup {
    let (low, high) = statistic.accepted;
    html! {
        tr {
            td.text.long data-label="measured" { bdi { (clipped(&statistic.of)) } }
            td data-label="observed" class=[(!statistic.holds()).then_some("bad")] { (four(statistic.observed)) }
            td data-label="95 %" { @if let Some((low, high)) = statistic.interval { (four(low)) "–" (four(high)) } @else { "-" } }
            td data-label="accepted" { (four(low)) "–" (four(high)) }
            td { (range(statistic)) }
            td data-label="n" { (count(statistic.n)) }
            td data-label="p" { (format!("{:.1e}", statistic.p_value)) }
            td data-label="alpha" { (format!("{:.1e}", statistic.alpha)) }
            td data-label="power" { (four(statistic.power)) }
            td data-label="against" { bdi { (clipped(&statistic.power_against)) } }
            td data-label="null" { bdi { (clipped(&statistic.null)) } }
        }
    }
}

fn four(value: f64) -> String {
    format!("{value:.4}")
}

/// The accepted range, the interval and the observed value on one scale.
fn range(statistic: &Statistic) -> Markup {
    let (low, high) = statistic.accepted;
    let interval = statistic
        .interval
        .unwrap_or((statistic.observed, statistic.observed));
    let all = [low, high, interval.0, interval.1, statistic.observed];
    let from = all
        .into_iter()
        .filter(|value| value.is_finite())
        .fold(0.0, f64::min);
    let to = all
        .into_iter()
        .filter(|value| value.is_finite())
        .fold(from, f64::max);
    let at = |value: f64| {
        let share = (value - from) / (to - from).max(f64::MIN_POSITIVE);
        // A bound without end reaches the end of the scale.
        let share = if share.is_nan() { 0.0 } else { share };
        2.0 + 116.0 * share.clamp(0.0, 1.0)
    };
    let class = if statistic.holds() {
        "range pass"
    } else {
        "range fail"
    };
    html! {
        svg viewBox="0 0 120 14" role="img" aria-label="accepted range and observed value" class=(class) {
            path stroke="currentColor" stroke-opacity="0.25" d="M2 7H118" {}
            rect.accepted x=(format!("{:.1}", at(low))) y="2" width=(format!("{:.1}", (at(high) - at(low)).max(1.0))) height="10" {}
            path.line d={ "M" (format!("{:.1}", at(interval.0))) " 7H" (format!("{:.1}", at(interval.1))) } {}
            path.line d={ "M" (format!("{:.1}", at(statistic.observed))) " 2V12" } {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use poolproof_model::verdict::Findings;

    fn mismatch(number: usize) -> Mismatch {
        Mismatch {
            what: format!("request {number}"),
            expected: "200".into(),
            actual: 503.into(),
        }
    }

    #[test]
    fn equal_differences_are_one_line_and_many_are_folded() {
        let drawn = |all: Vec<Mismatch>| mismatches(&all.iter().collect::<Vec<_>>()).into_string();
        let one = drawn((0..40).map(|_| mismatch(1)).collect());
        assert_eq!(one.matches("request 1").count(), 1, "{one}");
        assert!(one.contains(">40<") && !one.contains("<details"), "{one}");
        let many = drawn((0..100).map(mismatch).collect());
        let (open, folded) = many.split_once("<details").unwrap_or_default();
        assert_eq!(open.matches("request ").count(), MISMATCHES_SHOWN, "{open}");
        assert!(folded.contains("92 more differences"), "{folded}");
        assert!(folded.contains("32 more in the record"), "{folded}");
    }

    fn statistic(observed: f64) -> Statistic {
        Statistic {
            test: "t".to_owned(),
            of: "ratio".to_owned(),
            n: 9,
            observed,
            interval: None,
            null: "at least 1".to_owned(),
            alpha: 0.001,
            power: 0.99,
            power_against: "0.5".to_owned(),
            accepted: (1.0, f64::INFINITY),
            p_value: 0.5,
        }
    }

    #[test]
    fn a_range_without_end_reaches_the_end_of_its_scale() {
        let svg = range(&statistic(3.0)).into_string();
        assert!(
            svg.contains("range pass") && !svg.contains("inf") && !svg.contains("NaN"),
            "{svg}"
        );
        assert!(range(&statistic(0.5)).into_string().contains("range fail"));
    }

    #[test]
    fn a_failed_statistic_is_shown_once_and_those_that_hold_are_folded() {
        let mut findings = Findings::default();
        findings.add_statistic(statistic(0.5));
        findings.add_statistic(statistic(2.0));
        findings.add(Err(mismatch(1)));
        let outcome = findings.outcome("");
        assert_eq!(outcome.mismatches.len(), 2);
        let others = without_statistics(&outcome.mismatches, &outcome.statistics);
        assert_eq!(others, [&mismatch(1)]);
        let table = super::statistics(&outcome.statistics).into_string();
        let (open, folded) = table.split_once("<details").unwrap_or_default();
        assert!(
            open.contains("0.5000") && !open.contains("2.0000"),
            "{table}"
        );
        assert!(
            folded.contains("1 more statistics") && folded.contains("2.0000"),
            "{table}"
        );
    }
}
