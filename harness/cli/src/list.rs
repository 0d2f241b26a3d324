//! `poolproof list`: the cases, the flaws with the cases that must catch them, or the rules of specifications with the cases that check them.

use anyhow::Context;
use clap::ValueEnum;
use poolproof_fixtures::flaw::Flaw;

use super::{App, Exit, Failure, print_line};
use poolproof_cases::case::catches;
use poolproof_cases::run;
use poolproof_report::markdown::list as markdown;
use poolproof_report::terminal::list::{self as terminal, CaseRow, FlawRow};

#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:
  poolproof list                  all cases with their requirements
  poolproof list canary --json    one suite, as JSON
  poolproof list --slow           slow cases only
  poolproof list --format markdown > cases.md
  poolproof list --coverage       rules of the specifications, with the cases that check each, or why none does
  poolproof list --flaws          available defects, where each was seen, and which cases must catch it")]
pub(super) struct Args {
    /// Suites or cases to list [default: all]
    selectors: Vec<String>,
    /// List slow cases only, or the flaws that only they catch; without it, the list has all cases, and slow ones are marked
    #[arg(long)]
    slow: bool,
    /// List flaws instead of cases
    #[arg(long, conflicts_with = "selectors")]
    flaws: bool,
    /// List the rules of the specifications instead, with the cases that check each
    #[arg(long, conflicts_with_all = ["selectors", "flaws", "slow"])]
    coverage: bool,
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Terminal)]
    format: Format,
    /// The same as `--format json`
    #[arg(long, conflicts_with = "format")]
    json: bool,
}

/// A format of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Table for the terminal
    Terminal,
    /// GitHub Markdown
    Markdown,
    /// JSON
    Json,
}

pub(super) fn list(app: App, args: &Args) -> Result<Exit, Failure> {
    let format = if args.json { Format::Json } else { args.format };
    let text = if args.coverage {
        match format {
            Format::Terminal => terminal::coverage(app.coverage),
            Format::Markdown => markdown::coverage(app.coverage),
            Format::Json => {
                serde_json::to_string_pretty(app.coverage).context("writing the list")?
            }
        }
    } else if args.flaws {
        let rows = flaws(app, args.slow);
        match format {
            Format::Terminal => terminal::flaws(&rows),
            Format::Markdown => markdown::flaws(&rows),
            Format::Json => serde_json::to_string_pretty(&rows).context("writing the list")?,
        }
    } else {
        let rows = cases(app, &args.selectors, args.slow)?;
        match format {
            Format::Terminal => terminal::cases(&rows),
            Format::Markdown => markdown::cases(&rows),
            Format::Json => serde_json::to_string_pretty(&rows).context("writing the list")?,
        }
    };
    print_line(text.trim_end());
    Ok(Exit::Passed)
}

fn cases(app: App, selectors: &[String], slow: bool) -> Result<Vec<CaseRow>, Failure> {
    let cases = run::select(app.suites, selectors, true).map_err(Failure::usage)?;
    Ok(cases
        .into_iter()
        .filter(|case| case.is_slow() || !slow)
        .map(|case| CaseRow {
            id: case.id,
            level: case.level,
            slow: case.is_slow(),
            requirement: case.requirement,
            source: case.source,
            needs: case.needs.iter().map(|need| need.describe()).collect(),
        })
        .collect())
}

fn flaws(app: App, slow: bool) -> Vec<FlawRow> {
    Flaw::ALL
        .iter()
        .map(|flaw| {
            let catches = catches(app.suites).find(|catch| catch.flaw == *flaw);
            FlawRow {
                slow: catches.is_some_and(|catch| catch.is_slow(app.suites)),
                name: flaw.name(),
                component: flaw.component().to_string(),
                summary: flaw.summary(),
                seen: flaw.seen(),
                caught_by: catches.map_or(&[], |catch| catch.must_fail),
                may_fail: catches.map_or(&[], |catch| catch.may_fail),
            }
        })
        .filter(|row| row.slow || !slow)
        .collect()
}
