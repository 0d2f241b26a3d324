//! How fast: requests, tokens and times of each class and stage, their distributions, and all percentiles with intervals.

use maud::{Markup, html};

use super::super::super::clipped;
use super::super::super::terminal::load::{few, reasons_first};
use super::super::chart::{Chart, Line, Range};
use super::super::number::{Unit, count, figure, percent};
use super::super::part::wide;
use poolproof_model::workload::Series;
use poolproof_records::load::{Group, Record, Times};

/// The percentiles of the table, by series.
const COLUMNS: [(Series, &str, &[f64]); 4] = [
    (Series::Ttft, "TTFT", &[50.0, 95.0, 99.0]),
    (Series::Ttfa, "TTFA", &[50.0, 95.0, 99.0]),
    (Series::Tpot, "TPOT", &[50.0, 95.0, 99.0]),
    (Series::E2e, "E2E", &[50.0, 95.0, 99.0]),
];

/// The table of groups, distributions, and all percentiles.
pub(super) fn body(record: &Record) -> Markup {
    let charts: Vec<Markup> = distributions(record)
        .iter()
        .filter_map(Chart::draw)
        .collect();
    let few: Vec<String> = record.classes.iter().filter_map(few).collect();
    html! {
        (table(record))
        p.note {
            "Times count from when a request was due. A failed request is later than any answer: “never”. "
            "A dash: too few requests (p50 needs 20, p95 200, p99 1,000)."
            @if reasons_first(record) { " TTFA: the time to the first token that is no reasoning." }
        }
        @for line in &few { p.note { "In ms, of few requests: " bdi { (line.trim_end()) } } }
        @if !charts.is_empty() { div.charts { @for chart in &charts { (chart) } } }
        (percentiles(record))
    }
}

fn table(record: &Record) -> Markup {
    let total = (record.classes.len() > 1).then_some(&record.total);
    let adapters = record.adapters.iter().map(|adapter| &adapter.group);
    let groups = record
        .classes
        .iter()
        .chain(total)
        .chain(adapters)
        .chain(&record.stages);
    let groups: Vec<&Group> = groups.collect();
    let has = |series: &Series| {
        groups
            .iter()
            .any(|group| group.times.contains_key(series.name()))
    };
    let columns: Vec<_> = COLUMNS
        .iter()
        .filter(|(series, ..)| has(series))
        .map(|(series, name, percentiles)| {
            let all = groups.iter().flat_map(|group| {
                let ms = |percentile: &f64| group.percentile_ms(*series, *percentile).flatten();
                percentiles.iter().filter_map(ms)
            });
            (*series, *name, *percentiles, Unit::of(all))
        })
        .collect();
    wide(
        "Requests, tokens and times by class",
        html! {
            table {
                thead {
                    tr {
                        th.text rowspan="2" { "class" } th colspan="2" { "requests" } th colspan="3" { "throughput" }
                        @for (_, name, percentiles, unit) in &columns {
                            th.first colspan=(percentiles.len()) { (name) ", " (unit.symbol()) }
                        }
                    }
                    tr {
                        th { "all" } th { "failed" } th { "req/s" } th { "tokens/s" } th { "goodput" }
                        @for (_, _, percentiles, _) in &columns {
                            @for (number, percentile) in percentiles.iter().enumerate() {
                                th class=[(number == 0).then_some("first")] { "p" (percentile) }
                            }
                        }
                    }
                }
                tbody {
                    @for group in &groups {
                        tr class=[total.is_some_and(|total| std::ptr::eq(*group, total)).then_some("sum")] {
                            th scope="row" { bdi { (clipped(&group.name)) } }
                            td { (count(group.requests)) }
                            td class=[(group.failures() > 0).then_some("bad")] { (count(group.failures())) }
                            td { (figure(group.answered_per_s)) }
                            td { (figure(group.output_tokens_per_s)) }
                            td { (percent(group.goodput)) }
                            @for (series, _, percentiles, unit) in &columns {
                                @for (number, percentile) in percentiles.iter().enumerate() {
                                    (cell(group, *series, *percentile, *unit, number == 0))
                                }
                            }
                        }
                    }
                }
            }
        },
    )
}

/// A percentile; its interval is shown while the pointer is over it.
pub(in super::super) fn cell(
    group: &Group,
    series: Series,
    percentile: f64,
    unit: Unit,
    first: bool,
) -> Markup {
    let known = group.times.get(series.name()).and_then(|times| {
        let mut all = times.percentiles.iter();
        all.find(|known| known.percentile == percentile)
    });
    let never = known.is_some_and(|known| known.ms.is_none());
    let title = known.map(|known| {
        let (low, high) = known.interval_ms;
        let show = |ms: Option<f64>| unit.show(ms.unwrap_or(f64::INFINITY));
        format!("95 %: {} to {} {}", show(low), show(high), unit.symbol())
    });
    let class = match (first, never) {
        (true, true) => "first bad",
        (true, false) => "first",
        (false, true) => "bad",
        (false, false) => "",
    };
    html! {
        td class=[(!class.is_empty()).then_some(class)] title=[title] {
            @match known {
                Some(known) => (unit.show(known.ms.unwrap_or(f64::INFINITY))),
                None => "-",
            }
        }
    }
}

/// Distributions of each class. Failures are part of the sample, so that a line ends below 100 % if some failed.
fn distributions(record: &Record) -> Vec<Chart> {
    let of = |(series, name): (Series, &str)| {
        let lines = record
            .classes
            .iter()
            .enumerate()
            .filter_map(|(number, group)| {
                let times = group.times.get(series.name())?;
                Some(Line::new(
                    &group.name,
                    number,
                    distribution(times, series, group.failures()),
                ))
            });
        let lines: Vec<Line> = lines.collect();
        let mut chart = Chart::lines(format!("{name} by class"), ("ms", "% at or below"), lines);
        chart.ranges.0 = Range::Decades;
        // What is missing up to 100 % has failed.
        chart.reach.1 = vec![0.0, 100.0];
        let limits = record
            .slos
            .iter()
            .filter(|slo| slo.slo.metric.series() == Some(series));
        chart.marks = limits
            .filter_map(|slo| Some((slo.slo.to_string(), slo.slo.at_most_ms?)))
            .collect();
        chart
    };
    let charts = [
        (Series::Ttft, "Time to first token"),
        (Series::ItlChunk, "Gaps between frames"),
        (Series::E2e, "End to end"),
    ];
    charts.map(of).into()
}

/// Most points of a distribution.
const POINTS_MAX: u64 = 160;

fn distribution(times: &Times, series: Series, failed: u64) -> Vec<(f64, f64)> {
    // Failures have no gaps between frames.
    let failed = if series.is_per_answer() { failed } else { 0 };
    let n = (times.n + failed).max(1) as f64;
    let mut below = 0;
    let (mut points, mut shown) = (Vec::new(), 0);
    let last = times.histogram_us.len().saturating_sub(1);
    for (place, (us, number)) in times.histogram_us.iter().enumerate() {
        below += number;
        // Points are even in rank, so that the tail keeps its shape on a scale of decades.
        if place == 0 || place == last || (below - shown) * POINTS_MAX >= times.n {
            points.push((*us as f64 / 1000.0, 100.0 * below as f64 / n));
            shown = below;
        }
    }
    // A decade has no place for 0.
    points.retain(|(ms, _)| *ms > 0.0);
    points
}

/// All percentiles of all times of each class, with their intervals, folded.
fn percentiles(record: &Record) -> Markup {
    let rows = record.classes.iter().flat_map(|group| {
        let times = group.times.iter();
        times.map(move |(name, times)| (group, name, times))
    });
    let rows: Vec<(&Group, &String, &Times)> = rows.collect();
    let mut heads: Vec<f64> = Vec::new();
    for (.., times) in &rows {
        heads.extend(times.percentiles.iter().map(|known| known.percentile));
    }
    heads.sort_by(f64::total_cmp);
    heads.dedup();
    html! {
        @if !rows.is_empty() {
            details.unfold {
                summary { "All percentiles with their 95 % intervals, in ms" }
                (wide("All percentiles", html! {
                    table {
                        thead {
                            tr {
                                th.text { "time" } th.text { "class" } th { "sample" } th { "mean" } th { "least" }
                                @for percentile in &heads { th { "p" (percentile) } }
                                th { "most" }
                            }
                        }
                        tbody {
                            @for (group, name, times) in &rows {
                                tr {
                                    th scope="row" { (clipped(name)) }
                                    td.text { bdi { (clipped(&group.name)) } }
                                    td { (count(times.n)) } td { (figure(times.mean_ms)) } td { (figure(times.min_ms)) }
                                    @for percentile in &heads { (with_interval(times, *percentile)) }
                                    td { (figure(times.max_ms)) }
                                }
                            }
                        }
                    }
                }))
            }
        }
    }
}

fn with_interval(times: &Times, percentile: f64) -> Markup {
    let mut all = times.percentiles.iter();
    let known = all.find(|known| known.percentile == percentile);
    let show = |ms: Option<f64>| Unit::Ms.show(ms.unwrap_or(f64::INFINITY));
    html! {
        @match known {
            Some(known) => td { (show(known.ms)) br; span.soft { (show(known.interval_ms.0)) "–" (show(known.interval_ms.1)) } },
            None => td { "-" },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::record;
    use super::*;

    #[test]
    fn a_distribution_ends_below_all_if_requests_failed() {
        let record = record();
        let times = &record.classes[0].times["ttft"];
        let ends = |failed| {
            distribution(times, Series::Ttft, failed)
                .last()
                .map(|point| point.1)
        };
        assert_eq!(ends(0), Some(100.0));
        assert_eq!(ends(times.n), Some(50.0));
        let points = distribution(times, Series::Ttft, 0).len();
        assert!(points > 50 && points <= POINTS_MAX as usize + 2, "{points}");
        // A failed request has no gaps.
        let gaps = distribution(
            &record.classes[0].times["itl_chunk"],
            Series::ItlChunk,
            9999,
        );
        assert_eq!(gaps.last().map(|point| point.1), Some(100.0));
    }

    #[test]
    fn a_percentile_of_failures_is_marked_and_a_missing_one_is_a_dash() {
        let mut record = record();
        let group = &mut record.classes[0];
        if let Some(times) = group.times.get_mut("ttft") {
            times.percentiles.retain(|known| known.percentile < 99.0);
            for known in &mut times.percentiles {
                known.ms = None;
            }
        }
        let cell = |percentile| {
            let unit = Unit::Ms;
            cell(&record.classes[0], Series::Ttft, percentile, unit, false).into_string()
        };
        assert!(cell(95.0).contains("class=\"bad\"") && cell(95.0).contains(">never<"));
        assert!(cell(99.0).contains(">-<"));
    }

    #[test]
    fn each_limit_on_a_time_is_marked_in_its_distribution() {
        let body = body(&record()).into_string();
        assert!(body.contains("ttft p95 at most 200 ms"), "{body}");
        assert!(
            body.contains("All percentiles") && body.contains("tokens/s"),
            "{body}"
        );
    }
}
