//! `poolproof load overhead`: compares the gateway with round robin over the same endpoints: cost of the hops, gain from the picks.

use anyhow::Context;

use super::session::{Session, SessionArgs};
use crate::duration::seconds;
use crate::{Exit, Failure, print_line};
use poolproof_load::adjust::set_scale;
use poolproof_load::overhead::{self, Plan};
use poolproof_model::workload::Workload;
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
    /// Duration of a block, in seconds or with a unit
    #[arg(long, value_name = "TIME", value_parser = seconds, default_value = "2s")]
    block: f64,
    /// Slow down the first endpoint of the pool by this factor; needs poolproof's model servers
    #[arg(long, value_name = "FACTOR")]
    uneven: Option<f64>,
    /// Print the record to standard output instead of a table
    #[arg(long)]
    json: bool,
}

pub(super) async fn overhead(mut args: Args) -> Result<Exit, Failure> {
    let (mut workload, _) = Workload::load(&args.workload).map_err(Failure::usage)?;
    args.session.stack.own_topology = workload.topology.clone();
    if let Some(rate) = args.rate {
        let set = set_scale(&mut workload, rate).context("--rate");
        set.map_err(Failure::usage)?;
    }
    let plan = Plan::new(workload, args.blocks, args.block, args.uneven);
    let plan = plan.map_err(Failure::usage)?;
    let Some(session) = Session::start(&args.session, None).await? else {
        return Ok(Exit::Interrupted);
    };
    let mut watch = |pair| {
        let line = format!("block {pair} of {}", args.blocks);
        session.progress.running(&line)
    };
    let compared = overhead::run(&session.runner(), &args.workload, plan, &mut watch).await;
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
