//! `poolproof compare`: a run, held against one before it and against its history; the gate.

use std::path::PathBuf;

use serde_json::json;

use super::{Failure, github, say, table};
use crate::report::compare::drift::{Drift, drifts};
use crate::report::compare::figure::Says;
use crate::report::compare::gate::{Gate, Ruled};
use crate::report::compare::records::Records;
use crate::report::compare::{Comparison, compare as compare_records};
use crate::report::{clipped, github as annotations};
use crate::verdict::Verdict;

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
        (true, _) => 1,
        (false, true) => 3,
        (false, false) => 0,
    })
}

fn render(found: &Comparison, moved: &[Drift], ruled: &[Ruled]) -> String {
    let mut text = String::new();
    for (kind, lines) in [("not compared", &found.refused), ("note", &found.notes)] {
        for line in lines {
            text += &format!("{kind}: {}\n", clipped(line));
        }
    }
    if !found.verdicts.is_empty() {
        let rows = found.verdicts.iter().map(|it| {
            let verdict =
                |it: Option<Verdict>| it.map_or("not run".to_owned(), |it| it.to_string());
            vec![
                if it.worse { "worse" } else { "" }.to_owned(),
                clipped(&it.id).into_owned(),
                it.level.to_string(),
                verdict(it.before),
                verdict(it.now),
                clipped(&it.summary).chars().take(80).collect(),
            ]
        });
        text += &table(
            &["", "case", "level", "before", "now", "what was found"],
            rows,
        );
        text.push('\n');
    } else if found.verdicts_compared {
        text += "every case has the verdict that it had\n";
    }
    if !found.figures.is_empty() {
        let percent = |it: f64| format!("{:+.1} %", (it - 1.0) * 100.0);
        let rows = found.figures.iter().map(|it| {
            vec![
                clipped(&it.figure).into_owned(),
                format!("{:.3} {}", it.before, it.unit),
                format!("{:.3} {}", it.now, it.unit),
                percent(it.worse_by),
                format!("{} to {}", percent(it.interval.0), percent(it.interval.1)),
                match it.says {
                    Says::Worse => "worse",
                    Says::Better => "better",
                    Says::Same => "the same",
                    Says::NotDecided => "not decided",
                }
                .to_owned(),
            ]
        });
        text += &table(&["figure", "before", "now", "worse by", "95 %", ""], rows);
        text.push('\n');
    }
    for it in moved {
        text += &format!(
            "moved: {} from {:.3} to {:.3}, {:+.1} % {}, from {} on (p={:.1e}, {} runs)\n",
            clipped(&it.figure),
            it.before,
            it.after,
            (it.worse_by.max(1.0 / it.worse_by) - 1.0) * 100.0,
            if it.worse_by > 1.0 { "worse" } else { "better" },
            it.since.strftime("%Y-%m-%d %H:%M"),
            it.p_value,
            it.runs
        );
    }
    for it in ruled {
        let says = match it.verdict {
            Verdict::Pass => "holds",
            Verdict::Fail => "MISSED",
            _ => "cannot be judged",
        };
        text += &format!("gate: {} {says}: {}\n", clipped(&it.rule), clipped(&it.why));
    }
    text.truncate(text.trim_end().len());
    text
}
