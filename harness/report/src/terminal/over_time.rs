//! The run over time, for the terminal: a few rows of several windows each.

use std::fmt::Write as _;

use super::load::milliseconds;
use super::table;
use crate::clipped;
use poolproof_model::server_metric::ServerMetric;
use poolproof_records::load::over_time::{OverTime, Server, ServerSeries, Window, WindowTimes};

/// The most rows.
const ROWS_MAX: usize = 10;
/// The most servers without metrics that are listed.
const UNREAD_MAX: usize = 5;

/// How the figures of several servers become one.
enum Over {
    Sum,
    Mean,
    Highest,
}

/// A column of what servers reported.
struct Column {
    title: &'static str,
    metric: ServerMetric,
    /// Whether it is about pickers; else about all other servers.
    of_pickers: bool,
    over: Over,
    /// What a value is multiplied by, and its decimals.
    shown: (f64, usize),
}

const fn column(
    title: &'static str,
    metric: ServerMetric,
    of_pickers: bool,
    over: Over,
    shown: (f64, usize),
) -> Column {
    Column {
        title,
        metric,
        of_pickers,
        over,
        shown,
    }
}

const COLUMNS: [Column; 9] = [
    column("waiting", ServerMetric::Queue, false, Over::Sum, (1.0, 1)),
    column("running", ServerMetric::Running, false, Over::Sum, (1.0, 1)),
    column("KV %", ServerMetric::KvUse, false, Over::Mean, (100.0, 0)),
    column(
        "prefix hits %",
        ServerMetric::PrefixHits,
        false,
        Over::Mean,
        (100.0, 0),
    ),
    column(
        "preempted/s",
        ServerMetric::Preemptions,
        false,
        Over::Sum,
        (1.0, 1),
    ),
    column("held", ServerMetric::Queue, true, Over::Sum, (1.0, 1)),
    column(
        "saturation",
        ServerMetric::Saturation,
        true,
        Over::Highest,
        (1.0, 2),
    ),
    column("GPU %", ServerMetric::GpuUse, false, Over::Mean, (100.0, 0)),
    column("W", ServerMetric::GpuPower, false, Over::Sum, (1.0, 0)),
];

/// Renders the windows of a run beside what its servers reported, and the servers that reported nothing. Empty for one window.
pub(super) fn render(over_time: &OverTime) -> String {
    let windows = &over_time.windows;
    if windows.len() < 2 {
        return unread(over_time);
    }
    let each = windows.len().div_ceil(ROWS_MAX);
    let columns = COLUMNS.iter().filter_map(|column| {
        let is_of = |series: &&ServerSeries| {
            let is_of_picker = matches!(series.server, Server::Picker { .. });
            series.metric == column.metric && is_of_picker == column.of_pickers
        };
        let series: Vec<&ServerSeries> = over_time.series.iter().filter(is_of).collect();
        // A figure that is always zero tells nothing in a small table.
        let is_some = series.iter().flat_map(|series| &series.points);
        let is_some = is_some.map(|(_, value)| *value).any(|value| value > 0.0);
        is_some.then_some((column, series))
    });
    let columns: Vec<(&Column, Vec<&ServerSeries>)> = columns.collect();
    let mut titles = vec![
        "from s",
        "started/s",
        "answered/s",
        "failed/s",
        "tokens/s",
        "in flight",
        "TTFT p50",
        "p95",
        "TPOT p50",
    ];
    titles.extend(columns.iter().map(|(column, _)| column.title));
    let rows = windows.chunks(each).map(|windows| {
        let (from_s, to_s) = span(windows);
        let mut row = of_client(windows);
        row.extend(columns.iter().map(|(column, series)| {
            let value = column.value(series, from_s, to_s);
            let (factor, decimals) = column.shown;
            value.map_or_else(
                || "-".to_owned(),
                |it| format!("{:.decimals$}", it * factor),
            )
        }));
        row
    });
    let mut text = format!("{}\n", table(&titles, rows));
    if each > 1 {
        let _ = writeln!(
            text,
            "rows are {each} windows of {:.3} s each; times in ms are those of the worst window",
            over_time.window_s
        );
    }
    format!("{text}{}\n", unread(over_time))
}

/// The begin of the first window and the end of the last.
fn span(windows: &[Window]) -> (f64, f64) {
    let from_s = windows.first().map_or(0.0, |window| window.at_s);
    let end = windows.last();
    (
        from_s,
        end.map_or(0.0, |window| window.at_s + window.length_s),
    )
}

fn of_client(windows: &[Window]) -> Vec<String> {
    let (from_s, to_s) = span(windows);
    let rate = |of: fn(&Window) -> u64| {
        let count: u64 = windows.iter().map(of).sum();
        count as f64 / (to_s - from_s).max(0.001)
    };
    let area: f64 = windows.iter().map(|it| it.in_flight * it.length_s).sum();
    let mut row = vec![
        format!("{from_s:.0}"),
        format!("{:.1}", rate(|window| window.started)),
        format!("{:.1}", rate(|window| window.answered)),
        format!("{:.1}", rate(Window::failures)),
        format!("{:.0}", rate(|window| window.output_tokens)),
        format!("{:.1}", area / (to_s - from_s).max(0.001)),
    ];
    let worst = |series: &str, of: fn(&WindowTimes) -> Option<f64>| {
        let times = windows.iter().filter_map(|window| window.times.get(series));
        // A failure is later than any time.
        let worst = times.map(|times| of(times).unwrap_or(f64::INFINITY));
        match worst.reduce(f64::max) {
            None => "-".to_owned(),
            Some(ms) => milliseconds(ms.is_finite().then_some(ms)),
        }
    };
    row.push(worst("ttft", |times| times.p50_ms));
    row.push(worst("ttft", |times| times.p95_ms));
    row.push(worst("tpot", |times| times.p50_ms));
    row
}

impl Column {
    /// Its value in a span of time: for each server the mean of its points, over all servers together.
    fn value(&self, series: &[&ServerSeries], from_s: f64, to_s: f64) -> Option<f64> {
        let means = series.iter().filter_map(|series| {
            let points = series.points.iter();
            let points = points.filter(|(at_s, _)| (from_s..to_s).contains(at_s));
            let values: Vec<f64> = points.map(|(_, value)| *value).collect();
            (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
        });
        let means: Vec<f64> = means.collect();
        let sum = means.iter().sum::<f64>();
        if means.is_empty() {
            return None;
        }
        Some(match self.over {
            Over::Sum => sum,
            Over::Mean => sum / means.len() as f64,
            Over::Highest => means.iter().copied().fold(f64::MIN, f64::max),
        })
    }
}

fn unread(over_time: &OverTime) -> String {
    let unread = &over_time.unread;
    let mut text = String::new();
    for one in unread.iter().take(UNREAD_MAX) {
        let _ = writeln!(
            text,
            "note         metrics of {}: {} of {} readings failed: {}",
            clipped(&one.server.to_string()),
            one.failed,
            one.of,
            clipped(&one.reason)
        );
    }
    if unread.len() > UNREAD_MAX {
        let more = unread.len() - UNREAD_MAX;
        let _ = writeln!(
            text,
            "note         metrics of {more} more servers could not be read"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use poolproof_records::samples::over_time;

    #[test]
    fn a_row_has_what_the_client_saw_beside_what_servers_reported() {
        let text = render(&over_time());
        let rows: Vec<Vec<&str>> = text
            .lines()
            .filter(|line| line.starts_with('│'))
            .map(|line| line.trim_matches('│').split('│').map(str::trim).collect())
            .collect();
        let wanted = [
            "from s",
            "started/s",
            "answered/s",
            "failed/s",
            "tokens/s",
            "in flight",
            "TTFT p50",
            "p95",
            "TPOT p50",
            "waiting",
            "KV %",
            "W",
        ];
        assert_eq!(rows[0], wanted);
        let first = [
            "0", "40.0", "40.0", "0.0", "4000", "2.5", "20.0", "50.0", "-", "0.0", "25", "310",
        ];
        assert_eq!(rows[1], first);
        let second = [
            "1", "60.0", "40.0", "20.0", "4000", "12.0", "50.0", "125", "-", "3.0", "75", "-",
        ];
        assert_eq!(rows[2], second);
        assert!(text.contains("metrics of gpus: 1 of 2 readings failed: no answer within 5s"));
    }

    #[test]
    fn many_windows_become_a_few_rows_whose_times_are_the_worst_ones() {
        let sample = over_time();
        let windows = (0..61).map(|number: u8| {
            let mut window = sample.windows[usize::from(number == 60)].clone();
            window.at_s = f64::from(number);
            if number == 60
                && let Some(times) = window.times.get_mut("ttft")
            {
                times.p50_ms = None;
            }
            window
        });
        let many = OverTime {
            windows: windows.collect(),
            series: Vec::new(),
            ..sample
        };
        let text = render(&many);
        let rows: Vec<&str> = text.lines().filter(|line| line.starts_with('│')).collect();
        assert_eq!(rows.len(), 1 + 9, "{text}");
        assert!(
            rows[9].contains("never") && rows[8].contains("20.0"),
            "{text}"
        );
        assert!(text.contains("rows are 7 windows of 1.000 s each"));
        assert!(!text.contains("waiting"));
    }
}
