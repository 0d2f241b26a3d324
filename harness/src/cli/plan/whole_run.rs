//! The plan of a whole run: what each case takes, and all together.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::{Args, figure, table};
use crate::cli::App;
use crate::context::Settings;
use crate::run;
use crate::target::Target;
use crate::topology::Topology;

/// The plan of every case of a run against a target.
pub(super) fn plan(app: App, args: &Args, settings: &Settings) -> Result<(Value, String)> {
    ensure!(
        args.latency > 0.0,
        "--latency {}: must be above 0 milliseconds",
        args.latency
    );
    let target = match (&args.target, &args.topology) {
        (Some(file), _) => Target::load(file)?,
        (None, Some(file)) => Target::planned(&Topology::load(file)?)?,
        (None, None) => Target::planned(&Topology::default())?,
    };
    settings.check(&target)?;
    let mut rows = Vec::new();
    let mut totals = [0.0; 5];
    for case in run::select(app.suites, &[])? {
        if let Some(reason) = run::missing(case, &target) {
            rows.push(json!({"case": case.id, "skipped": reason}));
            continue;
        }
        let effort =
            (case.plan)(&target, settings).with_context(|| format!("planning {}", case.id))?;
        let seconds = effort.seconds(args.latency / 1e3);
        for (total, figure) in totals.iter_mut().zip([
            effort.requests_mean,
            effort.requests_max as f64,
            effort.tokens_mean,
            seconds,
            effort.alpha(),
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
        "{}\nRequests, tokens and seconds are means on a correct stack at {} ms a request; ballast comes on top: endpoints that are to \
         be busy are kept full for the time of their case.",
        table(&headings, lines.chain([total])),
        args.latency
    );
    let value = json!({
        "target": target.name,
        "latency_ms": args.latency,
        "cases": rows,
        "total": {"requests_mean": mean, "requests_max": most, "tokens_mean": tokens, "seconds_mean": seconds, "alpha": alpha},
    });
    Ok((value, text))
}
