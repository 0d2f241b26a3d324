//! Load on an endpoint picker by itself, for the terminal.

use super::super::clipped;
use super::super::markdown::fenced;
use super::table;
use poolproof_records::load::picker::{PickerLoad, Row};

/// The percentiles of the latency that are shown.
pub(in super::super) const PERCENTILES: [f64; 3] = [50.0, 95.0, 99.0];

/// Renders a line per measurement, the failures by reason, and the conclusion.
pub fn render(record: &PickerLoad) -> String {
    let headings = [
        "endpoints",
        "input tokens",
        "picks/s",
        "failed",
        "p50",
        "p95",
        "p99",
        "CPU us/pick",
        "cores",
        "own cores",
        "named",
    ];
    let mut text = format!(
        "{}\nlatency in ms, from the request to the last answer about it; CPU and cores of the picker's process, scrapes included;\n\
         own cores: those of poolproof, which also serves the endpoints' metrics; named: different endpoints that were picked\n",
        table(&headings, record.rows.iter().map(row)),
    );
    for row in &record.rows {
        for (reason, count) in &row.picks.failed {
            text += &format!(
                "{count} without a pick at {}: {}\n",
                row.in_words(),
                clipped(reason)
            );
        }
    }
    text += &format!(
        "machine: {}\n{}, {}: {}",
        clipped(&record.environment.in_words()),
        clipped(&record.picker),
        record.load.in_words(),
        clipped(&record.conclusion())
    );
    text
}

/// Renders the record as Markdown.
pub fn markdown(record: &PickerLoad) -> String {
    fenced(&render(record))
}

fn row(row: &Row) -> Vec<String> {
    let picks = &row.picks;
    let or_dash = |figure: Option<f64>, digits: usize| {
        figure.map_or("-".to_owned(), |figure| format!("{figure:.digits$}"))
    };
    let mut cells = vec![
        row.endpoints
            .map_or("-".to_owned(), |count| count.to_string()),
        row.input_tokens.to_string(),
        format!("{:.0}", picks.picks_per_s),
        picks.failures().to_string(),
    ];
    cells.extend(PERCENTILES.map(|wanted| {
        let latency = picks.latency.as_ref();
        match latency.and_then(|latency| latency.percentile_ms(wanted)) {
            Some(ms) => ms.map_or("never".to_owned(), |ms| format!("{ms:.2}")),
            None => "-".to_owned(),
        }
    }));
    cells.extend([
        or_dash(picks.picker_cpu_us_per_pick, 0),
        or_dash(picks.picker_cores, 2),
        format!("{:.2}", picks.own_cores),
        picks.endpoints_named.to_string(),
    ]);
    cells
}
