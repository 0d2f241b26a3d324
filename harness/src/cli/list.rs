//! `poolproof list`: the cases, or the flaws and who must catch them.

use anyhow::Context;
use poolproof_fixtures::flaw::Flaw;
use serde_json::{Value, json};
use tabled::builder::Builder;
use tabled::settings::object::Columns as ColumnOf;
use tabled::settings::{Style, Width};

use super::{App, Failure, say};
use crate::case::catches;
use crate::run;

#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:
  poolproof list                  all cases with their requirements
  poolproof list canary --json    one suite, for a program
  poolproof list --flaws          what can be broken on purpose, where it was seen, and which cases must fail then")]
pub(super) struct Args {
    /// Suites or cases [default: all]
    selectors: Vec<String>,
    /// List the flaws instead
    #[arg(long, conflicts_with = "selectors")]
    flaws: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn list(app: App, args: &Args) -> Result<u8, Failure> {
    let (rows, columns) = match args.flaws {
        true => (flaws(app), FLAW_COLUMNS),
        false => (cases(app, &args.selectors)?, CASE_COLUMNS),
    };
    match args.json {
        true => say(&serde_json::to_string_pretty(&rows).context("writing the list")?),
        false => say(&table(&rows, columns)),
    }
    Ok(0)
}

/// Field, and the width at which it is wrapped.
type Columns = &'static [(&'static str, usize)];

const CASE_COLUMNS: Columns = &[("id", 32), ("level", 6), ("requirement", 64), ("needs", 44)];
const FLAW_COLUMNS: Columns = &[
    ("name", 28),
    ("component", 16),
    ("summary", 48),
    ("seen", 36),
    ("caught_by", 32),
];

fn cases(app: App, selectors: &[String]) -> Result<Vec<Value>, Failure> {
    let cases = run::select(app.suites, selectors).map_err(Failure::usage)?;
    Ok(cases
        .into_iter()
        .map(|case| {
            json!({
                "id": case.id,
                "level": case.level,
                "requirement": case.requirement,
                "source": case.source,
                "needs": case.needs.iter().map(|need| need.describe()).collect::<Vec<_>>(),
            })
        })
        .collect())
}

fn flaws(app: App) -> Vec<Value> {
    Flaw::ALL
        .iter()
        .map(|flaw| {
            let catches = catches(app.suites).find(|catch| catch.flaw == *flaw);
            json!({
                "name": flaw.name(),
                "component": flaw.component().to_string(),
                "summary": flaw.summary(),
                "seen": flaw.seen(),
                "caught_by": catches.map_or(&[][..], |catch| catch.must_fail),
                "may_fail": catches.map_or(&[][..], |catch| catch.may_fail),
            })
        })
        .collect()
}

fn table(rows: &[Value], columns: Columns) -> String {
    let cell = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => {
            let texts: Vec<&str> = values.iter().filter_map(Value::as_str).collect();
            texts.join(", ")
        }
        other => other.to_string(),
    };
    let mut table = Builder::default();
    table.push_record(columns.iter().map(|(name, _)| name.replace('_', " ")));
    for row in rows {
        table.push_record(columns.iter().map(|(name, _)| cell(&row[*name])));
    }
    let mut table = table.build();
    table.with(Style::sharp());
    for (number, (_, width)) in columns.iter().enumerate() {
        table.modify(ColumnOf::one(number), Width::wrap(*width).keep_words(true));
    }
    table.to_string()
}
