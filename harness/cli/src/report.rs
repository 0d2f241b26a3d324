//! `poolproof report`: renders a record.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use super::{App, Exit, Failure, print_line, table_style};
use poolproof_cases::run;
use poolproof_records::any::AnyRecord;
use poolproof_records::digest;
use poolproof_records::file::Kind;
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
                                                                           the same, compared with an earlier run
  poolproof report poolproof-out --badge > poolproof.svg                   the conclusion as an image
  poolproof report --verify run.json                                       refuse a record that was edited, cut, or made with a flaw")]
pub(super) struct Args {
    /// A record (run.json, load.json, limit.json or overhead.json, under any file name), or a folder that holds one
    run: PathBuf,
    /// Output format; not every format supports every kind of record
    #[arg(long, value_name = "FORMAT", default_value = "terminal", value_parser = format_parser())]
    format: &'static Format,
    /// An earlier run to compare with on the page, in the form that `compare` takes; with --format html, for run.json and load.json
    #[arg(long, value_name = "PATH")]
    baseline: Option<PathBuf>,
    /// The same as `--format badge`
    #[arg(long, conflicts_with = "format")]
    badge: bool,
    /// Check the record instead: exit 1 if it was edited, cut, interrupted, made with a flaw, or made before digests were kept
    #[arg(long, conflicts_with_all = ["format", "badge"])]
    verify: bool,
}

fn format_parser() -> impl TypedValueParser<Value = &'static Format> {
    let values = FORMATS
        .iter()
        .map(|format| PossibleValue::new(format.name).help(format.about));
    PossibleValuesParser::new(values)
        .try_map(|name| Format::named(&name).context("is not a report format"))
}

/// Prints the rendering. The exit code reports whether the record could be rendered, not the conclusion of the run.
pub(super) fn report(app: App, args: &Args) -> Result<Exit, Failure> {
    if args.verify {
        return verify(app, &args.run);
    }
    let record = AnyRecord::read_at(&args.run).map_err(Failure::usage)?;
    if let Some(baseline) = &args.baseline {
        print_line(&with_baseline(args.format, &record, baseline).map_err(Failure::usage)?);
        return Ok(Exit::Passed);
    }
    let badge = Format::named("badge").filter(|_| args.badge);
    let format = badge.unwrap_or(args.format);
    let rendered = format.render(&record, table_style());
    let rendered = rendered.ok_or_else(|| Failure::usage(format.refusal(record.kind())))??;
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

/// Prints what the record shows if it can serve as evidence, else every reason why it cannot.
fn verify(app: App, path: &Path) -> Result<Exit, Failure> {
    let file = if path.is_dir() {
        path.join(Kind::Run.file_name())
    } else {
        path.to_owned()
    };
    let there = std::fs::metadata(&file);
    there
        .with_context(|| format!("cannot read {}", file.display()))
        .map_err(Failure::usage)?;
    let record = match digest::verify(&file) {
        Ok(record) => record,
        Err(refusals) => {
            for refusal in refusals {
                print_line(&format!("refused: {}: {refusal}", file.display()));
            }
            return Ok(Exit::Failed);
        }
    };
    let all = run::select(app.suites, &[], false).map_err(Failure::usage)?;
    let present = |id: &str| record.cases.iter().any(|case| case.id == id);
    let held = all.iter().filter(|case| present(case.id)).count();
    print_line(&format!(
        "verified: {}: {}: {} ({}); poolproof {}, seed {}; holds {held} of the {} cases that this version runs by default",
        file.display(),
        record.stack,
        record.conclusion(),
        record.counts(),
        record.tool_version,
        record.seed,
        all.len()
    ));
    Ok(Exit::Passed)
}
