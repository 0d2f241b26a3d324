//! `poolproof report`: a record, rendered again.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};

use super::{Failure, look, say};
use crate::load;
use crate::report;
use crate::report::record::Record;
use crate::report::{ctrf, junit, markdown, table};

#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:
  poolproof report poolproof-out                                           the table again
  poolproof report poolproof-out --format markdown >> $GITHUB_STEP_SUMMARY
  poolproof report reports/kind-envoy/run.json --format ctrf > ctrf.json")]
pub(super) struct Args {
    /// A record, or the folder in which a run left its run.json; of a load run: load.json, as a table
    run: PathBuf,
    /// What to make of it
    #[arg(long, value_enum, default_value_t = Format::Terminal)]
    format: Format,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Format {
    /// A table for a person
    Terminal,
    /// Markdown, as GitHub renders it
    Markdown,
    /// JUnit XML, as most CI systems read it
    Junit,
    /// Common Test Report Format 1.0.0
    Ctrf,
}

/// Prints the rendering. The exit code tells whether there is one, not what the run concluded.
pub(super) fn report(args: &Args) -> Result<u8, Failure> {
    let path = match args.run.is_dir() {
        true => args.run.join("run.json"),
        false => args.run.clone(),
    };
    if path.file_name().is_some_and(|name| name == "load.json") {
        return load_run(&path, args.format);
    }
    let record = Record::read(&path).map_err(Failure::usage)?;
    let text = match args.format {
        Format::Terminal => table::render(&record, look()),
        Format::Markdown => markdown::render(&record),
        Format::Junit => junit::render(&record)?,
        Format::Ctrf => {
            serde_json::to_string_pretty(&ctrf::render(&record)).context("writing ctrf")?
        }
    };
    say(text.trim_end());
    Ok(0)
}

fn load_run(path: &Path, format: Format) -> Result<u8, Failure> {
    let record = load::record::Record::read(path).map_err(Failure::usage)?;
    match format {
        Format::Terminal => say(report::load::render(&record).trim_end()),
        _ => {
            return Err(Failure::usage(anyhow!(
                "--format: a load run is rendered for a terminal only"
            )));
        }
    }
    Ok(0)
}
