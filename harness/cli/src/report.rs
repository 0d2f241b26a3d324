//! `poolproof report`: renders a record.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use super::{App, Exit, Failure, print_line, table_style};
use poolproof_cases::run;
use poolproof_records::any::AnyRecord;
use poolproof_records::digest::{self, Verified};
use poolproof_records::file::Kind;
use poolproof_records::run::Record;
use poolproof_report::compare::beside::Beside;
use poolproof_report::compare::records::Records;
use poolproof_report::format::{FORMATS, Format};

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
    /// A record (run.json, load.json, limit.json, overhead.json, sweep.json or picker.json, under any file name), or a folder that holds one
    run: PathBuf,
    /// Output format; not every format supports every kind of record
    #[arg(long, value_name = "FORMAT", default_value = "terminal", value_parser = format_parser())]
    format: &'static Format,
    /// An earlier run to compare with, in the form that `compare` takes; for run.json and load.json, with --format terminal, markdown
    /// or html [default for load.json: the last run, kept beside it as load.last.json]
    #[arg(long, value_name = "PATH")]
    baseline: Option<PathBuf>,
    /// The same as `--format badge`
    #[arg(long, conflicts_with = "format")]
    badge: bool,
    /// Check the record instead, of a run of cases or of load on a picker: exit 1 if it was edited, cut, interrupted, made with a flaw, or made before digests were kept
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
    let badge = Format::named("badge").filter(|_| args.badge);
    let format = badge.unwrap_or(args.format);
    let beside = match &args.baseline {
        Some(baseline) => Some(with_baseline(&record, baseline).map_err(Failure::usage)?),
        None => with_last(&record, &args.run),
    };
    let compared = beside
        .as_ref()
        .and_then(|beside| format.render_compared(&record, table_style(), beside));
    if args.baseline.is_some() && compared.is_none() {
        return Err(Failure::usage(anyhow!(
            "--baseline: not supported for {} with --format {}",
            record.kind().describe(),
            format.name
        )));
    }
    let rendered = compared.or_else(|| format.render(&record, table_style()));
    let rendered = rendered.ok_or_else(|| Failure::usage(format.refusal(record.kind())))??;
    // On standard error, to keep the document intact.
    for line in rendered.left_out {
        eprintln!("left out: {line}");
    }
    print_line(rendered.text.trim_end());
    Ok(Exit::Passed)
}

/// The comparison of a record with the run that the user has named.
fn with_baseline(record: &AnyRecord, baseline: &Path) -> Result<Beside> {
    let kind = record.kind().describe();
    let refused = || format!("--baseline: not supported for {kind}");
    Beside::baseline(record, Records::read(baseline)?).with_context(refused)
}

/// The comparison of a load run with the last one, if its record is beside that of this one.
fn with_last(record: &AnyRecord, path: &Path) -> Option<Beside> {
    let AnyRecord::Load(load) = record else {
        return None;
    };
    let file = Kind::Load.file_name();
    if path.is_dir() {
        Beside::last(load, &path.join(file))
    } else {
        Beside::last(load, path)
    }
}

/// Prints what the record shows if it can serve as evidence, else every reason why it cannot.
fn verify(app: App, path: &Path) -> Result<Exit, Failure> {
    let file = if path.is_dir() {
        let verified = [Kind::Run, Kind::Picker].map(|kind| path.join(kind.file_name()));
        let [run, picker] = verified;
        if picker.is_file() && !run.is_file() {
            picker
        } else {
            run
        }
    } else {
        path.to_owned()
    };
    let there = std::fs::metadata(&file);
    there
        .with_context(|| format!("cannot read {}", file.display()))
        .map_err(Failure::usage)?;
    let shown = match digest::verify(&file) {
        Ok(Verified::Run(record)) => of_run(app, &record)?,
        Ok(Verified::Picker(record)) => format!(
            "{}: {}; poolproof {}; holds {} measurements",
            record.picker,
            record.conclusion(),
            record.tool_version,
            record.rows.len()
        ),
        Err(refusals) => {
            for refusal in refusals {
                print_line(&format!("refused: {}: {refusal}", file.display()));
            }
            return Ok(Exit::Failed);
        }
    };
    print_line(&format!("verified: {}: {shown}", file.display()));
    Ok(Exit::Passed)
}

/// What a run of cases shows.
fn of_run(app: App, record: &Record) -> Result<String, Failure> {
    let all = run::select(app.suites, &[], false).map_err(Failure::usage)?;
    let present = |id: &str| record.cases.iter().any(|case| case.id == id);
    let held = all.iter().filter(|case| present(case.id)).count();
    Ok(format!(
        "{}: {} ({}); poolproof {}, seed {}; holds {held} of the {} cases that this version runs by default",
        record.stack,
        record.conclusion(),
        record.counts(),
        record.tool_version,
        record.seed,
        all.len()
    ))
}
