//! Load on an endpoint picker by itself, as a web page.

use maud::{Markup, html};

use super::super::terminal::picker::PERCENTILES;
use super::super::{clipped, moment};
use super::chart::{Chart, Line, Range};
use super::number::{count, figure};
use super::part::{Head, Section, State, facts, page, wide};
use poolproof_records::load::picker::{Picked, PickerLoad, Picks, Row};

/// Renders the conclusion, charts by the number of endpoints, a table of the measurements, and facts about the run.
pub fn render(record: &PickerLoad) -> String {
    let head = Head {
        name: "Load on a picker",
        stack: &record.picker,
        state: match record.picked() {
            Picked::All => State::Pass,
            Picked::Nothing => State::Fail,
            Picked::Some | Picked::Unfinished => State::Undecided,
        },
        conclusion: record.conclusion(),
        more: html! {
            p { "Without a gateway: " (record.load.in_words()) ", for " (record.window_s) " s each." }
            @if let Some(flaw) = &record.flaw { p { "Flaw enabled: " bdi { (clipped(flaw)) } "." } }
        },
    };
    let sections = vec![
        Section::new("endpoints", "By number of endpoints", charts(record)),
        Section::new("measurements", "Measurements", measurements(record)),
        Section::new("failures", "Without a pick", failures(record)),
        Section::new("method", "How it was measured", method(record)),
    ];
    page(&head, sections)
}

/// A chart needs two numbers of endpoints.
fn charts(record: &PickerLoad) -> Markup {
    let mut tokens: Vec<usize> = record.rows.iter().map(|row| row.input_tokens).collect();
    tokens.sort_unstable();
    tokens.dedup();
    let lines = |value: fn(&Picks) -> Option<f64>| {
        let lines = tokens.iter().enumerate().map(|(number, tokens)| {
            let rows = record.rows.iter().filter(|row| row.input_tokens == *tokens);
            let points = rows.filter_map(|row| Some((row.endpoints? as f64, value(&row.picks)?)));
            let mut points: Vec<(f64, f64)> = points.collect();
            points.sort_by(|a, b| a.0.total_cmp(&b.0));
            Line::new(format!("{} tokens", count(*tokens as u64)), number, points)
        });
        let lines = lines.filter(|line| line.points.len() >= 2);
        lines.collect::<Vec<Line>>()
    };
    let all = [
        ("Latency p95 of picks", "ms", lines(p95)),
        (
            "Picks per second",
            "picks/s",
            lines(|picks| Some(picks.picks_per_s)),
        ),
        (
            "Processor time of the picker",
            "us per pick",
            lines(|picks| picks.picker_cpu_us_per_pick),
        ),
    ];
    let drawn = all.into_iter().filter_map(|(title, unit, lines)| {
        let mut chart = Chart::lines(title, ("endpoints", unit), lines);
        chart.ranges = (Range::Decades, Range::FromZero);
        chart.named = true;
        chart.draw()
    });
    html! { @for chart in drawn { (chart) } }
}

/// The value at the 95th percentile; infinite if it belongs to a request without a pick.
fn p95(picks: &Picks) -> Option<f64> {
    let ms = picks.latency.as_ref()?.percentile_ms(95.0)?;
    Some(ms.unwrap_or(f64::INFINITY))
}

fn measurements(record: &PickerLoad) -> Markup {
    html! {
        @if !record.rows.is_empty() {
            (wide("Measurements in order", html! {
                table {
                    thead { tr {
                        th { "endpoints" } th { "input tokens" } th { "picks/s" } th { "95 %" } th { "failed" }
                        @for percentile in PERCENTILES { th { "p" (percentile) ", ms" } }
                        th { "CPU us/pick" } th { "cores" } th { "own cores" } th { "endpoints named" }
                    } }
                    tbody { @for row in &record.rows { (cells(row)) } }
                }
            }))
            p.note {
                "Latency: from the request to the last answer about it; a request without a pick is infinitely late. "
                "CPU and cores: the picker's process, with its scrapes. "
                "Own cores: those of poolproof, which also serves the metrics of the endpoints."
            }
        }
    }
}

fn cells(row: &Row) -> Markup {
    let picks = &row.picks;
    let or_dash = |value: Option<f64>| value.map_or("-".to_owned(), figure);
    let interval = match picks.picks_per_s_interval {
        Some((low, high)) => format!("{} to {}", figure(low), figure(high)),
        None => "-".to_owned(),
    };
    let latency = |percentile| match picks.latency.as_ref()?.percentile_ms(percentile)? {
        Some(ms) => Some(figure(ms)),
        None => Some("never".to_owned()),
    };
    html! {
        tr {
            td { (row.endpoints.map_or("-".to_owned(), |number| count(number as u64))) }
            td { (count(row.input_tokens as u64)) }
            td { (figure(picks.picks_per_s)) }
            td { (interval) }
            td { (count(picks.failures())) }
            @for percentile in PERCENTILES { td { (latency(percentile).unwrap_or_else(|| "-".to_owned())) } }
            td { (or_dash(picks.picker_cpu_us_per_pick)) }
            td { (or_dash(picks.picker_cores)) }
            td { (figure(picks.own_cores)) }
            td { (count(picks.endpoints_named as u64)) }
        }
    }
}

fn failures(record: &PickerLoad) -> Markup {
    let failed = || record.rows.iter().filter(|row| row.picks.failures() > 0);
    html! {
        @if failed().next().is_some() {
            (wide("Requests without a pick", html! {
                table {
                    thead { tr { th.text { "measurement" } th { "requests" } th.text { "reason" } } }
                    tbody {
                        @for row in failed() {
                            @for (reason, number) in &row.picks.failed {
                                tr { td.text { (row.in_words()) } td { (count(*number)) } td.text.long { bdi { (clipped(reason)) } } }
                            }
                        }
                    }
                }
            }))
        }
    }
}

fn method(record: &PickerLoad) -> Markup {
    facts(&[
        ("started", moment(record.started)),
        (
            "asked",
            format!("{}, model {}", record.load.in_words(), record.model),
        ),
        (
            "duration",
            format!(
                "{} s each, after {} s of warm-up",
                record.window_s, record.warm_up_s
            ),
        ),
        ("picker", record.picker.clone()),
        ("stack", record.stack.clone()),
        ("poolproof", record.tool_version.clone()),
        ("client", record.environment.in_words()),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use poolproof_records::samples::picker_load;

    #[test]
    fn the_head_has_the_conclusion_and_failures_have_a_section() {
        let mut record = picker_load();
        let page = render(&record);
        assert!(
            page.contains("</span> Every request got a pick, "),
            "{page}"
        );
        assert!(
            !page.contains("id=\"failures\"") && page.contains("<figure>"),
            "{page}"
        );
        record.picker = "<u>p".to_owned();
        record.rows[0].picks.failed = [("<b>x".to_owned(), 7)].into();
        let page = render(&record);
        assert!(
            page.contains("7 of ") && page.contains("id=\"failures\""),
            "{page}"
        );
        assert!(!page.contains("<b>") && !page.contains("<u>"), "{page}");
    }

    #[test]
    fn a_picker_that_was_there_already_has_no_chart_by_endpoints() {
        let mut record = picker_load();
        for row in &mut record.rows {
            row.endpoints = None;
            row.picks.latency = None;
        }
        let page = render(&record);
        assert!(
            !page.contains("<figure>") && page.contains("id=\"measurements\""),
            "{page}"
        );
    }
}
