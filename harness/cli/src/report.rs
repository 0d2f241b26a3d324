//! `poolproof report`: a record, rendered again.

use std::path::PathBuf;

use anyhow::Context;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use super::{Failure, look, say};
use poolproof_records::file::AnyRecord;
use poolproof_report::format::{FORMATS, Format};

#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:
  poolproof report poolproof-out                                           the table again
  poolproof report poolproof-out --format markdown >> $GITHUB_STEP_SUMMARY
  poolproof report reports/kind-envoy/run.json --format ctrf > ctrf.json
  poolproof report poolproof-out --format html > report.html               a page with pictures")]
pub(super) struct Args {
    /// A record: run.json, load.json, limit.json or overhead.json, under any file name; or a folder that holds one of these
    run: PathBuf,
    /// The format; not every format renders every kind of record
    #[arg(long, value_name = "FORMAT", default_value = "terminal", value_parser = format_parser())]
    format: &'static Format,
}

fn format_parser() -> impl TypedValueParser<Value = &'static Format> {
    let values = FORMATS
        .iter()
        .map(|format| PossibleValue::new(format.name).help(format.about));
    PossibleValuesParser::new(values)
        .try_map(|name| Format::named(&name).context("is no format of reports"))
}

/// Prints the rendering. The exit code tells whether there is one, not what the run concluded.
pub(super) fn report(args: &Args) -> Result<u8, Failure> {
    let record = AnyRecord::read_at(&args.run).map_err(Failure::usage)?;
    let rendered = args.format.render(&record, look());
    let rendered = rendered.ok_or_else(|| Failure::usage(args.format.refusal(record.kind())))??;
    // On standard error, so that the document stays whole.
    for line in rendered.left_out {
        eprintln!("left out: {line}");
    }
    say(rendered.text.trim_end());
    Ok(0)
}
