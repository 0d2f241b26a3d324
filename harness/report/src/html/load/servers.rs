//! What the servers reported during a load run, on the time axis of the client's charts.

use maud::{Markup, html};

use super::super::super::clipped;
use super::super::chart::{Area, Chart, Ink, Line};
use super::super::number::count;
use super::over_time::{Axis, middle_s};
use poolproof_model::server_metric;
use poolproof_records::load::over_time::{OverTime, ServerMetric, ServerSeries};

/// Most servers of one figure with lines of their own.
const SERVERS_SHOWN: usize = 6;

/// One chart per figure that was not 0 throughout, and what could not be read.
pub(super) fn body(over_time: &OverTime, axis: &Axis) -> Markup {
    let (mut drawn, mut zero) = (Vec::new(), Vec::new());
    for metric in ServerMetric::ALL {
        let all = over_time
            .series
            .iter()
            .filter(|series| series.metric == metric);
        let all: Vec<&ServerSeries> = all.collect();
        let (idle, busy): (Vec<_>, Vec<_>) = all.into_iter().partition(|series| is_zero(series));
        if busy.is_empty() {
            if !idle.is_empty() {
                zero.push(metric.title());
            }
            continue;
        }
        drawn.extend(axis.on(chart(over_time, metric, &busy, idle.len())).draw());
    }
    html! {
        @if !drawn.is_empty() {
            h3 { "Reported by the servers" }
            div.charts { @for chart in &drawn { (chart) } }
        }
        @if !zero.is_empty() { p.note { "0 on every server throughout: " (zero.join(", ")) "." } }
        @for unread in &over_time.unread {
            p.note {
                "Metrics of " bdi { (clipped(&unread.server.to_string())) } " could not be read "
                (count(unread.failed)) " of " (count(unread.of)) " times: " bdi { (clipped(&unread.reason)) }
            }
        }
    }
}

fn is_zero(series: &ServerSeries) -> bool {
    series.points.iter().all(|(_, value)| *value == 0.0)
}

/// One figure of the servers where it was not 0 throughout. The title has the number of the others.
fn chart(over_time: &OverTime, metric: ServerMetric, busy: &[&ServerSeries], idle: usize) -> Chart {
    let (factor, unit) = match metric.unit() {
        server_metric::Unit::Ratio => (100.0, "%"),
        server_metric::Unit::RequestsPerSecond | server_metric::Unit::TokensPerSecond => {
            (1.0, "per second")
        }
        server_metric::Unit::Watts => (1.0, "W"),
        server_metric::Unit::Celsius => (1.0, "°C"),
        server_metric::Unit::Requests | server_metric::Unit::Endpoints => (1.0, ""),
    };
    let unit = match idle {
        0 => unit.to_owned(),
        1 => format!("{unit} (0 on one more server)"),
        idle => format!("{unit} (0 on {idle} more servers)"),
    };
    let axes = ("seconds", unit.trim());
    let points = |series: &ServerSeries| -> Vec<(f64, f64)> {
        let points = series.points.iter();
        points
            .map(|(at_s, value)| (*at_s, factor * value))
            .collect()
    };
    if busy.len() <= SERVERS_SHOWN {
        let lines = busy.iter().enumerate();
        let line = |(number, series): (usize, &&ServerSeries)| {
            Line::new(series.to_string(), number, points(series))
        };
        let mut chart = Chart::lines(metric.title(), axes, lines.map(line).collect());
        chart.named = true;
        return chart;
    }
    // Too many lines to follow: their median and how far they reach.
    let mut bins: Vec<Vec<f64>> = vec![Vec::new(); over_time.windows.len()];
    for (at_s, value) in busy.iter().flat_map(|series| points(series)) {
        let bin = (at_s / over_time.window_s).max(0.0) as usize;
        if let Some(bin) = bins.get_mut(bin) {
            bin.push(value);
        }
    }
    let (mut median, mut area) = (Vec::new(), Vec::new());
    for (bin, window) in bins.iter_mut().zip(&over_time.windows) {
        bin.sort_by(f64::total_cmp);
        if let (Some(low), Some(high)) = (bin.first(), bin.last()) {
            median.push((middle_s(window), bin[bin.len() / 2]));
            area.push((middle_s(window), *low, *high));
        }
    }
    let mut chart = Chart::lines(metric.title(), axes, vec![Line::new("median", 0, median)]);
    chart.areas.push(Area {
        name: format!("lowest to highest of {} servers", busy.len()),
        ink: Ink::Series(0),
        points: area,
    });
    chart
}

#[cfg(test)]
mod tests {
    use super::super::over_time;
    use super::super::tests::record;
    use super::*;
    use poolproof_records::load::over_time::{Server, Unread, Window};

    fn with(values: &[f64]) -> OverTime {
        let server = |number: usize| Server::Endpoint {
            pool: "p".to_owned(),
            endpoint: format!("e{number}"),
        };
        let series = |(number, value): (usize, &f64)| ServerSeries {
            server: server(number),
            device: None,
            metric: ServerMetric::KvUse,
            unit: ServerMetric::KvUse.unit(),
            points: vec![(0.5, *value), (1.5, *value)],
        };
        let window = |second: u32| Window {
            at_s: f64::from(second),
            length_s: 1.0,
            started: 1,
            ..Window::default()
        };
        OverTime {
            window_s: 1.0,
            windows: (0..3).map(window).collect(),
            series: values.iter().enumerate().map(series).collect(),
            unread: vec![Unread {
                server: server(9),
                failed: 2,
                of: 7,
                reason: "refused".to_owned(),
            }],
        }
    }

    fn page(values: &[f64]) -> String {
        let mut record = record();
        record.over_time = Some(with(values));
        over_time::body(&record).into_string()
    }

    #[test]
    fn idle_servers_are_counted_and_idle_figures_are_one_line() {
        let some = page(&[0.25, 0.5, 0.0, 0.0]);
        assert!(
            some.contains("p/e1") && some.contains("p/e0 25.0"),
            "{some}"
        );
        assert!(
            some.contains("0 on 2 more servers") && !some.contains("p/e2"),
            "{some}"
        );
        let none = page(&[0.0, 0.0]);
        assert!(
            none.contains("0 on every server throughout: KV cache in use"),
            "{none}"
        );
        assert!(none.contains("could not be read 2 of 7 times"), "{none}");
    }

    #[test]
    fn many_servers_are_shown_by_median_and_reach() {
        let values: Vec<f64> = (1..=20).map(|number| f64::from(number) / 20.0).collect();
        let over_time = with(&values);
        let busy: Vec<&ServerSeries> = over_time.series.iter().collect();
        let chart = chart(&over_time, ServerMetric::KvUse, &busy, 0);
        assert_eq!(chart.lines.len(), 1);
        assert_eq!(chart.areas[0].name, "lowest to highest of 20 servers");
        assert_eq!(chart.areas[0].points[0], (0.5, 5.0, 100.0));
    }
}
