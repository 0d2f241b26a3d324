//! The head of the page of a load run: the verdict with its reason, and the figures that everybody asks for.

use maud::{Markup, html};

use super::super::super::{clipped, conclusion_of_load};
use super::super::number::{count, figure, percent, time};
use super::super::part::{Head, State};
use poolproof_model::verdict::Verdict;
use poolproof_model::workload::Series;
use poolproof_records::load::{Conclusion, Judged, Record, Times};

/// Most missed objectives that the head names.
const MISSED_SHOWN: usize = 4;

/// The share of failed requests from which the head names the commonest failure.
const FAILED_SHOWN: f64 = 0.01;

/// Most characters of a server's text in the head.
const TEXT_SHOWN: usize = 200;

/// The head.
pub(super) fn head(record: &Record) -> Head<'_> {
    let state = match record.conclusion() {
        Conclusion::Met => State::Pass,
        Conclusion::Missed => State::Fail,
        Conclusion::Undecided | Conclusion::Interrupted => State::Undecided,
    };
    Head {
        name: &record.name,
        stack: &record.stack,
        state,
        conclusion: conclusion_of_load(record).to_owned(),
        more: html! {
            (reasons(record))
            (tiles(record))
            p.soft { bdi { (clipped(record.workload.shows.trim())) } }
        },
    }
}

/// Why the conclusion is not a good one.
fn reasons(record: &Record) -> Markup {
    let of = |verdict| record.slos.iter().filter(move |slo| slo.verdict == verdict);
    let missed = of(Verdict::Fail);
    let more = missed.clone().count().saturating_sub(MISSED_SHOWN);
    let undecided = of(Verdict::Inconclusive);
    html! {
        ul {
            @for doubt in &record.doubts { li { "Not to be trusted: " bdi { (clipped(doubt)) } } }
            @if record.saturated {
                li { "Requests piled up for ten seconds: the servers are saturated. " (count(record.client.unfinished)) " requests were in flight at the end." }
            }
            @if failed_share(record) >= FAILED_SHOWN { (commonest_failure(record)) }
            @if !record.every_request_failed() {
                @for slo in missed.take(MISSED_SHOWN) { li { bdi { (clipped(&slo.slo.to_string())) } ": " (measured(slo)) } }
                @if more > 0 { li { (more) " more objectives were missed." } }
            }
            @for slo in undecided {
                li {
                    "Not decided: " bdi { (clipped(&slo.slo.to_string())) }
                    @if slo.n == 0 { "; nothing was measured" } @else { "; a longer run decides" }
                }
            }
            @if let Some(flaw) = &record.flaw { li { "A flaw was switched on deliberately: " bdi { (clipped(flaw)) } } }
        }
    }
}

/// What was measured for an objective.
pub(super) fn measured(slo: &Judged) -> String {
    let share = format!("{} {}", percent(slo.share), slo.share_of());
    match slo.ms {
        Some(ms) => format!("{} ({share})", time(ms.unwrap_or(f64::INFINITY))),
        None => share,
    }
}

fn failed_share(record: &Record) -> f64 {
    record.total.failures() as f64 / record.total.requests.max(1) as f64
}

fn commonest_failure(record: &Record) -> Markup {
    let Some((kind, number)) = record
        .total
        .failed
        .iter()
        .max_by_key(|(_, number)| **number)
    else {
        return html! {};
    };
    let example = record.examples.iter().find(|example| example.kind == *kind);
    html! {
        li {
            (count(*number)) " of " (count(record.total.requests)) " requests: " bdi { (clipped(kind)) }
            @if let Some(example) = example {
                ", " code { bdi { (clipped(&example.detail).chars().take(TEXT_SHOWN).collect::<String>()) } }
            }
        }
    }
}

fn tiles(record: &Record) -> Markup {
    let total = &record.total;
    let failed = total.failures();
    html! {
        dl.tiles {
            div {
                dt { "Answered" }
                dd.big { (count(total.answered)) }
                dd.small { "of " (count(total.requests)) " requests in " (super::super::number::duration(record.window_s)) }
            }
            div class=[(failed > 0).then_some("fail")] {
                dt { "Failed" }
                dd.big { (count(failed)) }
                dd.small { (percent(failed_share(record))) }
            }
            div {
                dt { "Throughput" }
                dd.big { (figure(total.answered_per_s)) " " span { "req/s" } }
                dd.small { (figure(total.output_tokens_per_s)) " tokens/s" }
            }
            div {
                dt { "Goodput" }
                dd.big { (percent(total.goodput)) }
                dd.small { "met every time limit" }
            }
            @for (series, name) in [(Series::Ttft, "TTFT"), (Series::Ttfa, "TTFA"), (Series::Tpot, "TPOT"), (Series::E2e, "E2E")] {
                @if let Some(times) = total.times.get(series.name()) { (times_tile(name, times)) }
            }
        }
    }
}

/// The highest percentile up to p95 that the sample supports, and others beside it. Without any: the mean.
fn times_tile(name: &str, times: &Times) -> Markup {
    let known = |percentile: f64| {
        let ms = times.percentile_ms(percentile)?;
        Some((percentile, ms.unwrap_or(f64::INFINITY)))
    };
    let main = [95.0, 90.0, 50.0].into_iter().find_map(known);
    let others = [50.0, 99.0].into_iter().filter_map(known);
    let others = others.filter(|(percentile, _)| main.is_some_and(|main| main.0 != *percentile));
    let others: Vec<String> = others
        .map(|(percentile, ms)| format!("p{percentile} {}", time(ms)))
        .collect();
    html! {
        div {
            @match main {
                Some((percentile, ms)) => {
                    dt { (name) " p" (percentile) }
                    dd.big { (time(ms)) }
                    dd.small { @for other in &others { span.whole { (other) } " " } }
                }
                None => {
                    dt { (name) " mean" }
                    dd.big { (time(times.mean_ms)) }
                    dd.small { "of " (count(times.n)) ": too few for percentiles" }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::render;
    use super::super::tests::record;
    use super::*;
    use poolproof_records::load::Example;

    #[test]
    fn a_run_without_an_answer_shows_the_text_of_the_server_at_the_top() {
        let mut record = record();
        for group in record.classes.iter_mut().chain([&mut record.total]) {
            (group.answered, group.failed) =
                (0, [("status-503".to_owned(), group.requests)].into());
        }
        record.examples = vec![Example {
            kind: "status-503".to_owned(),
            request: 1,
            detail: "no healthy <upstream>".to_owned(),
        }];
        let page = render(&record);
        let (top, _) = page.split_once("<nav").unwrap_or_default();
        assert!(top.contains("Every request failed"), "{top}");
        assert!(
            top.contains("2,215 of 2,215 requests") && top.contains("no healthy &lt;upstream&gt;")
        );
    }

    #[test]
    fn a_missed_objective_is_named_with_its_value_at_the_top() {
        let mut record = record();
        let slo = &mut record.slos[0];
        (slo.verdict, slo.ms, slo.share) = (Verdict::Fail, Some(None), 0.25);
        let page = render(&record);
        let (top, _) = page.split_once("<nav").unwrap_or_default();
        assert!(top.contains("header class=\"fail\""), "{top}");
        assert!(top.contains("never (25 % beyond it)"), "{top}");
    }

    #[test]
    fn a_small_sample_shows_its_mean_and_names_it() {
        let mut times = record().total.times["ttft"].clone();
        times.percentiles.clear();
        let tile = times_tile("TTFT", &times).into_string();
        assert!(
            tile.contains("TTFT mean") && tile.contains("5.54 ms"),
            "{tile}"
        );
    }
}
