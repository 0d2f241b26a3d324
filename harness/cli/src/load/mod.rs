//! `poolproof load`: sends one workload and judges it by its objectives.

mod calibrate;
mod dry_run;
mod find_limit;
mod fleet;
mod line;
mod live;
mod overhead;
mod picker;
mod session;
mod sweep;

use std::path::PathBuf;

use anyhow::{Context, Result, anyhow, bail, ensure};
use url::Url;

use super::found::{self, Question};
use super::metrics::{Exporter, MetricsArgs};
use super::output::save_record;
use super::{Exit, Failure, github, print_line, save};
use find_limit::SearchArgs;
use line::Line;
use live::Live;
use poolproof_load::engine::Snapshot;
use poolproof_load::run::Run;
use poolproof_load::saturation;
use poolproof_model::workload::trace::Trace;
use poolproof_model::workload::{QUICK, SHIPPED, Workload};
use poolproof_records::any::AnyRecord;
use poolproof_records::load::{Conclusion, Record};
use poolproof_report::compare::beside::Beside;
use poolproof_report::compare::records::Records;
use poolproof_report::{format, openmetrics, terminal};
use session::{Session, SessionArgs};
use sweep::{SweepArgs, Swept};

#[derive(Clone, Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:
  poolproof load                                       list the workloads that ship with poolproof
  poolproof load steady-chat                           one of them, on the embedded stack
  poolproof load http://host:8000                      a first look at a gateway or model server, without a file
  poolproof load http://host:8000 --rate 4 --input 1000 --output 200:20 --duration 1m --slo ttft.p95=200ms
  poolproof load steady-chat http://host:8000          a workload that ships, without a file
  poolproof load my.toml --target my-gateway.toml      your own, against an existing gateway
  poolproof load my.toml --target my-gateway.toml --api-key-env OPENAI_API_KEY --wait-ready 10m
  poolproof load steady-chat --rate 5 --duration 20    at a lower rate, for a shorter time
  poolproof load steady-chat --dry-run                 what a run would send
  poolproof load steady-chat --find-limit --probe 20   the highest rate that meets its objectives
  poolproof load http://host:8000 --sweep              throughput against latency from idle to beyond saturation
  poolproof load my.toml --baseline nights/2026-11-01  compared with an earlier run
  poolproof load steady-chat --stack kind --workers 3  from three pods, with the same requests as from one process

Exit codes: 0 every objective was met, 1 an objective was missed, 3 not decided or invalid; `poolproof --help` lists all."
)]
pub(super) struct Args {
    #[command(subcommand)]
    mode: Option<Mode>,
    /// A workload that ships with poolproof, or a TOML file; and the URL of a gateway or model server, which is asked for its models
    /// [default: list the shipped workloads; with a URL: quick-chat]
    #[arg(value_name = "WORKLOAD|URL")]
    what: Vec<String>,
    #[command(flatten)]
    line: Line,
    #[command(flatten)]
    session: SessionArgs,
    /// URL that requests go to, may be repeated and is used in turn. With a target file or a stack of poolproof, in place of its gateway
    #[arg(long = "url", value_name = "URL", value_parser = found::url)]
    urls: Vec<Url>,
    /// Number of processes that share the load: pods of a Kubernetes Job on stacks kind and cluster, else processes on this machine
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    workers: Option<u16>,
    /// Count deviations from the OpenAI API that the common SDKs accept as failures instead of remarks
    #[arg(long)]
    strict: bool,
    #[command(flatten)]
    search: SearchArgs,
    #[command(flatten)]
    sweep: SweepArgs,
    #[command(flatten)]
    metrics: MetricsArgs,
    /// Print the exact requests and tokens that would be sent, and send nothing
    #[arg(long, conflicts_with_all = ["find_limit", "sweep"])]
    dry_run: bool,
    /// Earlier run to compare with, in the form that `compare` takes [default: the last run whose record is in the output folder]
    #[arg(long, help_heading = "Output", value_name = "PATH", conflicts_with_all = ["find_limit", "sweep", "dry_run"])]
    baseline: Option<PathBuf>,
    /// Print the record to standard output instead of tables
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Mode {
    /// Compare requests through the gateway with round robin over the same endpoints
    Overhead(Box<overhead::Args>),
    /// Measure an endpoint picker by itself: picks per second, latency and processor time
    Picker(Box<picker::Args>),
    /// Measure the error of this tool on this machine
    Calibrate(calibrate::Args),
}

pub(super) async fn load(mut args: Args) -> Result<Exit, Failure> {
    match args.mode {
        Some(Mode::Overhead(args)) => return overhead::overhead(*args).await,
        Some(Mode::Picker(args)) => return picker::picker(*args).await,
        Some(Mode::Calibrate(args)) => return calibrate::calibrate(args).await,
        None => {}
    }
    let name = args.sort_out().map_err(Failure::usage)?;
    let Some(name) = &name else {
        print_line(&shipped());
        return Ok(Exit::Passed);
    };
    let (mut workload, mut trace) = Workload::load(name).map_err(Failure::usage)?;
    args.session.stack.own_topology = workload.topology.clone();
    let changed = args.change(&mut workload, &mut trace);
    changed.map_err(Failure::usage)?;
    args.ask(&workload).await?;
    args.line.write(&workload).map_err(Failure::usage)?;
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
    let baseline = args.baseline.as_deref().map(Records::read).transpose();
    let baseline = baseline.context("--baseline").map_err(Failure::usage)?;
    let exporter = Exporter::start(&args.metrics).await?;
    if args.search.find_limit {
        let sender = (&args.session, args.workers);
        let search = find_limit::find_limit(name, workload, sender, args.search, &exporter);
        return search.await;
    }
    if args.sweep.sweep {
        let sender = (&args.session, args.workers);
        let swept = Swept {
            name,
            workload,
            trace: trace.as_ref(),
            urls: &args.urls,
            json: args.json,
        };
        return sweep::sweep(swept, sender, args.sweep, &exporter).await;
    }
    let Some(session) = Session::start(&args.session, args.workers).await? else {
        return Ok(Exit::Interrupted);
    };
    let record = args.send(&session, name, &workload, trace.as_ref(), &exporter);
    let record = record.await;
    session.stop().await;
    let mut record = record?;
    let out = &args.session.out;
    let path = out.join("load.json");
    save_record(&mut record, out, "load.json", |record, path| {
        record.save(path)
    })?;
    let beside = match baseline {
        Some(baseline) => Beside::baseline(&AnyRecord::Load(Box::new(record.clone())), baseline),
        None => Beside::last(&record, &path),
    };
    for (name, text) in format::files_of_load(&record, beside.as_ref())? {
        save(out, name, &text)?;
    }
    let shown = |render: fn(&Beside) -> String| beside.as_ref().map(render).unwrap_or_default();
    if args.json {
        print_line(&serde_json::to_string_pretty(&record).context("writing the record")?)
    } else {
        let text = terminal::load::render(&record) + &shown(terminal::compare::beside);
        print_line(text.trim_end());
        print_line(&format!("record: {}", path.display()));
    }
    let summary = terminal::load::markdown(&record) + &shown(terminal::compare::markdown);
    github::publish(&summary, "");
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
        let mut live = Live::new(&session.progress, name, Some(workload.end_s(trace)));
        let mut watch = |now: &Snapshot| {
            live.show(now);
            exporter.show(|| openmetrics::render_live_load(name, now));
        };
        Ok(session.runner().record(run, &mut watch).await?)
    }

    /// Takes the URLs out of the arguments. Returns the name of the workload; `None` if a list is wanted.
    fn sort_out(&mut self) -> Result<Option<String>> {
        let (urls, names): (Vec<_>, Vec<_>) =
            self.what.drain(..).partition(|text| found::is_url(text));
        let urls = urls.iter().map(|text| found::url(text));
        self.urls.splice(0..0, urls.collect::<Result<Vec<_>>>()?);
        let mut names = names.into_iter();
        let name = names.next();
        if let (Some(name), Some(other)) = (&name, names.next()) {
            bail!(
                "{name} and {other}: a run has one workload; a URL begins with http:// or https://"
            );
        }
        if let Some(name) = name {
            ensure!(
                !looks_like_an_address(&name),
                "{name} is no workload: if it is the address of a gateway, write http://{name}"
            );
            return Ok(Some(name));
        }
        ensure!(
            !self.urls.is_empty() || !(self.line.asks() || self.dry_run || self.sweep.sweep),
            "nothing to send: name a workload, such as {QUICK}, or the URL of a gateway, such as http://127.0.0.1:8000"
        );
        Ok((!self.urls.is_empty()).then(|| QUICK.to_owned()))
    }

    /// Overrides the workload with the command line.
    fn change(&self, workload: &mut Workload, trace: &mut Option<Trace>) -> Result<()> {
        self.line.apply(workload, trace)?;
        workload.strict |= self.strict;
        if self.session.stop_when_saturated {
            saturation::check(workload).context("--stop-when-saturated")?;
        }
        Ok(())
    }

    /// Asks the gateway at a URL for its models, unless a target file or a stack has them. Prints what will be sent to it.
    async fn ask(&mut self, workload: &Workload) -> Result<(), Failure> {
        let stack = &mut self.session.stack;
        let Some(url) = self.urls.first().filter(|_| stack.is_default()) else {
            return Ok(());
        };
        let question = Question {
            url,
            model: self.line.model.as_deref(),
            access: &stack.access,
            may_chat: false,
        };
        let target = found::find(question).await?;
        for class in &workload.mix {
            let is_known = |name: &String| target.models.iter().any(|model| model.name == *name);
            if let Some(name) = class.model.as_ref().filter(|name| !is_known(name)) {
                return Err(Failure::usage(anyhow!(
                    "class {:?} asks for model {name:?}, which {} does not list: name one with --model",
                    class.class,
                    target.name
                )));
            }
        }
        eprintln!("{}", workload.outline());
        stack.found = Some(target);
        Ok(())
    }
}

/// Whether this is `HOST:PORT` rather than the name of a workload or a file.
fn looks_like_an_address(text: &str) -> bool {
    let port = text.rsplit_once(':').map(|(_, port)| port);
    let port = port.and_then(|rest| rest.split('/').next());
    port.is_some_and(|port| port.parse::<u16>().is_ok()) && !std::path::Path::new(text).exists()
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
