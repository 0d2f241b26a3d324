//! A sweep of rates as a web page: the knee, the curve of throughput against latency, and every step.

use maud::{Markup, html};

use super::super::clipped;
use super::chart::{Chart, Ink, Line, Range};
use super::number::{Unit, count, duration, figure, percent, time};
use super::part::{Head, Method, Section, State, page, wide};
use poolproof_model::workload::Series;
use poolproof_records::load::sweep::{Kind, RateSweep, Step};

/// The times of the page, with their names.
const TIMES: [(Series, &str); 3] = [
    (Series::E2e, "E2E"),
    (Series::Ttft, "TTFT"),
    (Series::Tpot, "TPOT"),
];

/// The percentiles of each time.
const PERCENTILES: [f64; 3] = [50.0, 95.0, 99.0];

/// Renders the knee, charts of the curve, a table of the steps, and how they were measured.
pub fn render(record: &RateSweep) -> String {
    let conclusion = match &record.knee {
        Some(knee) => format!("knee at {} req/s", figure(knee.rate_per_s)),
        None => "no knee is shown".to_owned(),
    };
    let is_decided = record.knee.is_some() && !record.interrupted && !record.is_doubtful();
    let name = format!("Sweep of {}", record.name);
    let head = Head {
        name: &name,
        stack: &record.stack,
        state: if is_decided {
            State::Pass
        } else {
            State::Undecided
        },
        conclusion,
        more: html! {
            // The figures below state a knee that is sure.
            @if !is_decided { p { bdi { (clipped(&record.conclusion())) } "." } }
            @if let Some(reason) = &record.ended_early { p { "Higher rates were left out: " bdi { (clipped(reason)) } "." } }
            @if let Some(flaw) = &record.flaw { p { "A flaw was switched on deliberately: " bdi { (clipped(flaw)) } } }
            (tiles(record))
        },
    };
    let method = Method {
        started: record.started,
        workload: &record.workload,
        own: vec![
            ("knee", record.method.clone()),
            (
                "timeout",
                format!("{}, after the idle step", duration(record.timeout_s)),
            ),
        ],
        tool_version: &record.tool_version,
        seed: record.seed,
        environment: Some(&record.environment),
        components: &record.components,
    };
    let sections = vec![
        Section::new("curve", "Load against latency", charts(record)),
        Section::new("steps", "Steps", steps(record)),
        Section::new("method", "How it was measured", method.facts()),
    ];
    page(&head, sections)
}

fn tiles(record: &RateSweep) -> Markup {
    let idle = record.steps.iter().find(|step| step.kind == Kind::Idle);
    html! {
        dl.tiles {
            @if let Some(knee) = &record.knee {
                @let (low, high) = knee.interval_per_s;
                div {
                    dt { "Knee" }
                    dd.big { (figure(knee.rate_per_s)) " " span { "req/s" } }
                    dd.small { "between " (figure(low)) " and " @match high { Some(high) => (figure(high)), None => "no measured rate" } }
                }
                div {
                    dt { "Tokens at the knee" }
                    dd.big { (figure(knee.output_tokens_per_s)) " " span { "tokens/s" } }
                    dd.small { (figure(knee.answered_per_s)) " answers/s" }
                }
                div {
                    dt { "E2E p" (knee.percentile) " at the knee" }
                    dd.big { (time(knee.e2e_ms)) }
                }
            }
            @if let Some(most) = record.most_per_s() {
                div {
                    dt { "Most at any load" }
                    dd.big { (figure(most)) " " span { "answers/s" } }
                }
            }
            @if let Some(idle) = idle {
                @for (series, name) in TIMES {
                    @if let Some(Some(ms)) = idle.percentile_ms(series, 50.0) {
                        div {
                            dt { (name) " idle" }
                            dd.big { (time(ms)) }
                            dd.small { "p50, one request at a time" }
                        }
                    }
                }
            }
        }
    }
}

/// The charts, all but the first by the rate that was due.
fn charts(record: &RateSweep) -> Markup {
    let curve: Vec<&Step> = record.curve();
    let of_rate = |name: &str, number, value: &dyn Fn(&Step) -> f64| {
        let points = curve
            .iter()
            .filter_map(|step| Some((step.offered_per_s?, value(step))));
        Line::new(name, number, points.collect())
    };
    let by_rate = |title: &str, unit: &str, lines: Vec<Line>| {
        let mut chart = Chart::lines(title, ("requests per second due", unit), lines);
        chart.ranges.1 = Range::FromZero;
        marked(record, chart)
    };
    let mut all = vec![against_throughput(&curve)];
    for (series, name) in TIMES {
        let value = |step: &Step, percentile| ms(step, series, percentile);
        let steps = curve.iter().filter(|step| step.offered_per_s.is_some());
        let every = steps.flat_map(|step| PERCENTILES.map(|percentile| value(step, percentile)));
        let unit = Unit::of(every);
        let lines = PERCENTILES
            .into_iter()
            .enumerate()
            .map(|(number, percentile)| {
                let scaled = |step: &Step| unit.scaled(value(step, percentile));
                of_rate(&format!("p{percentile}"), number, &scaled)
            });
        let mut chart = by_rate(name, unit.symbol(), lines.collect());
        chart.ranges.1 = Range::DecadesFromZero;
        all.push(chart);
    }
    let due = of_rate("due", 1, &|step| step.offered_per_s.unwrap_or(f64::NAN));
    let answered = of_rate("answered", 0, &|step| step.answered_per_s);
    all.push(by_rate("Answers", "per second", vec![due, answered]));
    let tokens = of_rate("response tokens", 0, &|step| step.output_tokens_per_s);
    all.push(by_rate("Response tokens", "per second", vec![tokens]));
    let in_flight = of_rate("in flight", 0, &|step| step.in_flight);
    all.push(by_rate(
        "In flight",
        "requests, mean of the step",
        vec![in_flight],
    ));
    if curve.iter().any(|step| step.failed_share() > 0.0) {
        let mut failed = of_rate("failed", 0, &|step| 100.0 * step.failed_share());
        failed.ink = Ink::Fail;
        all.push(by_rate("Failed", "%", vec![failed]));
    }
    let drawn: Vec<Markup> = all.iter().filter_map(Chart::draw).collect();
    html! {
        @if !drawn.is_empty() {
            div.charts { @for chart in &drawn { (chart) } }
            p.note { "A dashed line: the knee. Shaded: the rates between which it lies. A red triangle: the percentile is a failure, later than any answer." }
        }
    }
}

/// A percentile in milliseconds: infinite for a failure, not a number if the sample is too small.
fn ms(step: &Step, series: Series, percentile: f64) -> f64 {
    let known = step.percentile_ms(series, percentile);
    known.map_or(f64::NAN, |ms| ms.unwrap_or(f64::INFINITY))
}

/// The knee and its interval on the axis of rates.
fn marked(record: &RateSweep, mut chart: Chart) -> Chart {
    if let Some(knee) = &record.knee {
        let rates = record.steps.iter().filter_map(|step| step.offered_per_s);
        let highest = rates.fold(knee.rate_per_s, f64::max);
        let (low, high) = knee.interval_per_s;
        chart.marks.push((
            format!("knee: {} req/s", figure(knee.rate_per_s)),
            knee.rate_per_s,
        ));
        chart.spans.push((
            "interval of the knee".to_owned(),
            low,
            high.unwrap_or(highest),
        ));
        chart.explained = true;
    }
    chart
}

/// E2E against the answers per second that came. Beyond saturation the line turns upwards, and back.
fn against_throughput(curve: &[&Step]) -> Chart {
    let all = || {
        curve
            .iter()
            .flat_map(|step| [50.0, 95.0].map(|p| ms(step, Series::E2e, p)))
    };
    let unit = Unit::of(all());
    let line = |name: &str, number, percentile| {
        let points = curve.iter().map(|step| {
            (
                step.answered_per_s,
                unit.scaled(ms(step, Series::E2e, percentile)),
            )
        });
        Line::new(name, number, points.collect())
    };
    let lines = vec![line("E2E p50", 0, 50.0), line("E2E p95", 1, 95.0)];
    let axes = ("answers per second", unit.symbol());
    let mut chart = Chart::lines("E2E against throughput", axes, lines.clone());
    chart.ranges.1 = Range::DecadesFromZero;
    chart.hovers = false;
    chart.dots = lines;
    for dots in &mut chart.dots {
        dots.points.retain(|(_, ms)| ms.is_finite());
    }
    chart
}

fn steps(record: &RateSweep) -> Markup {
    let mut all: Vec<&Step> = record
        .steps
        .iter()
        .filter(|step| step.kind == Kind::Capacity)
        .collect();
    all.extend(record.curve());
    let doubtful = record.is_doubtful();
    let unit = |series: Series| {
        let values = all
            .iter()
            .flat_map(|step| PERCENTILES.map(|p| ms(step, series, p)));
        Unit::of(values)
    };
    let columns = [
        (Series::Ttft, "TTFT"),
        (Series::Tpot, "TPOT"),
        (Series::E2e, "E2E"),
    ];
    let columns = columns.map(|(series, name)| (series, name, unit(series)));
    html! {
        (wide("Steps", html! {
            table {
                thead {
                    tr {
                        th.text rowspan="2" { "load" } th.text rowspan="2" { "step" } th rowspan="2" { "length" } th colspan="2" { "requests" }
                        th colspan="2" { "throughput" } th colspan="2" { "in flight" }
                        @for (_, name, unit) in &columns { th.first colspan="3" { (name) ", " (unit.symbol()) } }
                        @if doubtful { th.text rowspan="2" { "not to be trusted" } }
                    }
                    tr {
                        th { "all" } th { "failed" } th { "answers/s" } th { "tokens/s" } th { "mean" } th { "most" }
                        @for _ in &columns { th.first { "p50" } th { "p95" } th { "p99" } }
                    }
                }
                tbody {
                    @for step in &all {
                        tr {
                            th scope="row" { span.whole { (step.load_in_words()) } }
                            td.text { (step.kind) }
                            td { (duration(step.window_s)) }
                            td { (count(step.requests.requests)) }
                            td class=[(step.requests.failures() > 0).then_some("bad")] { (percent(step.failed_share())) }
                            td class=[step.falls_behind().then_some("bad")] { (figure(step.answered_per_s)) }
                            td { (figure(step.output_tokens_per_s)) }
                            td { (figure(step.in_flight)) }
                            td { (count(step.in_flight_max)) }
                            @for (series, _, unit) in &columns {
                                @for (number, percentile) in PERCENTILES.into_iter().enumerate() {
                                    (super::load::cell(&step.requests, *series, percentile, *unit, number == 0))
                                }
                            }
                            @if doubtful { td.text.long { bdi { (clipped(&step.doubts.join("; "))) } } }
                        }
                    }
                }
            }
        }))
        p.note { "A failed request is later than any answer: “never”. A dash: too few requests. Red answers/s: fewer than nine in ten of the requests that were due." }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use poolproof_records::samples::rate_sweep;

    #[test]
    fn the_knee_stands_first_with_its_interval_and_is_marked_in_the_charts() {
        let mut record = rate_sweep();
        record.name = "<u>w".to_owned();
        record.ended_early = Some("<b>far beyond".to_owned());
        let page = render(&record);
        let (top, rest) = page.split_once("<nav").unwrap_or_default();
        assert!(
            top.contains("Knee at 80.0 req/s") && top.contains("between 50.0 and 100"),
            "{top}"
        );
        assert!(rest.matches("class=\"mark-x\"").count() >= 6, "{rest}");
        assert!(
            rest.contains("class=\"never\"") && rest.contains("130.00 req/s"),
            "{rest}"
        );
        assert!(!page.contains("<u>") && !page.contains("<b>"), "{page}");
    }

    #[test]
    fn a_sweep_that_cannot_be_trusted_is_not_decided() {
        let mut record = rate_sweep();
        record.steps[3].doubts.push("<i>busy".to_owned());
        let page = render(&record);
        assert!(page.contains("header class=\"undecided\""), "{page}");
        assert!(
            page.contains("&lt;i&gt;busy") && page.contains("not to be trusted"),
            "{page}"
        );
        record.steps.clear();
        record.knee = None;
        assert!(render(&record).contains("No knee is shown"));
    }
}
