//! `poolproof load WORKLOAD --find-limit`: searches the highest rate that meets every objective.

use anyhow::Context;

use super::live::Live;
use super::session::{Session, SessionArgs};
use crate::duration::seconds;
use crate::metrics::Exporter;
use crate::{Exit, Failure, print_line, save};
use poolproof_load::search::{self, Plan, Step};
use poolproof_model::workload::Workload;
use poolproof_records::load::search::Found;
use poolproof_report::{format, openmetrics, terminal};

/// Options of the search.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct SearchArgs {
    /// Search for the highest rate that meets every objective
    #[arg(long)]
    pub(super) find_limit: bool,
    /// Duration of the probe of a rate, in seconds or with a unit; low rates take longer, until they can be decided [default: the workload's duration]
    #[arg(long, value_name = "TIME", value_parser = seconds, requires = "find_limit")]
    probe: Option<f64>,
    /// Largest gap between the rates on both sides of the limit, in percent
    #[arg(
        long,
        value_name = "PERCENT",
        default_value_t = 5.0,
        requires = "find_limit"
    )]
    precision: f64,
}

pub(super) async fn find_limit(
    name: &str,
    workload: Workload,
    (session_args, workers): (&SessionArgs, Option<u16>),
    args: SearchArgs,
    exporter: &Exporter,
) -> Result<Exit, Failure> {
    let plan = Plan::new(workload, args.probe, args.precision);
    let plan = plan.context("--find-limit").map_err(Failure::usage)?;
    let Some(session) = Session::start(session_args, workers).await? else {
        return Ok(Exit::Interrupted);
    };
    let mut live = Live::new(&session.progress, name, None);
    let mut watch = |step: Step<'_>| match step {
        Step::Begun(rate_per_s) => {
            live = Live::new(&session.progress, &format!("{rate_per_s:.2} req/s"), None);
        }
        Step::Sending(now) => {
            live.show(now);
            exporter.show(|| openmetrics::render_live_load(name, now));
        }
        Step::Ended(probe) => print_line(&terminal::search::line(probe)),
    };
    let searched = search::find_limit(&session.runner(), name, plan, &mut watch).await;
    session.stop().await;
    let record = searched?;
    let (path, _) = session_args.save("limit.json", &record)?;
    for (name, text) in format::files_of_search(&record)? {
        save(&session_args.out, name, &text)?;
    }
    print_line(&record.conclusion());
    print_line(&format!("record: {}", path.display()));
    Ok(match record.found() {
        _ if record.interrupted => Exit::Interrupted,
        Found::Limit => Exit::Passed,
        Found::Nothing => Exit::Failed,
        Found::Undecided => Exit::Undecided,
    })
}
