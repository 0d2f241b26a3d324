//! `poolproof report`: a record, rendered again.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};

use super::{Failure, look, say};
use crate::records::load;
use crate::records::load::search::Limit;
use crate::records::run::Record;
use crate::report;
use crate::report::foreign::{self, Converted};
use crate::report::{ctrf, html, junit, markdown, openmetrics, table};

#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:
  poolproof report poolproof-out                                           the table again
  poolproof report poolproof-out --format markdown >> $GITHUB_STEP_SUMMARY
  poolproof report reports/kind-envoy/run.json --format ctrf > ctrf.json
  poolproof report poolproof-out --format html > report.html               a page with pictures")]
pub(super) struct Args {
    /// A record, or the folder in which a run left its run.json; of a load run: load.json or limit.json
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
    /// A page in one file, with pictures
    Html,
    /// JUnit XML, as most CI systems read it
    Junit,
    /// Common Test Report Format 1.0.0
    Ctrf,
    /// YAML in the shape of GIE's conformance report, as a companion to one
    Gie,
    /// OpenMetrics 1.0.0, for who collects metrics
    #[value(name = "openmetrics")]
    OpenMetrics,
    /// Of a load run: llm-d's Benchmark Report v0.2.1, as YAML
    LlmD,
    /// Of a load run: the summary of inference-perf, as JSON
    InferencePerf,
    /// Of a load run: the keys of vLLM's `bench serve`, as JSON
    Vllm,
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
    if path.file_name().is_some_and(|name| name == "limit.json") {
        return limit(&path, args.format);
    }
    let record = Record::read(&path).map_err(Failure::usage)?;
    let text = match args.format {
        Format::Terminal => table::render(&record, look()),
        Format::Markdown => markdown::render(&record),
        Format::Html => html::render(&record),
        Format::Junit => junit::render(&record)?,
        Format::Ctrf => {
            serde_json::to_string_pretty(&ctrf::render(&record)).context("writing ctrf")?
        }
        Format::OpenMetrics => openmetrics::render(&record)?,
        Format::Gie => yaml(foreign::gie::convert(&record))?,
        Format::LlmD | Format::InferencePerf | Format::Vllm => {
            return Err(wrong_format("the record of cases", "load runs"));
        }
    };
    say(text.trim_end());
    Ok(0)
}

fn load_run(path: &Path, format: Format) -> Result<u8, Failure> {
    let record = load::Record::read(path).map_err(Failure::usage)?;
    let text = match format {
        Format::Terminal => report::load::render(&record),
        Format::Html => html::render_load(&record),
        Format::Markdown => report::load::markdown(&record),
        Format::Junit => junit::render_load(&record)?,
        Format::OpenMetrics => openmetrics::render_load(&record)?,
        Format::LlmD => yaml(foreign::llm_d::convert(&record))?,
        Format::InferencePerf => json(foreign::inference_perf::convert(&record))?,
        Format::Vllm => json(foreign::vllm::convert(&record))?,
        Format::Ctrf | Format::Gie => {
            return Err(wrong_format("a load run", "records of cases"));
        }
    };
    say(text.trim_end());
    Ok(0)
}

fn limit(path: &Path, format: Format) -> Result<u8, Failure> {
    let record = Limit::read(path).map_err(Failure::usage)?;
    let text = match format {
        Format::Terminal => report::limit::render(&record),
        Format::Html => html::render_limit(&record),
        _ => return Err(wrong_format("a search for the limit", "other records")),
    };
    say(text.trim_end());
    Ok(0)
}

fn wrong_format(record: &str, others: &str) -> Failure {
    Failure::usage(anyhow!(
        "--format: {record} has no such rendering; it is for {others}"
    ))
}

fn json(converted: Converted) -> anyhow::Result<String> {
    tell_left_out(&converted);
    serde_json::to_string_pretty(&converted.value).context("writing json")
}

fn yaml(converted: Converted) -> anyhow::Result<String> {
    tell_left_out(&converted);
    serde_saphyr::to_string(&converted.value).context("writing yaml")
}

/// On standard error, so that the document stays whole.
fn tell_left_out(converted: &Converted) {
    for line in &converted.left_out {
        eprintln!("left out: {line}");
    }
}
