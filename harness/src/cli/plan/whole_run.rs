//! The plan of a run: what each case takes, and all together.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::{Args, figure, table};
use crate::budget::Budget;
use crate::case::{Case, Level};
use crate::cli::App;
use crate::context::Settings;
use crate::run;
use crate::target::Target;
use crate::topology::Topology;

/// The plan of every case of a run against a target.
pub(super) fn plan(app: App, args: &Args, settings: &Settings) -> Result<(Value, String)> {
    let target = match (&args.target, &args.topology) {
        (Some(file), _) => Target::load(file)?,
        (None, Some(file)) => Target::planned(&Topology::load(file)?)?,
        (None, None) => Target::planned(&Topology::default())?,
    };
    let cases = run::select(app.suites, &[])?;
    plan_cases(
        &cases,
        &target,
        &Budget::new(app.suites, *settings),
        args.latency,
    )
}

/// The plan of cases, in the order in which they run, where a request takes `latency_ms`. Those that the target lacks something
/// for are told with it.
pub(in crate::cli) fn plan_cases(
    cases: &[&Case],
    target: &Target,
    budget: &Budget,
    latency_ms: f64,
) -> Result<(Value, String)> {
    ensure!(
        latency_ms > 0.0,
        "--latency {latency_ms}: must be above 0 milliseconds"
    );
    budget.settings().check(target)?;
    let mut rows = Vec::new();
    let mut totals = [0.0; 5];
    for case in cases {
        if let Some(reason) = run::missing(case, target) {
            rows.push(json!({"case": case.id, "skipped": reason}));
            continue;
        }
        let effort = case
            .effort(target, &budget.rates(case))
            .with_context(|| format!("planning {}", case.id))?;
        let seconds = effort.seconds(latency_ms / 1e3);
        let decides = case.level == Level::Must;
        for (total, figure) in totals.iter_mut().zip([
            effort.requests_mean,
            effort.requests_max as f64,
            effort.tokens_mean,
            seconds,
            if decides { effort.alpha() } else { 0.0 },
        ]) {
            *total += figure;
        }
        let mut row = serde_json::to_value(&effort)?;
        row["case"] = case.id.into();
        row["seconds_mean"] = seconds.into();
        row["alpha"] = effort.alpha().into();
        row["power"] = effort.power().into();
        rows.push(row);
    }
    let [mean, most, tokens, seconds, alpha] = totals;
    let lines = rows.iter().map(|row| match row["skipped"].as_str() {
        Some(reason) => vec![
            row["case"].as_str().unwrap_or_default().to_owned(),
            format!("skip: {reason}"),
        ],
        None => vec![
            row["case"].as_str().unwrap_or_default().to_owned(),
            format!("{:.0}", figure(row, "requests_mean")),
            row["requests_max"].to_string(),
            format!("{:.0}", figure(row, "tokens_mean")),
            format!("{:.1}", figure(row, "seconds_mean")),
            match figure(row, "alpha") {
                0.0 => "-".to_owned(),
                alpha => format!("{alpha:.1e}"),
            },
            row["power"]
                .as_f64()
                .map_or("-".to_owned(), |power| format!("{power:.4}")),
        ],
    });
    let total = vec![
        "total".to_owned(),
        format!("{mean:.0}"),
        format!("{most:.0}"),
        format!("{tokens:.0}"),
        format!("{seconds:.1}"),
        format!("{alpha:.1e}"),
        String::new(),
    ];
    let headings = [
        "case", "requests", "at most", "tokens", "seconds", "alpha", "power",
    ];
    let text = format!(
        "{}\nRequests, tokens and seconds are means on a correct stack at {latency_ms} ms a request; ballast comes on top: endpoints that are to \
         be busy are kept full for the time of their case. The total of alpha is that of the Must cases: no other fails a run.",
        table(&headings, lines.chain([total]))
    );
    let value = json!({
        "target": target.name,
        "latency_ms": latency_ms,
        "cases": rows,
        "total": {"requests_mean": mean, "requests_max": most, "tokens_mean": tokens, "seconds_mean": seconds, "alpha": alpha},
    });
    Ok((value, text))
}
