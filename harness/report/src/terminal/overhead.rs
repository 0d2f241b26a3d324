//! The comparison of the gateway with round robin.

use super::super::markdown::fenced;
use super::super::{better, clipped};
use super::table;
use poolproof_records::load::overhead::Overhead;
use poolproof_records::load::overhead::{BLOCKS_MIN, Compared};

/// Renders the compared figures with the interval of each difference.
pub fn render(record: &Overhead) -> String {
    let uneven = record.uneven.map_or(String::new(), |factor| {
        format!(", whose first endpoint is {factor} times as slow")
    });
    let pairs = record.pairs;
    let found = if record.compared.is_empty() {
        format!(
            "{pairs} pairs of blocks: too few, a median with an interval needs {BLOCKS_MIN} pairs that have the figure"
        )
    } else {
        let headings = ["", "gateway", "round robin", "difference", "95 %", ""];
        format!(
            "{}\n{pairs} pairs of blocks with the same requests in both; medians over blocks, and median differences",
            table(&headings, record.compared.iter().map(row))
        )
    };
    format!(
        "pool {} of {}{uneven}: through the gateway, and round robin directly to its endpoints\n{found}",
        clipped(&record.pool),
        clipped(&record.stack),
    )
}

/// Renders the comparison as Markdown.
pub fn markdown(record: &Overhead) -> String {
    fenced(&render(record))
}

fn row(compared: &Compared) -> Vec<String> {
    let (low, high) = compared.interval;
    vec![
        clipped(&compared.figure).into_owned(),
        format!("{:.2}", compared.first),
        format!("{:.2}", compared.second),
        format!("{:+.2}", compared.difference),
        format!("{low:+.2} to {high:+.2}"),
        better(compared).map_or(String::new(), |better| better.to_string()),
    ]
}
