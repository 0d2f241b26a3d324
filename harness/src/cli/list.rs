//! `poolproof list`: the cases, or the flaws and who must catch them.

use anyhow::Context;
use poolproof_fixtures::flaw::Flaw;
use serde_json::{Value, json};
use tabled::builder::Builder;
use tabled::settings::{Style, Width};

use super::{App, Failure};
use crate::run;

#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:
  poolproof list                  all cases with their requirements
  poolproof list canary --json    one suite, for a program
  poolproof list --flaws          what can be broken on purpose, and which cases must fail then")]
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
    let rows = match args.flaws {
        true => flaws(app),
        false => cases(app, &args.selectors)?,
    };
    if args.json {
        let text = serde_json::to_string_pretty(&rows).context("writing the list")?;
        println!("{text}");
    } else {
        println!("{}", table(&rows));
    }
    Ok(0)
}

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
            let catches = app.catches.iter().find(|catch| catch.flaw == *flaw);
            json!({
                "name": flaw.name(),
                "component": flaw.component().to_string(),
                "summary": flaw.summary(),
                "caught_by": catches.map_or(&[][..], |catch| catch.cases),
            })
        })
        .collect()
}

fn table(rows: &[Value]) -> String {
    let cell = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => {
            let texts: Vec<&str> = values.iter().filter_map(Value::as_str).collect();
            texts.join("; ")
        }
        other => other.to_string(),
    };
    let mut table = Builder::default();
    let columns: Vec<String> = rows
        .first()
        .and_then(Value::as_object)
        .map(|row| row.keys().cloned().collect())
        .unwrap_or_default();
    table.push_record(columns.iter().map(|name| name.replace('_', " ")));
    for row in rows {
        table.push_record(columns.iter().map(|name| cell(&row[name.as_str()])));
    }
    table
        .build()
        .with(Style::sharp())
        .with(Width::wrap(160).keep_words(true))
        .to_string()
}
