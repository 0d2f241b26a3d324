//! `poolproof load`: sends one workload and judges it by its objectives.

mod calibrate;
mod dry_run;
mod find_limit;
mod fleet;
mod overhead;
mod session;

use anyhow::{Context, Result};
use url::Url;

use super::metrics::{Exporter, MetricsArgs};
use super::{Exit, Failure, github, print_line, save};
use find_limit::SearchArgs;
use poolproof_load::adjust::{set_duration, set_rate};
use poolproof_load::engine::Snapshot;
use poolproof_load::run::Run;
use poolproof_load::saturation;
use poolproof_model::workload::trace::Trace;
use poolproof_model::workload::{SHIPPED, Workload};
use poolproof_records::load::{Conclusion, Record};
use poolproof_report::{format, openmetrics, terminal};
use session::{Session, SessionArgs, watcher};

#[derive(Clone, Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:
  poolproof load                                       list the workloads that ship with poolproof
  poolproof load steady-chat                           one of them, on the embedded stack
  poolproof load my.toml --target my-gateway.toml      your own, against an existing gateway
  poolproof load my.toml --target my-gateway.toml --api-key-env OPENAI_API_KEY --wait-ready 10m
  poolproof load steady-chat --rate 5 --duration 20    at a lower rate, for a shorter time
  poolproof load steady-chat --dry-run                 what a run would send
  poolproof load steady-chat --find-limit --probe 20   the highest rate that meets its objectives
  poolproof load steady-chat --stack kind --workers 3  from three pods, with the same requests as from one process

Exit codes: 0 every objective was met, 1 an objective was missed, 3 not decided or invalid; `poolproof --help` lists all."
)]
pub(super) struct Args {
    #[command(subcommand)]
    mode: Option<Mode>,
    /// A workload that ships with poolproof, or a TOML file [default: list the shipped workloads]
    workload: Option<String>,
    #[command(flatten)]
    session: SessionArgs,
    /// URL that requests go to; repeatable, used in turn [default: the gateway of the stack]
    #[arg(long = "url", value_name = "URL")]
    urls: Vec<Url>,
    /// Requests per second, or users for a closed loop or sessions; overrides the workload
    #[arg(long, value_name = "N")]
    rate: Option<f64>,
    /// Duration in seconds; overrides the workload
    #[arg(long, value_name = "SECONDS")]
    duration: Option<f64>,
    /// Number of processes that share the load: pods of a Kubernetes Job on stacks kind and cluster, else processes on this machine
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    workers: Option<u16>,
    #[command(flatten)]
    search: SearchArgs,
    #[command(flatten)]
    metrics: MetricsArgs,
    /// Print the exact requests and tokens that would be sent, and send nothing
    #[arg(long, conflicts_with = "find_limit")]
    dry_run: bool,
    /// Print the record to standard output instead of tables
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Mode {
    /// Compare requests through the gateway with round robin over the same endpoints
    Overhead(Box<overhead::Args>),
    /// Measure the error of this tool on this machine
    Calibrate(calibrate::Args),
}

pub(super) async fn load(mut args: Args) -> Result<Exit, Failure> {
    match args.mode {
        Some(Mode::Overhead(args)) => return overhead::overhead(*args).await,
        Some(Mode::Calibrate(args)) => return calibrate::calibrate(args).await,
        None => {}
    }
    let Some(name) = &args.workload else {
        print_line(&shipped());
        return Ok(Exit::Passed);
    };
    let (mut workload, trace) = Workload::load(name).map_err(Failure::usage)?;
    args.session.stack.own_topology = workload.topology.clone();
    args.change(&mut workload).map_err(Failure::usage)?;
    if args.dry_run {
        let planned = dry_run::dry_run(&args.session, &workload, trace, args.workers);
        let planned = planned.map_err(Failure::usage)?;
        print_line(&if args.json {
            serde_json::to_string_pretty(&planned).context("writing what would be sent")?
        } else {
            dry_run::render(&planned)?
        });
        return Ok(Exit::Passed);
    }
    let exporter = Exporter::start(&args.metrics).await?;
    if args.search.find_limit {
        let sender = (&args.session, args.workers);
        let search = find_limit::find_limit(name, workload, sender, args.search, &exporter);
        return search.await;
    }
    let Some(session) = Session::start(&args.session, args.workers).await? else {
        return Ok(Exit::Interrupted);
    };
    let record = args.send(&session, name, &workload, trace.as_ref(), &exporter);
    let record = record.await;
    session.stop().await;
    let record = record?;
    let path = args.session.out.join("load.json");
    record.save(&path)?;
    let out = &args.session.out;
    for (name, text) in format::files_of_load(&record)? {
        save(out, name, &text)?;
    }
    let text = terminal::load::render(&record);
    if args.json {
        print_line(&serde_json::to_string_pretty(&record).context("writing the record")?)
    } else {
        print_line(text.trim_end());
        print_line(&format!("record: {}", path.display()));
    }
    github::publish(&terminal::load::markdown(&record), "");
    Ok(match record.conclusion() {
        Conclusion::Met => Exit::Passed,
        Conclusion::Missed => Exit::Failed,
        Conclusion::Undecided => Exit::Undecided,
        Conclusion::Interrupted => Exit::Interrupted,
    })
}

impl Args {
    async fn send(
        &self,
        session: &Session<'_>,
        name: &str,
        workload: &Workload,
        trace: Option<&Trace>,
        exporter: &Exporter,
    ) -> Result<Record, Failure> {
        let run = Run {
            name,
            workload,
            trace,
            urls: &self.urls,
            seed: 0,
        };
        let mut tell = watcher(&session.progress, workload.end_s(trace));
        let mut watch = |now: &Snapshot| {
            tell(now);
            exporter.show(|| openmetrics::render_live_load(name, now));
        };
        Ok(session.runner().record(run, &mut watch).await?)
    }

    /// Overrides the workload with the command line.
    fn change(&self, workload: &mut Workload) -> Result<()> {
        if let Some(rate) = self.rate {
            set_rate(workload, rate).context("--rate")?;
        }
        if let Some(duration_s) = self.duration {
            set_duration(workload, duration_s);
        }
        if self.session.stop_when_saturated {
            saturation::check(workload).context("--stop-when-saturated")?;
        }
        if self.rate.is_some() || self.duration.is_some() {
            workload.check().context("--rate or --duration")
        } else {
            Ok(())
        }
    }
}

/// The shipped workloads, each with the first sentence of its `shows`.
fn shipped() -> String {
    let mut text = String::new();
    for (name, _) in SHIPPED {
        // A test checks that all of them parse.
        if let Ok((workload, _)) = Workload::load(name) {
            let shows = workload.shows.replace('\n', " ");
            let first = shows.split_inclusive(". ").next().unwrap_or(&shows);
            text += &format!("{name:24} {}\n", first.trim());
        }
    }
    text.trim_end().to_owned()
}
