//! `poolproof matrix`: the table of cases against stacks, from records, or after running the stacks of a plan.

mod plan;
mod stacks;

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use clap::ValueEnum;

use super::{App, Exit, Failure, print_line, table_style};
use poolproof_report::matrix::{Matrix, html, markdown, read, terminal};
use poolproof_report::terminal::TableStyle;

#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:
  poolproof matrix reports                                   the table of all runs in and below a folder
  poolproof matrix reports --format html --out matrix.html   one page with filters; it needs no network
  poolproof matrix before after                              two folders of runs side by side
  poolproof matrix plan.toml                                 run each stack of a plan, then print the table
  poolproof matrix plan.toml --records night --again         run all of them, finished ones too

A plan (reports/README.md describes all fields):
  [[stack]]
  name = \"envoy\"
  place = \"local\"
  gateway = \"envoy\"

  [[stack]]
  name = \"my-gateway\"
  target = \"my-gateway.toml\"
  start_command = [\"./my-gateway\"]
  start_endpoints = true")]
pub(super) struct Args {
    /// Folders or records of runs; or one plan, a TOML file
    #[arg(value_name = "DIR|FILE|PLAN.toml", required = true)]
    paths: Vec<PathBuf>,
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Terminal)]
    format: Format,
    /// Write the table to this file; its links to records are relative to the file
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Include runs that were made with a flaw, marked as such
    #[arg(long)]
    with_flaws: bool,
    /// With a plan: folder for the records, one folder per stack
    #[arg(long, value_name = "DIR", default_value = "poolproof-matrix")]
    records: PathBuf,
    /// With a plan: run finished stacks again
    #[arg(long)]
    again: bool,
}

/// A format of the matrix.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// Table for the terminal
    Terminal,
    /// GitHub Markdown
    Markdown,
    /// Web page with filters, in one file
    Html,
    /// JSON
    Json,
}

pub(super) async fn matrix(app: App, args: Args) -> Result<Exit, Failure> {
    let is_plan = |path: &PathBuf| {
        path.extension()
            .is_some_and(|extension| extension == "toml")
    };
    if !args.paths.iter().any(is_plan) {
        show(&args.paths, &args)?;
        return Ok(Exit::Passed);
    }
    let [file] = args.paths.as_slice() else {
        let wrong = "give one plan, or folders and records of runs, but not both";
        return Err(Failure::usage(anyhow!(wrong)));
    };
    let plan = plan::Plan::read(file).map_err(Failure::usage)?;
    let (exit, folders) = stacks::run(app, &plan, &args).await?;
    if !folders.is_empty() {
        show(&folders, &args)?;
    }
    Ok(exit)
}

/// Prints or saves the table of these records.
fn show(paths: &[PathBuf], args: &Args) -> Result<(), Failure> {
    let base = base(paths, args.out.as_deref());
    let matrix = read::read(paths, base, args.with_flaws).map_err(Failure::usage)?;
    for out in &matrix.left_out {
        eprintln!("left out: {}: {}", out.file, out.reason);
    }
    let Some(out) = &args.out else {
        print_line(render(&matrix, args.format, table_style())?.trim_end());
        return Ok(());
    };
    let style = TableStyle {
        colour: false,
        ..table_style()
    };
    let text = render(&matrix, args.format, style)?;
    let written = std::fs::write(out, text.trim_end().to_owned() + "\n");
    written
        .with_context(|| format!("--out {}: cannot write the file", out.display()))
        .map_err(Failure::usage)
}

/// The folder from which links start: that of the output, else the only folder of records, else the current one.
fn base<'a>(paths: &'a [PathBuf], out: Option<&'a Path>) -> &'a Path {
    match (out, paths) {
        (Some(out), _) => out.parent().unwrap_or(out),
        (None, [only]) if only.is_dir() => only,
        _ => Path::new("."),
    }
}

fn render(matrix: &Matrix, format: Format, style: TableStyle) -> anyhow::Result<String> {
    Ok(match format {
        Format::Terminal => terminal::render(matrix, style),
        Format::Markdown => markdown::render(matrix),
        Format::Html => html::render(matrix),
        Format::Json => serde_json::to_string_pretty(matrix).context("writing the matrix")?,
    })
}
