//! The objectives of a load run: what was required, what was measured, and how sure that is.

use maud::{Markup, html};

use super::super::super::clipped;
use super::super::number::{count, percent};
use super::super::part::{verdict, wide};
use super::verdict::measured;
use poolproof_model::verdict::Verdict;
use poolproof_model::workload::slo::Metric;
use poolproof_records::load::{Judged, Record};

/// The table of the objectives, missed ones first.
pub(super) fn body(record: &Record) -> Markup {
    let mut slos: Vec<&Judged> = record.slos.iter().collect();
    slos.sort_by_key(|slo| match slo.verdict {
        Verdict::Fail => 0,
        Verdict::Pass => 2,
        _ => 1,
    });
    html! {
        @if !slos.is_empty() {
            (wide("Objectives", html! {
                table.stack.dense {
                    thead {
                        tr {
                            th.text { "verdict" } th.text { "objective" } th.text { "measured" }
                            th { "95 % interval of the share" } th { "limit" } th { "" } th { "sample" }
                        }
                    }
                    tbody { @for slo in slos { (row(slo)) } }
                }
            }))
            p.note { "The share is that of requests beyond a time limit, of failed requests, or of good ones. An objective is met or missed if its limit lies outside the interval." }
        }
    }
}

fn row(slo: &Judged) -> Markup {
    let (low, high) = slo.share_interval;
    html! {
        tr {
            td.text { (verdict(&slo.verdict.to_string())) }
            td.text data-label="objective" { bdi { (clipped(&slo.slo.to_string())) } }
            td.text data-label="measured" {
                @if slo.n == 0 { "nothing was measured" } @else { (measured(slo)) }
                @if slo.verdict == Verdict::Inconclusive && slo.n > 0 { "; a longer run decides" }
            }
            td data-label="95 % interval of the share" { (percent(low)) " to " (percent(high)) }
            td data-label="limit" { @if slo.slo.metric == Metric::GOODPUT { "≥ " } @else { "≤ " } (percent(slo.share_limit)) }
            td { (range(slo)) }
            td data-label="sample" { (count(slo.n)) " " (slo.unit()) }
        }
    }
}

/// The interval and the limit on one scale. It ends at twice the limit, or at the interval if that reaches further.
fn range(slo: &Judged) -> Markup {
    let (low, high) = slo.share_interval;
    // A goodput near 1 would leave no room: its scale counts from 1 downwards.
    let (low, high, share, limit) = if slo.slo.metric == Metric::GOODPUT {
        (
            1.0 - high,
            1.0 - low,
            1.0 - slo.share,
            1.0 - slo.share_limit,
        )
    } else {
        (low, high, slo.share, slo.share_limit)
    };
    let end = (2.0 * limit).max(high * 1.05).max(f64::MIN_POSITIVE);
    let at = |share: f64| format!("{:.1}", 2.0 + 116.0 * (share / end).clamp(0.0, 1.0));
    let width = format!("{:.1}", (116.0 * (high - low) / end).clamp(1.0, 116.0));
    html! {
        svg viewBox="0 0 120 14" role="img" aria-label="interval and limit" class={ "range " (super::super::part::class(&slo.verdict.to_string())) } {
            path.axis stroke="currentColor" stroke-opacity="0.25" d="M2 7H118" {}
            rect.fill x=(at(low)) y="4.5" width=(width) height="5" opacity="0.45" {}
            path.line d={ "M" (at(share)) " 3V11" } {}
            path.mark-x d={ "M" (at(limit)) " 0V14" } { title { "limit " (percent(slo.share_limit)) } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::record;
    use super::*;

    #[test]
    fn missed_objectives_come_first_and_intervals_stay_on_their_scale() {
        let mut record = record();
        let last = record.slos.len() - 1;
        record.slos[last].verdict = Verdict::Fail;
        record.slos[last].share_interval = (0.9, 1.0);
        let body = body(&record).into_string();
        let missed = body.find("verdict fail").unwrap_or(usize::MAX);
        assert!(missed < body.find("verdict pass").unwrap_or(0), "{body}");
        assert!(body.contains("90 % to 100 %"), "{body}");
        record.slos.clear();
        assert!(super::body(&record).0.is_empty());
    }
}
