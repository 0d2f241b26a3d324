//! `poolproof load`: one workload, judged by its objectives.

use std::io::IsTerminal;
use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use url::Url;

use super::progress::Progress;
use super::stack::StackArgs;
use super::{Failure, INTERRUPTED, say, stop_on_signal};
use crate::load::arrival::Arrival;
use crate::load::engine::{self, Job, Sender, Snapshot};
use crate::load::record::{About, Conclusion, Record};
use crate::load::requests::Header;
use crate::load::workload::{SHIPPED, Workload};
use crate::report;
use crate::stack::Stack;

#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:
  poolproof load                                       the workloads that ship with poolproof
  poolproof load steady-chat                           one of them, on the embedded stack
  poolproof load my.toml --target my-gateway.toml      your own, against a gateway that is there
  poolproof load steady-chat --rate 5 --duration 20    less, and shorter

Exit codes: 0 every objective was met, 1 one was missed, 3 not decided or not to be trusted.")]
pub(super) struct Args {
    /// A workload that ships with poolproof, or a TOML file; left out: lists what ships
    workload: Option<String>,
    #[command(flatten)]
    stack: StackArgs,
    /// The folder for load.json
    #[arg(long, value_name = "DIR", default_value = "poolproof-out")]
    out: PathBuf,
    /// Where requests go [default: the gateway of the stack]
    #[arg(long, value_name = "URL")]
    url: Option<Url>,
    /// Requests per second, instead of the workload's; of a closed loop: users
    #[arg(long, value_name = "N")]
    rate: Option<f64>,
    /// Seconds, instead of the workload's
    #[arg(long, value_name = "SECONDS")]
    duration: Option<f64>,
    /// Sending threads [default: one for each processor]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// A header of every request, such as `authorization: Bearer KEY`; its value reaches no record
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = header)]
    headers: Vec<Header>,
    /// An address of this machine to connect from; several have more ports
    #[arg(long = "source", value_name = "ADDRESS")]
    sources: Vec<IpAddr>,
    /// Print the record to standard output instead of tables
    #[arg(long)]
    json: bool,
}

fn header(text: &str) -> Result<Header> {
    let (name, value) = text.split_once(':').context("not like `name: value`")?;
    let (name, value) = (name.trim().to_owned(), value.trim().to_owned());
    ensure!(
        name.parse::<http::HeaderName>().is_ok() && value.parse::<http::HeaderValue>().is_ok(),
        "cannot be sent as a header"
    );
    Ok((name, value))
}

pub(super) async fn load(args: Args) -> Result<u8, Failure> {
    let Some(name) = &args.workload else {
        say(&shipped());
        return Ok(0);
    };
    let (mut workload, trace) = Workload::load(name).map_err(Failure::usage)?;
    args.change(&mut workload).map_err(Failure::usage)?;
    let options = args.stack.options().map_err(Failure::usage)?;
    std::fs::create_dir_all(&args.out)
        .with_context(|| format!("--out {}: cannot make the folder", args.out.display()))
        .map_err(Failure::usage)?;
    let stop = stop_on_signal()?;
    let progress = Progress::new();

    let mut tell = |step: &str| progress.note(&format!("start: {step}"));
    let stack = tokio::select! {
        started = Stack::start(&options, &mut tell) => started?,
        () = stop.cancelled() => return Ok(INTERRUPTED),
    };
    let end_s = workload.end_s(trace.as_ref());
    let url = args.url.as_ref().unwrap_or(&stack.target.url);
    let threads = args.threads.map_or_else(
        || std::thread::available_parallelism().map_or(1, usize::from),
        usize::from,
    );
    let sender = Sender {
        url,
        headers: &args.headers,
        sources: args.sources.clone(),
        threads,
        seed: options.seed,
    };
    let job = match Job::new(workload.clone(), trace, &stack.target, sender).await {
        Ok(job) => job,
        Err(error) => {
            stack.stop().await;
            return Err(Failure::usage(error));
        }
    };
    let mut watch = watcher(&progress, end_s);
    let measured = engine::run(job, &stop, &mut watch).await;
    let about = About {
        name,
        workload,
        seed: options.seed,
        stack: &stack,
        flaw: options.flaw.map(|flaw| flaw.to_string()),
        end_s,
        interrupted: stop.is_cancelled(),
    };
    let record = measured.map(|measured| Record::new(about, &measured));
    stack.stop().await;
    let record = record?;
    let path = args.out.join("load.json");
    record.save(&path)?;
    progress.finish();
    match args.json {
        true => say(&serde_json::to_string_pretty(&record).context("writing the record")?),
        false => {
            say(report::load::render(&record).trim_end());
            say(&format!("record: {}", path.display()));
        }
    }
    Ok(match record.conclusion() {
        Conclusion::Met => 0,
        Conclusion::Missed => 1,
        Conclusion::Undecided => 3,
        Conclusion::Interrupted => INTERRUPTED,
    })
}

impl Args {
    /// Puts what the command line says in the place of what the workload says.
    fn change(&self, workload: &mut Workload) -> Result<()> {
        if let Some(rate) = self.rate {
            match &mut workload.arrival {
                Arrival::Constant { rate_per_s }
                | Arrival::Poisson { rate_per_s }
                | Arrival::Gamma { rate_per_s, .. } => *rate_per_s = rate,
                Arrival::Closed { users, .. } => *users = rate as usize,
                _ => anyhow::bail!("--rate: the arrivals of this workload have more than one rate"),
            }
        }
        if let Some(duration_s) = self.duration {
            workload.duration_s = Some(duration_s);
            // A run that is made shorter than its warm-up warms up for a tenth of it.
            if workload.warm_up_s >= duration_s {
                workload.warm_up_s = duration_s / 10.0;
            }
        }
        workload.check().context("--rate or --duration")
    }
}

/// What ships, each with the first sentence of what it shows.
fn shipped() -> String {
    let mut text = String::new();
    for (name, _) in SHIPPED {
        // They are checked by a test.
        if let Ok((workload, _)) = Workload::load(name) {
            let shows = workload.shows.replace('\n', " ");
            let first = shows.split_inclusive(['.', '?']).next().unwrap_or(&shows);
            text += &format!("{name:24} {}\n", first.trim());
        }
    }
    text.trim_end().to_owned()
}

/// Tells how a run goes on: all the time on a terminal, now and then in a pipe.
fn watcher(progress: &Progress, end_s: f64) -> impl FnMut(&Snapshot) + Send {
    const SPAN: usize = 10;
    let terminal = std::io::stderr().is_terminal();
    let mut before = Snapshot::default();
    let mut ticks = 0;
    move |now: &Snapshot| {
        let every = if terminal { 1 } else { SPAN };
        if ticks % every == 0 && ticks > 0 {
            let since = now.since(&before);
            let line = format!(
                "{ticks} of {end_s:.0} s: {:.0} req/s, {} in flight, {} failed, TTFT {}",
                since.started as f64 / every as f64,
                now.in_flight(),
                now.failed,
                match since.mean_ttft_ms() {
                    Some(ms) => format!("{ms:.1} ms on average"),
                    None => "-".to_owned(),
                }
            );
            match terminal {
                true => progress.running(&line),
                false => eprintln!("{line}"),
            }
            before = *now;
        }
        ticks += 1;
    }
}
