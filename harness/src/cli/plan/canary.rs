//! The plan of a split: its samples, and which gateways would pass.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::{Args, figure, table};
use crate::budget::Budget;
use crate::cli::App;
use crate::context::Settings;
use crate::run;
use crate::stats::binomial::{Plan, Question};
use crate::stats::sequential::Sequential;

/// The case whose samples are planned.
const SPLIT: &str = "canary/split-keep-alive";

/// The plan of a split: of its lightest pool, whose share takes the most to be told from another.
pub(super) fn plan(app: App, args: &Args, settings: &Settings) -> Result<(Value, String)> {
    let total: u32 = args.weights.iter().sum();
    ensure!(
        total > 0,
        "--weights: they sum to 0, so that nothing is split"
    );
    let weighted = args.weights.iter().filter(|weight| **weight > 0);
    let lightest = *weighted
        .clone()
        .min()
        .context("--weights: none is above 0")?;
    ensure!(
        weighted.clone().count() > 1,
        "--weights: one pool gets everything, so that nothing is split"
    );
    let null = f64::from(lightest) / f64::from(total);
    let deviation = settings.split_tolerance;
    ensure!(
        deviation < null.min(1.0 - null),
        "--tolerance {}: must be below the lightest share, {:.4} %",
        deviation * 100.0,
        null * 100.0
    );
    ensure!(
        args.rate > 0.0,
        "--rate {}: must be above 0 requests per second",
        args.rate
    );
    let case = *run::select(app.suites, &[SPLIT.to_owned()])?
        .first()
        .context("no case judges splits")?;
    let rates = Budget::new(app.suites, *settings).rates(case);
    let alpha = rates.alpha / (weighted.count() - 1) as f64;
    let question = Question::Equal { null, deviation };
    let fixed = Plan::new(question, alpha, settings.power)?;
    let test = Sequential::new(question, alpha, settings.power)?;
    let step = test.looks.first().map_or(0, |look| look.n);
    let percent = |count: u64, n: u64| 100.0 * count as f64 / n as f64;
    let (low, high) = (*fixed.accepted.start(), *fixed.accepted.end());
    let mut text = format!(
        "The pool of weight {lightest} of {total} is to get {:.2} % of the requests; {:.2} points more or less must be caught.\n\n\
         without looks  {} requests, passes with {low} to {high} ({:.2} % to {:.2} %)\n\
         with looks     every {step} requests, {} at most; {:.0} on average if the split is right\n\
         error rates    fails a right split with a chance of {:.1e} (of a run's {:.1e}), catches the deviation with {:.4}\n\
         time           at {} requests per second: {:.0} s on average, {:.0} s at most\n\n",
        null * 100.0,
        deviation * 100.0,
        fixed.n,
        percent(low, fixed.n),
        percent(high, fixed.n),
        test.n_max(),
        test.at_null.mean_n,
        test.at_null.fails,
        settings.run_alpha,
        test.at_deviation.fails,
        args.rate,
        test.at_null.mean_n / args.rate,
        test.n_max() as f64 / args.rate,
    );
    let mut rows = Vec::new();
    for points in [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 8.0, 10.0] {
        for share in [null - points / 100.0, null + points / 100.0] {
            if (0.0..=1.0).contains(&share) && (points > 0.0 || rows.is_empty()) {
                let behaviour = test.at(share);
                rows.push(json!({
                    "share": share,
                    "points_off": (share - null) * 100.0,
                    "passes_without_looks": fixed.passes(share),
                    "passes_with_looks": (1.0 - behaviour.fails).max(0.0),
                    "mean_requests": behaviour.mean_n,
                }));
            }
        }
    }
    rows.sort_by(|a, b| figure(a, "share").total_cmp(&figure(b, "share")));
    text.push_str("A gateway that is off passes with a chance of\n");
    text.push_str(&table(
        &[
            "share",
            "points off",
            "without looks",
            "with looks",
            "mean requests",
        ],
        rows.iter().map(|row| {
            vec![
                format!("{:.2} %", figure(row, "share") * 100.0),
                format!("{:+.2}", figure(row, "points_off")),
                format!("{:.4}", figure(row, "passes_without_looks")),
                format!("{:.4}", figure(row, "passes_with_looks")),
                format!("{:.0}", figure(row, "mean_requests")),
            ]
        }),
    ));
    let have: Vec<Value> = args
        .have
        .iter()
        .map(|n| sample_of(*n, question, alpha))
        .collect();
    for sample in &have {
        text.push_str(&format!(
            "\n{} requests: pass with {} to {}; a gateway at {:.2} % passes with a chance of {:.4}, one at {:.2} % with {:.4}; \
             only from {} on is it caught with a chance of {}",
            sample["requests"],
            sample["accepted"][0],
            sample["accepted"][1],
            (null - deviation) * 100.0,
            figure(sample, "passes_below"),
            (null + deviation) * 100.0,
            figure(sample, "passes_above"),
            match sample["caught_from"].as_f64() {
                Some(share) => format!("{:.1} %", share * 100.0),
                None => "no share".to_owned(),
            },
            settings.power,
        ));
    }
    let value = json!({
        "null": null,
        "deviation": deviation,
        "alpha": alpha,
        "power": settings.power,
        "without_looks": {"requests": fixed.n, "accepted": [low, high], "power": fixed.power},
        "with_looks": test,
        "gateways": rows,
        "have": have,
    });
    Ok((value, text))
}

/// What a sample of a given size can show.
fn sample_of(n: u64, question: Question, alpha: f64) -> Value {
    const STEPS: u32 = 1000;
    let plan = Plan::of_size(question, n, alpha);
    let around = question.deviations();
    let above = (0..=STEPS).map(|step| f64::from(step) / f64::from(STEPS));
    let mut above = above.filter(|share| *share > question.null());
    json!({
        "requests": n,
        "accepted": [plan.accepted.start(), plan.accepted.end()],
        "passes_below": around.first().map(|share| plan.passes(*share)),
        "passes_above": around.last().map(|share| plan.passes(*share)),
        "caught_from": above.find(|share| plan.passes(*share) <= 0.01),
    })
}
