//! `poolproof report`: renders a record.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use super::{Exit, Failure, print_line, table_style};
use poolproof_records::any::AnyRecord;
use poolproof_report::compare::records::Records;
use poolproof_report::compare::{MARGIN_PERCENT, compare};
use poolproof_report::format::{FORMATS, Format};
use poolproof_report::html;

#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:
  poolproof report poolproof-out                                           the table
  poolproof report poolproof-out --format markdown >> $GITHUB_STEP_SUMMARY
  poolproof report reports/kind-envoy/run.json --format ctrf > ctrf.json
  poolproof report poolproof-out --format html > report.html               a page with charts
  poolproof report poolproof-out --format html --baseline last-night > report.html
                                                                           the same, compared with an earlier run")]
pub(super) struct Args {
    /// A record (run.json, load.json, limit.json or overhead.json, under any file name), or a folder that holds one
    run: PathBuf,
    /// Output format; not every format supports every kind of record
    #[arg(long, value_name = "FORMAT", default_value = "terminal", value_parser = format_parser())]
    format: &'static Format,
    /// An earlier run to compare with on the page, in the form that `compare` takes; with --format html, for run.json and load.json
    #[arg(long, value_name = "PATH")]
    baseline: Option<PathBuf>,
}

fn format_parser() -> impl TypedValueParser<Value = &'static Format> {
    let values = FORMATS
        .iter()
        .map(|format| PossibleValue::new(format.name).help(format.about));
    PossibleValuesParser::new(values)
        .try_map(|name| Format::named(&name).context("is not a report format"))
}

/// Prints the rendering. The exit code reports whether the record could be rendered, not the conclusion of the run.
pub(super) fn report(args: &Args) -> Result<Exit, Failure> {
    let record = AnyRecord::read_at(&args.run).map_err(Failure::usage)?;
    if let Some(baseline) = &args.baseline {
        print_line(&with_baseline(args.format, &record, baseline).map_err(Failure::usage)?);
        return Ok(Exit::Passed);
    }
    let rendered = args.format.render(&record, table_style());
    let rendered = rendered.ok_or_else(|| Failure::usage(args.format.refusal(record.kind())))??;
    // On standard error, to keep the document intact.
    for line in rendered.left_out {
        eprintln!("left out: {line}");
    }
    print_line(rendered.text.trim_end());
    Ok(Exit::Passed)
}

/// The page of a record beside its comparison with an earlier run.
fn with_baseline(format: &Format, record: &AnyRecord, baseline: &Path) -> Result<String> {
    if format.name != "html" {
        bail!(
            "--baseline: only with --format html; `poolproof compare` prints a comparison as text"
        );
    }
    let kind = record.kind();
    let refused = || format!("--baseline: not supported for {}", kind.describe());
    let run = Records::of(record.clone()).with_context(refused)?;
    let baseline = Records::read(baseline)?.only(kind);
    let comparison = compare(&baseline, &run, MARGIN_PERCENT / 100.0);
    html::render_compared(record, &comparison).with_context(refused)
}
