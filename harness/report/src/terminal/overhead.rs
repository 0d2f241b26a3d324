//! The comparison of the gateway with round robin.

use super::super::{better, clipped};
use super::table;
use poolproof_records::load::overhead::Overhead;
use poolproof_records::load::overhead::{BLOCKS_MIN, Compared};

/// A table of the figures that were compared, with the interval of each difference.
pub fn render(record: &Overhead) -> String {
    let uneven = record.uneven.map_or(String::new(), |factor| {
        format!(", whose first endpoint is {factor} times as slow")
    });
    let pairs = record.pairs;
    let found = if record.compared.is_empty() {
        format!(
            "{pairs} pairs of blocks: a median with its interval takes {BLOCKS_MIN} that have what it is of"
        )
    } else {
        let headings = ["", "gateway", "round robin", "difference", "95 %", ""];
        format!(
            "{}\n{pairs} pairs of blocks, the same requests in both; medians of blocks, and of their differences",
            table(&headings, record.compared.iter().map(row))
        )
    };
    format!(
        "pool {} of {}{uneven}: through the gateway, and round robin straight to its endpoints\n{found}",
        clipped(&record.pool),
        clipped(&record.stack),
    )
}

/// The same for Markdown.
pub fn markdown(record: &Overhead) -> String {
    format!("```text\n{}\n```", render(record))
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
