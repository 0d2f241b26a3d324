//! The gateway against round robin over the same endpoints: blocks of load in pairs, one block through each path.

mod path;
mod slowed;

use std::ops::RangeInclusive;

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use url::Url;

use super::Error;
use super::paired::compare;
use super::recorder::Cell;
use super::run::{Run, Runner};
use poolproof_model::workload::{Arrival, Workload};
use poolproof_records::load::overhead::{Figure, Overhead, SCHEMA};
use poolproof_records::load::without_header_values;

/// The permitted factor by which an endpoint is slowed down.
const UNEVEN: RangeInclusive<f64> = 1.0..=1000.0;

/// A comparison that can begin: its workload was checked.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The workload of a block.
    workload: Workload,
    pairs: u64,
    uneven: Option<f64>,
}

impl Plan {
    /// Plans `pairs` pairs of blocks of `block_s` seconds. `uneven` is the factor by which the first endpoint is slowed down. Fails if the
    /// workload cannot be cut into blocks, or if a value is out of range.
    pub fn new(
        mut workload: Workload,
        pairs: u64,
        block_s: f64,
        uneven: Option<f64>,
    ) -> Result<Self> {
        let traced = matches!(workload.arrival, Arrival::Trace { .. });
        ensure!(
            !traced && workload.arrival.stage_count() == 1 && !workload.arrival.holds_sessions(),
            "a trace, stages or sessions cannot be cut into blocks"
        );
        if let Some(factor) = uneven {
            ensure!(
                UNEVEN.contains(&factor),
                "uneven {factor}: must be 1 to 1,000"
            );
        }
        (workload.duration_s, workload.warm_up_s) = (Some(block_s), 0.0);
        workload.check().context("block")?;
        Ok(Self {
            workload,
            pairs,
            uneven,
        })
    }
}

/// Sends the blocks and compares them. `name` is that of the workload; `watch` receives the number of each pair before it begins, from 0,
/// the warm-up. An interrupted comparison has the pairs that were completed. A target whose endpoints cannot be reached past the gateway is
/// a usage error.
pub async fn run(
    runner: &Runner<'_>,
    name: &str,
    plan: Plan,
    watch: &mut dyn FnMut(u64),
) -> Result<Overhead, Error> {
    let pool = path::pool_of(&plan.workload, runner.target).map_err(Error::Usage)?;
    let direct = path::urls(pool).map_err(Error::Usage)?;
    let slowed = match plan.uneven {
        Some(factor) => Some(slowed::slow_down(&pool.endpoints[0], factor).await?),
        None => None,
    };
    let started = Timestamp::now();
    let blocks = measure(runner, name, &plan, &direct, watch).await;
    if let Some(slowed) = slowed {
        slowed.undo().await?;
    }
    let blocks = blocks?;
    let compared = Figure::ALL
        .iter()
        .filter_map(|figure| compare(*figure, &blocks));
    Ok(Overhead {
        schema: SCHEMA.to_owned(),
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        started,
        seed: runner.seed,
        stack: runner.stack.to_owned(),
        components: runner.components.to_vec(),
        pool: pool.name.clone(),
        uneven: plan.uneven,
        pairs: blocks.len(),
        compared: compared.collect(),
        workload: without_header_values(plan.workload),
    })
}

/// Runs the blocks in pairs with the same schedule: one block through the gateway, one round robin. The order alternates, so that drift
/// affects both alike. The first pair is the warm-up.
async fn measure(
    runner: &Runner<'_>,
    name: &str,
    plan: &Plan,
    direct: &[Url],
    watch: &mut dyn FnMut(u64),
) -> Result<Vec<[Cell; 2]>, Error> {
    let mut blocks = Vec::new();
    for pair in 0..=plan.pairs {
        watch(pair);
        let mut cells = [Cell::default(), Cell::default()];
        let order = if pair % 2 == 0 { [0, 1] } else { [1, 0] };
        for way in order {
            let run = Run {
                name,
                workload: &plan.workload,
                trace: None,
                urls: if way == 0 { &[] } else { direct },
                seed: pair,
            };
            let measured = runner.send(run, &mut |_| {}).await?.measured;
            if runner.interrupted() {
                return Ok(blocks);
            }
            cells[way] = measured.recorder.sum(|_| true);
        }
        if pair > 0 {
            blocks.push(cells);
        }
    }
    Ok(blocks)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_comparison_that_cannot_begin_is_refused_with_the_reason() {
        let plan = |arrival: &str, block_s, uneven| {
            let workload = toml::from_str(&format!(
                "shows = 'x'\nduration_s = 60\nwarm_up_s = 5\narrival = {arrival}\n\
                 [[mix]]\nclass = 'c'\ninput_tokens = 1\noutput_tokens = 1\n"
            ));
            Plan::new(workload.unwrap(), 20, block_s, uneven).map_err(|error| format!("{error:#}"))
        };
        const POISSON: &str = "{ process = 'poisson', rate_per_s = 40 }";
        let planned = plan(POISSON, 0.5, Some(4.0)).unwrap();
        assert_eq!(planned.workload.duration_s, Some(0.5));
        assert_eq!(planned.workload.warm_up_s, 0.0);
        for (arrival, block_s, uneven, named) in [
            ("{ process = 'trace', file = 't' }", 1.0, None, "blocks"),
            (
                "{ process = 'sessions', users = 1, turns = 2, think_time_s = 1 }",
                1.0,
                None,
                "blocks",
            ),
            (POISSON, 1.0, Some(0.5), "uneven 0.5"),
            (POISSON, 0.0, None, "`duration_s` is 0"),
        ] {
            let message = plan(arrival, block_s, uneven).unwrap_err();
            assert!(message.contains(named), "{message}");
        }
    }
}
