//! A load run over time, as the client saw it. All charts have the same time axis.

use maud::{Markup, html};

use super::super::chart::{Area, Chart, Ink, Line, Range};
use super::super::number::{Unit, duration};
use super::servers;
use poolproof_model::workload::{Arrival, Series};
use poolproof_records::load::Record;
use poolproof_records::load::over_time::{OverTime, Window, WindowTimes};

/// The part of a window's usual length below which its rates are not drawn: they would come from too little time.
const LENGTH_MIN: f64 = 0.25;

/// Most kinds of failures with lines of their own.
const KINDS_SHOWN: usize = 5;

/// The charts. Nothing for records without windows.
pub(super) fn body(record: &Record) -> Markup {
    let Some(over_time) = record
        .over_time
        .as_ref()
        .filter(|over_time| over_time.windows.len() > 1)
    else {
        return html! {};
    };
    let axis = Axis::new(record, over_time);
    let mut client = vec![
        requests(over_time),
        failures(over_time),
        tokens(over_time),
        in_flight(over_time),
    ];
    client.extend(
        [
            (Series::Ttft, "TTFT"),
            (Series::Ttfa, "TTFA"),
            (Series::Tpot, "TPOT"),
            (Series::E2e, "E2E"),
        ]
        .map(|(series, name)| times(over_time, series, name)),
    );
    let drawn = client.into_iter().filter_map(|chart| axis.on(chart).draw());
    let drawn: Vec<Markup> = drawn.collect();
    html! {
        div.charts { @for chart in &drawn { (chart) } }
        p.note {
            "Windows of " (duration(over_time.window_s)) ", from the first request to the end of the last one. "
            "A red triangle: the percentile is a failure, later than any answer."
            (axis.explained())
        }
        (servers::body(over_time, &axis))
    }
}

/// What all charts have in common: the range of the time axis, the warm-up, and where stages begin.
pub(super) struct Axis {
    end_s: f64,
    warm_up_s: f64,
    stages: Vec<(String, f64)>,
}

impl Axis {
    fn new(record: &Record, over_time: &OverTime) -> Self {
        let last = over_time.windows.last();
        let mut begin_s = 0.0;
        let mut stages = Vec::new();
        if let Arrival::Stages { stages: all } = &record.workload.arrival {
            for (number, stage) in all.iter().enumerate() {
                if number > 0 {
                    let name = record.workload.arrival.stage_name(number);
                    stages.push((format!("{name}: {} req/s", stage.rate_per_s), begin_s));
                }
                begin_s += stage.duration_s;
            }
        }
        Self {
            end_s: last.map_or(0.0, |window| window.at_s + window.length_s),
            warm_up_s: record.workload.warm_up_s,
            stages,
        }
    }

    fn warms_up(&self) -> bool {
        self.warm_up_s > 0.0 && self.warm_up_s < self.end_s
    }

    /// The marks on the axis in words, once for all charts.
    fn explained(&self) -> Markup {
        html! {
            @if self.warms_up() { " Shaded: the warm-up of " (duration(self.warm_up_s)) ", which is not counted." }
            @if !self.stages.is_empty() {
                " A dashed line: a stage begins ("
                @for (number, (name, begin_s)) in self.stages.iter().enumerate() {
                    @if number > 0 { "; " } (name) " at " (duration(*begin_s))
                }
                ")."
            }
        }
    }

    /// The chart on this axis.
    pub(super) fn on(&self, mut chart: Chart) -> Chart {
        chart.ranges.0 = Range::Exact;
        chart.reach.0 = vec![0.0, self.end_s];
        if chart.ranges.1 == Range::Round {
            chart.ranges.1 = Range::FromZero;
        }
        if self.warms_up() {
            chart
                .spans
                .push(("warm-up, not counted".to_owned(), 0.0, self.warm_up_s));
        }
        chart.marks.clone_from(&self.stages);
        chart.explained = true;
        chart
    }
}

/// A line of one value per window, at its middle.
fn line(over_time: &OverTime, name: &str, ink: Ink, value: impl Fn(&Window) -> f64) -> Line {
    let windows = over_time.windows.iter();
    Line {
        name: name.to_owned(),
        ink,
        points: windows
            .map(|window| (middle_s(window), value(window)))
            .collect(),
    }
}

/// The middle of a window, in seconds.
pub(super) fn middle_s(window: &Window) -> f64 {
    window.at_s + window.length_s / 2.0
}

/// A rate of a window; not a number for a window that is too short for one.
fn rate(over_time: &OverTime, window: &Window, number: u64) -> f64 {
    if window.length_s < LENGTH_MIN * over_time.window_s {
        f64::NAN
    } else {
        window.per_s(number)
    }
}

fn requests(over_time: &OverTime) -> Chart {
    let per_s = |window: &Window, number| rate(over_time, window, number);
    let mut lines = vec![
        line(over_time, "started", Ink::Series(1), |window| {
            per_s(window, window.started)
        }),
        line(over_time, "answered", Ink::Series(0), |window| {
            per_s(window, window.answered)
        }),
    ];
    if over_time.windows.iter().any(|window| window.failures() > 0) {
        lines.push(line(over_time, "failed", Ink::Fail, |window| {
            per_s(window, window.failures())
        }));
    }
    Chart::lines("Requests", ("seconds", "per second"), lines)
}

/// Failures by kind, if there is more than one kind: their sum is in the chart of requests.
fn failures(over_time: &OverTime) -> Chart {
    let mut kinds: Vec<(&String, u64)> = Vec::new();
    for (kind, number) in over_time.windows.iter().flat_map(|window| &window.failed) {
        match kinds.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, all)) => *all += number,
            None => kinds.push((kind, *number)),
        }
    }
    kinds.sort_by_key(|(_, number)| std::cmp::Reverse(*number));
    let single = kinds.len() < 2;
    let lines = kinds
        .iter()
        .take(KINDS_SHOWN)
        .filter(|_| !single)
        .enumerate();
    let lines = lines.map(|(number, (kind, _))| {
        let of = |window: &Window| window.failed.get(*kind).copied().unwrap_or(0);
        line(over_time, kind, Ink::Series(number), |window| {
            rate(over_time, window, of(window))
        })
    });
    let title = if kinds.len() > KINDS_SHOWN {
        "Failures, the most frequent kinds"
    } else {
        "Failures by kind"
    };
    Chart::lines(title, ("seconds", "per second"), lines.collect())
}

fn tokens(over_time: &OverTime) -> Chart {
    let per_s = |window: &Window| rate(over_time, window, window.output_tokens);
    let lines = vec![line(over_time, "response tokens", Ink::Series(0), per_s)];
    Chart::lines("Response tokens", ("seconds", "per second"), lines)
}

fn in_flight(over_time: &OverTime) -> Chart {
    let lines = vec![line(over_time, "in flight", Ink::Series(0), |window| {
        window.in_flight
    })];
    Chart::lines(
        "In flight",
        ("seconds", "requests, mean of the window"),
        lines,
    )
}

/// The percentiles of a time in each window.
fn times(over_time: &OverTime, series: Series, name: &str) -> Chart {
    let of = |window: &Window, value: fn(&WindowTimes) -> Option<f64>| {
        let times = window.times.get(series.name());
        times.map_or(f64::NAN, |times| value(times).unwrap_or(f64::INFINITY))
    };
    let windows = || over_time.windows.iter();
    let highest = windows().map(|window| of(window, |times| times.p99_ms));
    let unit = Unit::of(highest);
    let shown = |window: &Window, value| unit.scaled(of(window, value));
    let percentile = |name: &str, number, value: fn(&WindowTimes) -> Option<f64>| {
        line(over_time, name, Ink::Series(number), |window| {
            shown(window, value)
        })
    };
    let lines = vec![
        percentile("p50", 0, |times| times.p50_ms),
        percentile("p95", 1, |times| times.p95_ms),
        percentile("p99", 2, |times| times.p99_ms),
    ];
    let mut chart = Chart::lines(name, ("seconds", unit.symbol()), lines);
    chart.ranges.1 = Range::DecadesFromZero;
    // A percentile of failures has no place on the scale: the area has a gap there.
    let edge = |window: &Window, value| {
        let ms: f64 = shown(window, value);
        if ms.is_finite() { ms } else { f64::NAN }
    };
    let edges = windows().map(|window| {
        let low = edge(window, |times| times.p50_ms);
        (middle_s(window), low, edge(window, |times| times.p95_ms))
    });
    chart.areas.push(Area {
        name: String::new(),
        ink: Ink::Series(0),
        points: edges.collect(),
    });
    chart
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::tests::record;
    use super::*;

    fn window(second: u32, p99_ms: Option<f64>) -> Window {
        let times = WindowTimes {
            n: 10,
            p50_ms: Some(20.0),
            p95_ms: Some(40.0),
            p99_ms,
            ..WindowTimes::default()
        };
        Window {
            at_s: f64::from(second),
            length_s: 1.0,
            started: 10,
            answered: 10,
            in_flight: 2.0,
            output_tokens: 500,
            times: [("ttft".to_owned(), times)].into(),
            ..Window::default()
        }
    }

    fn over_time() -> OverTime {
        OverTime {
            window_s: 1.0,
            windows: vec![
                window(0, Some(90.0)),
                window(1, None),
                window(2, Some(95.0)),
            ],
            series: vec![],
            unread: vec![],
        }
    }

    #[test]
    fn every_chart_has_the_same_time_axis_and_the_warm_up() {
        let mut record = record();
        record.workload.warm_up_s = 1.0;
        record.over_time = Some(over_time());
        let page = body(&record).into_string();
        let charts = page.matches("<figure>").count();
        assert_eq!(charts, 4, "requests, tokens, in flight, TTFT: {page}");
        assert_eq!(page.matches("class=\"span\"").count(), charts, "{page}");
        assert_eq!(
            page.matches("Shaded: the warm-up of 1 s").count(),
            1,
            "{page}"
        );
        record.over_time = None;
        assert!(body(&record).0.is_empty());
    }

    #[test]
    fn a_percentile_of_failures_is_a_mark_and_no_value() {
        let chart = times(&over_time(), Series::Ttft, "TTFT")
            .draw()
            .unwrap()
            .into_string();
        assert_eq!(chart.matches("class=\"never\"").count(), 1, "{chart}");
        assert!(
            chart.contains("p99 never") && chart.contains("p99 90.0"),
            "{chart}"
        );
    }

    #[test]
    fn rates_of_very_short_windows_are_left_out() {
        let mut over_time = over_time();
        over_time.windows[2].length_s = 0.01;
        let chart = requests(&over_time);
        assert!(chart.lines[0].points[2].1.is_nan() && chart.lines[0].points[1].1 == 10.0);
    }
}
