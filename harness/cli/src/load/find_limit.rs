//! `poolproof load WORKLOAD --find-limit`: searches the highest rate that meets every objective.

use anyhow::{Context, Result};
use jiff::Timestamp;

use super::session::{Run, Session, SessionArgs};
use crate::exit::Exit;
use crate::metrics::Exporter;
use crate::{Failure, INTERRUPTED, print_line, save};
use poolproof_load::engine::Snapshot;
use poolproof_model::workload::Arrival;
use poolproof_model::workload::Workload;
use poolproof_model::workload::trace::Trace;
use poolproof_records::load::search::{Found, Probe, RateSearch, SCHEMA, Search};
use poolproof_records::load::without_header_values;
use poolproof_report::{format, openmetrics, terminal};

/// Options of the search.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct LimitArgs {
    /// Search for the highest rate that meets every objective
    #[arg(long)]
    pub(super) find_limit: bool,
    /// Duration of the probe of a rate, in seconds; low rates take longer, until they can be decided [default: the workload's duration]
    #[arg(long, value_name = "SECONDS", requires = "find_limit")]
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

/// A probe sends this many times the least number of requests that can decide, since some may be bad.
const MARGIN: f64 = 1.25;
/// A request without an answer after this many times the longest limit is cancelled. It has missed the limit and only delays the next probe.
const GIVEN_UP_AFTER: f64 = 4.0;

pub(super) async fn find_limit(
    name: &str,
    workload: Workload,
    trace: Option<Trace>,
    (session_args, workers): (&SessionArgs, Option<u16>),
    args: LimitArgs,
    exporter: &Exporter,
) -> Result<u8, Failure> {
    let mut workload = workload;
    let first = workload.arrival.rate_mut().copied();
    let first = first.context(
        "--find-limit: `arrival.process` must be constant, poisson or gamma, since only these have one rate",
    );
    let first = first.map_err(Failure::usage)?;
    if !(0.1..=100.0).contains(&args.precision) {
        let wrong = anyhow::anyhow!("--precision {}: must be 0.1 to 100", args.precision);
        return Err(Failure::usage(wrong));
    }
    if let Some(probe_s) = args.probe {
        workload.duration_s = Some(probe_s);
        workload.warm_up_s = workload.warm_up_s.min(probe_s / 5.0);
    }
    let longest_ms = workload
        .slos
        .iter()
        .filter_map(|slo| slo.at_most_ms)
        .reduce(f64::max);
    if let Some(longest_ms) = longest_ms {
        workload.timeout_s = workload
            .timeout_s
            .min((GIVEN_UP_AFTER * longest_ms / 1000.0).max(1.0));
    }
    workload
        .check()
        .context("--probe")
        .map_err(Failure::usage)?;
    let Some(session) = Session::start(session_args, workers).await? else {
        return Ok(INTERRUPTED);
    };
    let (started, asked) = (Timestamp::now(), workload.clone());
    let mut search = Search::new(first, 1.0 + args.precision / 100.0);
    let searched = probe(
        &session,
        name,
        &mut workload,
        trace.as_ref(),
        &mut search,
        exporter,
    );
    let searched = searched.await;
    let record = RateSearch {
        schema: SCHEMA.to_owned(),
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        started,
        interrupted: session.interrupted(),
        name: name.to_owned(),
        workload: without_header_values(asked),
        seed: session_args.stack.seed,
        stack: session.stack.name.clone(),
        flaw: session_args.stack.flaw.map(|flaw| flaw.to_string()),
        components: session.stack.components.clone(),
        environment: session.environment.clone(),
        search,
    };
    session.stop().await;
    searched?;
    let (path, _) = session_args.save("limit.json", &record)?;
    for (name, text) in format::files_of_search(&record)? {
        save(&session_args.out, name, &text)?;
    }
    print_line(&record.conclusion());
    print_line(&format!("record: {}", path.display()));
    Ok(match record.found() {
        _ if record.interrupted => INTERRUPTED,
        Found::Limit => Exit::Passed.code(),
        Found::Nothing => Exit::Failed.code(),
        Found::Undecided => Exit::Undecided.code(),
    })
}

async fn probe(
    session: &Session<'_>,
    name: &str,
    workload: &mut Workload,
    trace: Option<&Trace>,
    search: &mut Search,
    exporter: &Exporter,
) -> Result<(), Failure> {
    let probe_s = workload.end_s(trace) - workload.warm_up_s;
    while let Some(rate_per_s) = search.next_per_s() {
        set_rate(workload, rate_per_s)?;
        let decided_s = MARGIN * workload.requests_min() / rate_per_s;
        workload.duration_s = Some(workload.warm_up_s + probe_s.max(decided_s));
        let run = Run {
            name,
            workload,
            trace,
            urls: &[],
            seed: 0,
        };
        session.progress.running(&format!("{rate_per_s:.2} req/s"));
        let mut watch = |now: &Snapshot| exporter.show(|| openmetrics::render_live_load(name, now));
        let record = session.record(run, &mut watch).await?;
        if session.interrupted() {
            return Ok(());
        }
        let probe = Probe::new(rate_per_s, &record);
        print_line(&terminal::search::line(&probe));
        search.probes.push(probe);
    }
    Ok(())
}

/// Sets the rate of a workload that has one, else its users.
pub(super) fn set_rate(workload: &mut Workload, to: f64) -> Result<()> {
    match &mut workload.arrival {
        Arrival::Closed { users, .. } | Arrival::Sessions { users, .. } => *users = to as usize,
        arrival => {
            let rate = arrival.rate_mut();
            *rate.context("--rate: the arrivals of this workload have no single rate")? = to;
        }
    }
    Ok(())
}
