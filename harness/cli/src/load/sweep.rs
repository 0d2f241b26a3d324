//! `poolproof load ... --sweep`: measures throughput against latency from idle to beyond saturation.

use anyhow::Context;
use url::Url;

use super::live::Live;
use super::session::{Session, SessionArgs};
use crate::duration::seconds;
use crate::metrics::Exporter;
use crate::{Exit, Failure, github, print_line, save};
use poolproof_load::sweep::{self, Plan, Progress, Sending};
use poolproof_model::workload::Workload;
use poolproof_model::workload::trace::Trace;
use poolproof_records::load::sweep::RateSweep;
use poolproof_report::terminal::TableStyle;
use poolproof_report::{format, openmetrics, terminal};

/// Options of the sweep.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct SweepArgs {
    /// Measure throughput against latency from idle to beyond saturation, at rates that follow from the measured capacity, and find the knee
    #[arg(long, conflicts_with = "find_limit")]
    pub(super) sweep: bool,
    /// Duration of a step of the sweep, in seconds or with a unit; low rates take up to six times as long, to support percentiles
    #[arg(long, value_name = "TIME", value_parser = seconds, default_value = "10", requires = "sweep")]
    step: f64,
}

/// What is swept.
pub(super) struct Swept<'a> {
    pub(super) name: &'a str,
    pub(super) workload: Workload,
    pub(super) trace: Option<&'a Trace>,
    pub(super) urls: &'a [Url],
    /// Whether the record is printed instead of tables.
    pub(super) json: bool,
}

pub(super) async fn sweep(
    swept: Swept<'_>,
    (session_args, workers): (&SessionArgs, Option<u16>),
    args: SweepArgs,
    exporter: &Exporter,
) -> Result<Exit, Failure> {
    let Swept {
        name,
        workload,
        trace,
        urls,
        json,
    } = swept;
    let plan = Plan::new(workload, args.step).context("--sweep");
    let plan = plan.map_err(Failure::usage)?;
    let Some(session) = Session::start(session_args, workers).await? else {
        return Ok(Exit::Interrupted);
    };
    let mut live = Live::new(&session.progress, name, None);
    let mut watch = |step: Progress<'_>| match step {
        Progress::Begun(kind, load) => {
            live = Live::new(&session.progress, &format!("{kind}: {load}"), None);
        }
        Progress::Sending(now) => {
            live.show(now);
            exporter.show(|| openmetrics::render_live_load(name, now));
        }
        Progress::Ended(step) => eprintln!("{}", terminal::sweep::line(step)),
    };
    let sending = Sending { name, trace, urls };
    let runner = session.runner();
    let swept = sweep::sweep(&runner, sending, plan, &mut watch).await;
    drop(runner);
    session.stop().await;
    let record = swept?;
    let (path, text) = session_args.save("sweep.json", &record)?;
    for (name, text) in format::files_of_sweep(&record)? {
        save(&session_args.out, name, &text)?;
    }
    if json {
        print_line(&text);
    } else {
        print_line(&terminal::sweep::render(&record, STYLE));
        print_line(&format!("record: {}", path.display()));
    }
    github::publish(&terminal::sweep::markdown(&record), "");
    Ok(exit(&record))
}

/// The table has no colours, and the chart its widest form.
const STYLE: TableStyle = TableStyle {
    width: 160,
    colour: false,
};

fn exit(record: &RateSweep) -> Exit {
    if record.interrupted {
        Exit::Interrupted
    } else if record.most_per_s().is_none() {
        Exit::Failed
    } else if record.knee.is_none() || record.is_doubtful() {
        Exit::Undecided
    } else {
        Exit::Passed
    }
}
