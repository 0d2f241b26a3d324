//! `poolproof plan`: sample sizes, computed before anything is sent.

mod canary;
mod whole_run;

use anyhow::Context;
use clap::ValueEnum;

use super::rates::RateArgs;
use super::slow::SlowArgs;
use super::{App, Exit, Failure, print_line};

pub(super) use whole_run::plan_cases;

/// The default for the time of a request, in milliseconds.
pub(super) const LATENCY_MS: f64 = 50.0;

#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:
  poolproof plan canary --weights 90,10 --tolerance 3          sample size of a split, and which gateways would pass
  poolproof plan canary --weights 90,10 --have 60,200          what samples of these sizes can detect
  poolproof plan --all --target my-gateway.toml --latency 400  requests, tokens and time of a whole run")]
pub(super) struct Args {
    /// The question to plan
    #[arg(required_unless_present = "all")]
    question: Option<Asked>,
    /// Plan every case of a run
    #[arg(long, conflicts_with = "question")]
    all: bool,
    /// Weights of the pools of a split
    #[arg(
        long,
        value_name = "W,W",
        value_delimiter = ',',
        default_value = "90,10"
    )]
    weights: Vec<u32>,
    /// Sample sizes that are available or affordable
    #[arg(long, value_name = "N,N", value_delimiter = ',')]
    have: Vec<u64>,
    /// Requests per second, to compute the duration
    #[arg(long, value_name = "N", default_value_t = 50.0)]
    rate: f64,
    /// With --all: the time of a request, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = LATENCY_MS)]
    latency: f64,
    /// With --all: the target [default: the target of the topology]
    #[arg(long, value_name = "FILE", env = "POOLPROOF_TARGET")]
    target: Option<std::path::PathBuf>,
    /// With --all: the topology [default: the built-in one]
    #[arg(long, value_name = "FILE", conflicts_with = "target")]
    topology: Option<std::path::PathBuf>,
    #[command(flatten)]
    rates: RateArgs,
    #[command(flatten)]
    slow: SlowArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Asked {
    /// Does each pool of a split get its share?
    Canary,
}

pub(super) fn plan(app: App, args: &Args) -> Result<Exit, Failure> {
    let settings = args.rates.settings(1).map_err(Failure::usage)?;
    let (value, text) = match args.question {
        Some(Asked::Canary) => canary::plan(app, args, &settings),
        None => whole_run::plan(app, args, &settings),
    }
    .map_err(Failure::usage)?;
    if args.json {
        print_line(&serde_json::to_string_pretty(&value).context("writing the plan")?)
    } else {
        print_line(&text)
    }
    Ok(Exit::Passed)
}
