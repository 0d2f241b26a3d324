//! The plan of a split: its sample sizes, and which gateways would pass.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::Args;
use crate::App;
use poolproof_cases::budget::Budget;
use poolproof_cases::context::Settings;
use poolproof_cases::plan::{ErrorRates, SplitPlan};
use poolproof_cases::run;
use poolproof_report::terminal::plan::{self as terminal, SplitAsked};

/// The case whose sample is planned.
const SPLIT: &str = "canary/split-keep-alive";

/// Plans a split by its lightest pool, whose share needs the largest sample.
pub(super) fn plan(app: App, args: &Args, settings: &Settings) -> Result<(Value, String)> {
    let total: u32 = args.weights.iter().sum();
    ensure!(total > 0, "--weights: they sum to 0, so nothing is split");
    let weighted = args.weights.iter().filter(|weight| **weight > 0);
    let lightest = *weighted
        .clone()
        .min()
        .context("--weights: none is above 0")?;
    ensure!(
        weighted.clone().count() > 1,
        "--weights: one pool gets everything, so nothing is split"
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
    let case = *run::select(app.suites, &[SPLIT.to_owned()], false)?
        .first()
        .context("no case judges splits")?;
    let alpha =
        Budget::new(app.suites, *settings).rates(case).alpha / (weighted.count() - 1) as f64;
    let rates = ErrorRates {
        alpha,
        power: settings.power,
    };
    let plan = SplitPlan::new(null, deviation, rates, &args.have)?;
    let asked = SplitAsked {
        weight: lightest,
        total_weight: total,
        rate: args.rate,
        run_alpha: settings.run_alpha,
    };
    Ok((serde_json::to_value(&plan)?, terminal::split(&plan, asked)))
}
