//! The plan of a run: the cost of each case, and the total.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::Args;
use crate::App;
use poolproof_cases::budget::Budget;
use poolproof_cases::case::{Case, Level};
use poolproof_cases::context::Settings;
use poolproof_cases::plan::{CasePlan, RunPlan, RunTotal};
use poolproof_cases::run;
use poolproof_model::target::Target;
use poolproof_model::topology::Topology;
use poolproof_report::terminal::plan as terminal;

/// The plan of every case of a run against a target.
pub(super) fn plan(app: App, args: &Args, settings: &Settings) -> Result<(Value, String)> {
    let target = match (&args.target, &args.topology) {
        (Some(file), _) => Target::load(file)?,
        (None, Some(file)) => Target::planned(&Topology::load(file)?)?,
        (None, None) => Target::planned(&Topology::default())?,
    };
    let cases = run::select(app.suites, &[], args.slow.slow)?;
    plan_cases(
        &cases,
        &target,
        &Budget::new(app.suites, *settings),
        args.latency,
    )
}

/// The plan of cases in run order, if a request takes `latency_ms`. A case with an unmet need is listed with that need.
pub(crate) fn plan_cases(
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
    let mut total = RunTotal::default();
    for case in cases {
        if let Some(reason) = run::missing(case, target) {
            rows.push(CasePlan::Skipped {
                case: case.id,
                skipped: reason,
            });
            continue;
        }
        let effort = case
            .effort(target, &budget.rates(case))
            .with_context(|| format!("planning {}", case.id))?;
        let seconds = effort.seconds(latency_ms / 1e3);
        total.requests_mean += effort.requests_mean;
        total.requests_max += effort.requests_max as f64;
        total.tokens_mean += effort.tokens_mean;
        total.seconds_mean += seconds;
        if case.level == Level::Must {
            total.alpha += effort.alpha();
        }
        rows.push(CasePlan::Planned {
            case: case.id,
            seconds_mean: seconds,
            alpha: effort.alpha(),
            power: effort.power(),
            effort,
        });
    }
    let plan = RunPlan {
        target: target.name.clone(),
        latency_ms,
        cases: rows,
        total,
    };
    Ok((serde_json::to_value(&plan)?, terminal::run(&plan)))
}
