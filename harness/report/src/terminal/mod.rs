//! Renderings for the terminal.

pub mod compare;
pub mod list;
pub mod load;
mod over_time;
pub mod overhead;
pub mod picker;
pub mod plan;
pub mod run;
pub mod search;
pub mod selftest;
pub mod sweep;

use tabled::builder::Builder;
use tabled::settings::Style;

/// Width and colour of tables.
#[derive(Clone, Copy, Debug)]
pub struct TableStyle {
    /// Columns of the terminal.
    pub width: usize,
    /// True if verdicts are coloured.
    pub colour: bool,
}

/// A table of rows under headings.
pub fn table(headings: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut builder = Builder::default();
    builder.push_record(headings.iter().copied());
    for row in rows {
        builder.push_record(row);
    }
    let mut table = builder.build();
    table.with(Style::sharp());
    table.to_string()
}
