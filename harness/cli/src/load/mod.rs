//! `poolproof load`: one workload, judged by its objectives.

mod calibrate;
mod distribute;
mod dry_run;
mod find_limit;
mod overhead;
mod session;

use anyhow::{Context, Result, ensure};
use url::Url;

use super::exit::Exit;
use super::metrics::{Exporter, MetricsArgs};
use super::{Failure, INTERRUPTED, github, save, say};
use find_limit::{LimitArgs, set_rate};
use poolproof_load::engine::Snapshot;
use poolproof_model::workload::trace::Trace;
use poolproof_model::workload::{SHIPPED, Workload};
use poolproof_records::load::{Conclusion, Record};
use poolproof_report::{format, openmetrics, terminal};
use session::{Run, Session, SessionArgs, watcher};

#[derive(Clone, Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:
  poolproof load                                       the workloads that ship with poolproof
  poolproof load steady-chat                           one of them, on the embedded stack
  poolproof load my.toml --target my-gateway.toml      your own, against a gateway that is there
  poolproof load steady-chat --rate 5 --duration 20    less, and shorter
  poolproof load steady-chat --dry-run                 what that would send
  poolproof load steady-chat --find-limit --probe 20   the highest rate that meets its objectives
  poolproof load steady-chat --stack kind --workers 3  from three pods, which send what one process would

Exit codes: 0 every objective was met, 1 one was missed, 3 not decided or not to be trusted; `poolproof --help` lists all."
)]
pub(super) struct Args {
    #[command(subcommand)]
    mode: Option<Mode>,
    /// A workload that ships with poolproof, or a TOML file; left out: lists what ships
    workload: Option<String>,
    #[command(flatten)]
    session: SessionArgs,
    /// Where requests go [default: the gateway of the stack]; repeatable: in turn
    #[arg(long = "url", value_name = "URL")]
    urls: Vec<Url>,
    /// Requests per second, instead of the workload's; of a closed loop or of sessions: users
    #[arg(long, value_name = "N")]
    rate: Option<f64>,
    /// Seconds, instead of the workload's
    #[arg(long, value_name = "SECONDS")]
    duration: Option<f64>,
    /// Send from so many processes, each its part: pods of a Kubernetes Job on the stacks kind and cluster, else processes of this machine
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    workers: Option<u16>,
    #[command(flatten)]
    limit: LimitArgs,
    #[command(flatten)]
    metrics: MetricsArgs,
    /// Say what would be sent, to the request and the token, and send nothing
    #[arg(long, conflicts_with = "find_limit")]
    dry_run: bool,
    /// Print the record to standard output instead of tables
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Mode {
    /// Compare the way through the gateway with round robin over the same endpoints
    Overhead(Box<overhead::Args>),
    /// Measure how far off this tool is on this machine
    Calibrate(calibrate::Args),
}

pub(super) async fn load(mut args: Args) -> Result<u8, Failure> {
    match args.mode {
        Some(Mode::Overhead(args)) => return overhead::overhead(*args).await,
        Some(Mode::Calibrate(args)) => return calibrate::calibrate(args).await,
        None => {}
    }
    let Some(name) = &args.workload else {
        say(&shipped());
        return Ok(0);
    };
    let (mut workload, trace) = Workload::load(name).map_err(Failure::usage)?;
    args.session.stack.own_topology = workload.topology.clone();
    args.change(&mut workload).map_err(Failure::usage)?;
    if args.dry_run {
        let planned = dry_run::plan(&args.session, &workload, trace, args.workers);
        let planned = planned.map_err(Failure::usage)?;
        say(&match args.json {
            true => serde_json::to_string_pretty(&planned).context("writing what would be sent")?,
            false => dry_run::render(&planned)?,
        });
        return Ok(0);
    }
    let exporter = Exporter::start(&args.metrics).await?;
    if args.limit.find_limit {
        let sender = (&args.session, args.workers);
        let search = find_limit::find_limit(name, workload, trace, sender, args.limit, &exporter);
        return search.await;
    }
    let Some(session) = Session::start(&args.session, args.workers).await? else {
        return Ok(INTERRUPTED);
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
    match args.json {
        true => say(&serde_json::to_string_pretty(&record).context("writing the record")?),
        false => {
            say(text.trim_end());
            say(&format!("record: {}", path.display()));
        }
    }
    github::tell(&terminal::load::markdown(&record), "");
    Ok(match record.conclusion() {
        Conclusion::Met => Exit::Passed.code(),
        Conclusion::Missed => Exit::Failed.code(),
        Conclusion::Undecided => Exit::Undecided.code(),
        Conclusion::Interrupted => INTERRUPTED,
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
        session.record(run, &mut watch).await
    }

    /// Puts what the command line says in the place of what the workload says.
    fn change(&self, workload: &mut Workload) -> Result<()> {
        if let Some(rate) = self.rate {
            set_rate(workload, rate)?;
        }
        if let Some(duration_s) = self.duration {
            workload.duration_s = Some(duration_s);
            // A run that is made shorter than its warm-up warms up for a tenth of it.
            if workload.warm_up_s >= duration_s {
                workload.warm_up_s = duration_s / 10.0;
            }
        }
        ensure!(
            !self.session.stop_when_saturated || workload.arrival.users().is_none(),
            "--stop-when-saturated: `arrival.process` must be an open loop: users who wait for their answers pile up nothing"
        );
        match self.rate.is_some() || self.duration.is_some() {
            true => workload.check().context("--rate or --duration"),
            false => Ok(()),
        }
    }
}

/// What ships, each with the first sentence of what it shows.
fn shipped() -> String {
    let mut text = String::new();
    for (name, _) in SHIPPED {
        // They are checked by a test.
        if let Ok((workload, _)) = Workload::load(name) {
            let shows = workload.shows.replace('\n', " ");
            let first = shows.split_inclusive(". ").next().unwrap_or(&shows);
            text += &format!("{name:24} {}\n", first.trim());
        }
    }
    text.trim_end().to_owned()
}
