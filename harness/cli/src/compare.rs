//! `poolproof compare`: compares a run with an earlier one and with its history, and applies a gate.

use std::path::PathBuf;

use serde_json::json;

use super::{Exit, Failure, github, print_line};
use poolproof_model::verdict::Verdict;
use poolproof_report::compare::drift::drifts;
use poolproof_report::compare::gate::Gate;
use poolproof_report::compare::records::Records;
use poolproof_report::compare::{MARGIN_PERCENT, compare as compare_records};
use poolproof_report::github as annotations;
use poolproof_report::markdown::fenced;
use poolproof_report::terminal::compare::render;

#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:
  poolproof compare reports/local-envoy poolproof-out           which verdicts have changed
  poolproof compare nights/2026-11-01 nights/2026-11-02 --gate ci/gate.toml
  poolproof compare nights/2026-11-01 nights/2026-11-25 --gate ci/gate.toml --history nights
  poolproof compare profile_export_aiperf.json poolproof-out    a result of another load generator

The exit code is 0 if every rule of the gate holds, 1 if a rule is broken, 2 for a usage error, 3 if a rule cannot be judged. Without
--gate, the only rule is that no Must case gets worse; load runs alone have no rule.")]
pub(super) struct Args {
    /// The earlier run: a folder with run.json, load.json, overhead.json or picker.json, one of these files, or a result of guidellm, aiperf,
    /// inference-perf, `vllm bench serve` or llm-d's Benchmark Report
    baseline: PathBuf,
    /// The run to compare, in the same form
    run: PathBuf,
    /// TOML file of rules: `[rules]`, then lines such as `chat-ttft = { figure = \"load chat ttft p95\", worse_percent = 5 }`
    #[arg(long, value_name = "FILE")]
    gate: Option<PathBuf>,
    /// Folder with one folder per earlier run; enables reports of shifted figures, and `drift` rules
    #[arg(long, value_name = "DIR")]
    history: Option<PathBuf>,
    /// Largest difference of a figure that counts as no change, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = MARGIN_PERCENT)]
    margin: f64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn compare(args: &Args) -> Result<Exit, Failure> {
    if !(0.0..=1000.0).contains(&args.margin) {
        let message = format!("--margin {}: must be 0 to 1,000", args.margin);
        return Err(Failure::usage(anyhow::Error::msg(message)));
    }
    let gate = args.gate.as_deref().map(Gate::load).transpose();
    let gate = gate.map_err(Failure::usage)?;
    let baseline = Records::read(&args.baseline).map_err(Failure::usage)?;
    let run = Records::read(&args.run).map_err(Failure::usage)?;
    let gate = gate.unwrap_or_else(|| Gate::by_default(&baseline, &run));
    let mut found = compare_records(&baseline, &run, args.margin / 100.0);
    let moved = match &args.history {
        Some(folder) => {
            let (history, unread) = Records::read_all(folder).map_err(Failure::usage)?;
            found.notes.extend(unread);
            Some(drifts(&history, &run))
        }
        None => None,
    };
    let ruled = gate.judge(&found, moved.as_deref(), baseline.started());
    let text = if args.json {
        let all = json!({"comparison": found, "drifts": moved, "gate": ruled});
        serde_json::to_string_pretty(&all).map_err(anyhow::Error::from)?
    } else {
        render(&found, moved.as_deref().unwrap_or_default(), &ruled)
    };
    print_line(&text);
    let missed = ruled.iter().filter(|rule| rule.verdict == Verdict::Fail);
    let errors: String = missed
        .map(|rule| annotations::error(&rule.rule, &rule.why))
        .collect();
    github::publish(&fenced(&text), &errors);
    let some = |verdict| ruled.iter().any(|rule| rule.verdict == verdict);
    Ok(match (some(Verdict::Fail), some(Verdict::Inconclusive)) {
        (true, _) => Exit::Failed,
        (false, true) => Exit::Undecided,
        (false, false) => Exit::Passed,
    })
}
