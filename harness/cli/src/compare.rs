//! `poolproof compare`: a run, held against one before it and against its history; the gate.

use std::path::PathBuf;

use serde_json::json;

use super::exit::Exit;
use super::{Failure, github, say};
use poolproof_model::verdict::Verdict;
use poolproof_report::compare::compare as compare_records;
use poolproof_report::compare::drift::drifts;
use poolproof_report::compare::gate::Gate;
use poolproof_report::compare::records::Records;
use poolproof_report::github as annotations;
use poolproof_report::terminal::compare::render;

#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:
  poolproof compare reports/local-envoy poolproof-out           which verdicts have changed
  poolproof compare nights/2026-11-01 nights/2026-11-02 --gate ci/gate.toml
  poolproof compare nights/2026-11-01 nights/2026-11-25 --gate ci/gate.toml --history nights

The exit code is 0 if every rule of the gate holds, 1 if one is missed, 2 for wrong use, 3 if one cannot be judged. Without --gate the only
rule is that no Must case gets worse.")]
pub(super) struct Args {
    /// The run to hold it against: a folder with run.json, load.json, overhead.json or some of them, or one of these files
    baseline: PathBuf,
    /// The run
    run: PathBuf,
    /// The rules, as TOML: `[rules]`, then lines such as `chat-ttft = { figure = \"load chat ttft p95\", worse_percent = 5 }`
    #[arg(long, value_name = "FILE")]
    gate: Option<PathBuf>,
    /// A folder with a folder for each earlier run: figures whose level has moved are told, and `drift` rules can be judged
    #[arg(long, value_name = "DIR")]
    history: Option<PathBuf>,
    /// A difference of a figure that says nothing, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = 5.0)]
    margin: f64,
    /// Print what was found for a program
    #[arg(long)]
    json: bool,
}

pub(super) fn compare(args: &Args) -> Result<u8, Failure> {
    if !(0.0..=1000.0).contains(&args.margin) {
        let message = format!("--margin {}: must be 0 to 1,000", args.margin);
        return Err(Failure::usage(anyhow::Error::msg(message)));
    }
    let gate = args
        .gate
        .as_deref()
        .map_or_else(|| Ok(Gate::default()), Gate::load);
    let gate = gate.map_err(Failure::usage)?;
    let baseline = Records::read(&args.baseline).map_err(Failure::usage)?;
    let run = Records::read(&args.run).map_err(Failure::usage)?;
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
    let told = match args.json {
        true => {
            let all = json!({"comparison": found, "drifts": moved, "gate": ruled});
            serde_json::to_string_pretty(&all).map_err(anyhow::Error::from)?
        }
        false => render(&found, moved.as_deref().unwrap_or_default(), &ruled),
    };
    say(&told);
    let missed = ruled.iter().filter(|it| it.verdict == Verdict::Fail);
    let errors: String = missed
        .map(|it| annotations::error(&it.rule, &it.why))
        .collect();
    github::tell(&format!("```text\n{told}\n```"), &errors);
    let some = |verdict| ruled.iter().any(|it| it.verdict == verdict);
    Ok(match (some(Verdict::Fail), some(Verdict::Inconclusive)) {
        (true, _) => Exit::Failed.code(),
        (false, true) => Exit::Undecided.code(),
        (false, false) => Exit::Passed.code(),
    })
}
