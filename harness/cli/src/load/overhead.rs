//! `poolproof load overhead`: compares the gateway with round robin over the same endpoints: cost of the hops, gain from the picks.

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use serde_json::{Value, json};
use url::Url;

use super::find_limit::set_rate;
use super::session::{Run, Session, SessionArgs};
use crate::{Exit, Failure, print_line};
use poolproof_client::evidence::control;
use poolproof_load::paired::compare;
use poolproof_load::recorder::Cell;
use poolproof_model::target::{Endpoint, Pool, Target};
use poolproof_model::workload::Workload;
use poolproof_records::load::overhead::{self, Figure, Overhead};
use poolproof_records::load::without_header_values;
use poolproof_report::terminal::overhead::render;

#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:
  poolproof load overhead                                  cost of going through the gateway
  poolproof load overhead --rate 200 --uneven 4            gain from picks if one endpoint is four times as slow
  poolproof load overhead steady-chat --stack local        cost with the real endpoint picker")]
pub(super) struct Args {
    /// A workload that ships with poolproof, or a TOML file; it must use one model with one pool
    #[arg(default_value = "steady-chat")]
    workload: String,
    #[command(flatten)]
    session: SessionArgs,
    /// Requests per second; overrides the workload
    #[arg(long, value_name = "N")]
    rate: Option<f64>,
    /// Number of pairs of blocks
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(20..=10_000))]
    blocks: u64,
    /// Duration of a block, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0)]
    block: f64,
    /// Slow down the first endpoint of the pool by this factor; needs poolproof's model servers
    #[arg(long, value_name = "FACTOR")]
    uneven: Option<f64>,
    /// Print the record to standard output instead of a table
    #[arg(long)]
    json: bool,
}

/// Settings of a model server that are durations.
const TIMES: [&str; 3] = ["step_base_us", "prefill_token_us", "decode_seq_us"];

pub(super) async fn overhead(mut args: Args) -> Result<Exit, Failure> {
    let (mut workload, trace) = Workload::load(&args.workload).map_err(Failure::usage)?;
    let prepared = prepare(&args, &mut workload, trace.is_some());
    prepared.map_err(Failure::usage)?;
    args.session.stack.own_topology = workload.topology.clone();
    let Some(session) = Session::start(&args.session, None).await? else {
        return Ok(Exit::Interrupted);
    };
    let compared = run(&args, &session, &workload).await;
    let interrupted = session.interrupted();
    session.stop().await;
    let report = compared?;
    let (path, text) = args.session.save("overhead.json", &report)?;
    if args.json {
        print_line(&text)
    } else {
        print_line(&render(&report));
        print_line(&format!("record: {}", path.display()));
    }
    Ok(match (interrupted, report.compared.is_empty()) {
        (true, _) => Exit::Interrupted,
        (_, true) => Exit::Undecided,
        (_, false) => Exit::Passed,
    })
}

fn prepare(args: &Args, workload: &mut Workload, traced: bool) -> Result<()> {
    ensure!(
        !traced && workload.arrival.stage_count() == 1 && !workload.arrival.holds_sessions(),
        "a trace, stages or sessions cannot be cut into blocks"
    );
    if let Some(rate) = args.rate {
        set_rate(workload, rate)?;
    }
    if let Some(factor) = args.uneven {
        ensure!(
            (1.0..=1000.0).contains(&factor),
            "--uneven {factor}: must be 1 to 1,000"
        );
    }
    (workload.duration_s, workload.warm_up_s) = (Some(args.block), 0.0);
    workload.check().context("--rate or --block")
}

async fn run(args: &Args, session: &Session<'_>, workload: &Workload) -> Result<Overhead, Failure> {
    let target = &session.stack.target;
    let pool = pool_of(workload, target).map_err(Failure::usage)?;
    let direct = urls(pool).map_err(Failure::usage)?;
    let slowed = match args.uneven {
        Some(factor) => Some(slow_down(&pool.endpoints[0], factor).await?),
        None => None,
    };
    let started = Timestamp::now();
    let blocks = measure(args, session, workload, &direct).await;
    if let Some(before) = slowed {
        control::change_settings(&poolproof_client::http(1)?, &pool.endpoints[0], &before).await?;
    }
    let blocks = blocks?;
    let compared = Figure::ALL
        .iter()
        .filter_map(|figure| compare(*figure, &blocks));
    Ok(Overhead {
        schema: overhead::SCHEMA.to_owned(),
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        started,
        workload: without_header_values(workload.clone()),
        seed: args.session.stack.seed,
        stack: session.stack.name.clone(),
        components: session.stack.components.clone(),
        pool: pool.name.clone(),
        uneven: args.uneven,
        pairs: blocks.len(),
        compared: compared.collect(),
    })
}

/// Runs the blocks in pairs with the same schedule: one block through the gateway, one round robin. The order alternates, so that drift
/// affects both alike. The first pair is the warm-up.
async fn measure(
    args: &Args,
    session: &Session<'_>,
    workload: &Workload,
    direct: &[Url],
) -> Result<Vec<[Cell; 2]>, Failure> {
    let mut blocks = Vec::new();
    for block in 0..=args.blocks {
        session
            .progress
            .running(&format!("block {block} of {}", args.blocks));
        let mut cells = [Cell::default(), Cell::default()];
        let order = if block % 2 == 0 { [0, 1] } else { [1, 0] };
        for way in order {
            let run = Run {
                name: &args.workload,
                workload,
                trace: None,
                urls: if way == 0 { &[] } else { direct },
                seed: block,
            };
            let measured = session.send(run, &mut |_| {}).await?.measured;
            if session.interrupted() {
                return Ok(blocks);
            }
            cells[way] = measured.recorder.sum(|_| true);
        }
        if block > 0 {
            blocks.push(cells);
        }
    }
    Ok(blocks)
}

/// The pool that all requests of a workload go to.
fn pool_of<'a>(workload: &Workload, target: &'a Target) -> Result<&'a Pool> {
    let first = target.models.first().context("the target has no model")?;
    let mut models = workload
        .mix
        .iter()
        .map(|class| class.model.as_deref().unwrap_or(&first.name));
    let name = models.next().unwrap_or(&first.name);
    ensure!(
        models.all(|it| it == name),
        "the workload's classes use several models: gateway and round robin must reach the same endpoints"
    );
    let model = target.models.iter().find(|model| model.name == name);
    let model = model.with_context(|| format!("the target does not have model {name:?}"))?;
    let mut pools = model.weighted_pools();
    match (pools.next(), pools.next()) {
        (Some(pool), None) => Ok(pool),
        _ => anyhow::bail!(
            "model {name:?} is split over several pools: gateway and round robin must reach the same endpoints"
        ),
    }
}

fn urls(pool: &Pool) -> Result<Vec<Url>> {
    let urls = pool.endpoints.iter().map(|endpoint| endpoint.url.clone());
    let urls: Option<Vec<Url>> = urls.collect();
    let urls = urls.filter(|urls| !urls.is_empty());
    urls.with_context(|| {
        format!(
            "pool {:?}: an endpoint has no `url`, which is needed to bypass the gateway",
            pool.name
        )
    })
}

/// Slows down a model server by a factor. Returns its previous times.
async fn slow_down(endpoint: &Endpoint, factor: f64) -> Result<Value> {
    let http = poolproof_client::http(1)?;
    let settings = control::settings(&http, endpoint)
        .await
        .context("--uneven")?;
    let mut before = json!({});
    let mut after = json!({});
    for name in TIMES {
        let us = settings[name]
            .as_f64()
            .with_context(|| format!("endpoint {}: no {name}", endpoint.name))?;
        (before[name], after[name]) = (us.into(), (us * factor).into());
    }
    control::change_settings(&http, endpoint, &after)
        .await
        .context("--uneven")?;
    Ok(before)
}
