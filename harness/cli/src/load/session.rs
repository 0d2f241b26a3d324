//! A stack under load: what all modes of `poolproof load` need.

use std::io::IsTerminal;
use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::distribute::{Fleet, distribute};
use crate::Failure;
use crate::progress::Progress;
use crate::stack::StackArgs;
use crate::started::Started;
use poolproof_load::engine::{self, Job, Measured, Part, Sender, Snapshot};
use poolproof_load::make::{self, About};
use poolproof_load::requests::Header;
use poolproof_load::saturation::Saturation;
use poolproof_load::tokenizer::Vocabulary;
use poolproof_load::workers;
use poolproof_model::workload::Workload;
use poolproof_model::workload::trace::Trace;
use poolproof_records::environment::Environment;
use poolproof_records::file;
use poolproof_records::limits;
use poolproof_records::load::{Record, Worker};
use poolproof_stack::workers::Workers;
use poolproof_stack::{Options, Stack, StartError};

/// The stack, and how requests are sent to it.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct SessionArgs {
    #[command(flatten)]
    pub(super) stack: StackArgs,
    /// The folder for the record
    #[arg(
        help_heading = "Output",
        long,
        value_name = "DIR",
        default_value = "poolproof-out"
    )]
    pub(super) out: PathBuf,
    /// Sending threads [default: one for each processor]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// A header of every request, such as `authorization: Bearer KEY`; its value reaches no record
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = header)]
    headers: Vec<Header>,
    /// An address of this machine to connect from; several have more ports
    #[arg(long = "source", value_name = "ADDRESS")]
    sources: Vec<IpAddr>,
    /// The `tokenizer.json` of the model: prompts have as many tokens of it as the workload says, not only about as many
    #[arg(long, value_name = "FILE")]
    tokenizer: Option<PathBuf>,
    /// End the run when requests of an open loop have piled up for ten seconds: the server gets more than it can serve
    #[arg(long)]
    pub(super) stop_when_saturated: bool,
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

/// A running stack, to be put under load.
pub(super) struct Session<'a> {
    args: &'a SessionArgs,
    options: Options,
    pub(super) stack: Stack,
    pub(super) progress: Progress,
    stop: CancellationToken,
    vocabulary: Option<Vocabulary>,
    /// Before the stack was started.
    pub(super) environment: Environment,
    /// Who sends; `None`: this process.
    workers: Option<Workers>,
}

/// What is sent in one run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run<'a> {
    pub(super) name: &'a str,
    pub(super) workload: &'a Workload,
    pub(super) trace: Option<&'a Trace>,
    /// Where it goes, in turn, if not to the gateway.
    pub(super) urls: &'a [Url],
    /// Added to the seed of the command line.
    pub(super) seed: u64,
}

/// What came of a run.
pub(super) struct Sent {
    pub(super) measured: Measured,
    /// Whether it was ended because requests piled up.
    saturated: bool,
    /// The workers, where several processes sent.
    workers: Vec<Worker>,
}

impl<'a> Session<'a> {
    /// Starts the stack, and workers if there are to be some; `None` if that was interrupted.
    pub(super) async fn start(
        args: &'a SessionArgs,
        workers: Option<u16>,
    ) -> Result<Option<Self>, Failure> {
        let options = args.stack.options().map_err(Failure::usage)?;
        let vocabulary = args.vocabulary().map_err(Failure::usage)?;
        let Some(started) = Started::start(&options, &args.out).await? else {
            return Ok(None);
        };
        let mut session = Self {
            args,
            options,
            stack: started.stack,
            progress: started.progress,
            stop: started.stop,
            vocabulary,
            environment: started.environment,
            workers: None,
        };
        if let Some(count) = workers
            && let Err(failure) = session.start_workers(usize::from(count)).await
        {
            let interrupted = session.interrupted();
            session.stop().await;
            return if interrupted { Ok(None) } else { Err(failure) };
        }
        Ok(Some(session))
    }

    async fn start_workers(&mut self, count: usize) -> Result<(), Failure> {
        let started = self
            .stack
            .start_workers(count, &self.options.program, &self.stop)
            .await;
        let workers = started.map_err(StartError::Unavailable)?;
        for it in &workers.list {
            self.progress
                .note(&format!("start: {} ({})", it.name, it.place));
        }
        self.workers = Some(workers);
        Ok(())
    }

    /// Sends a workload; `watch` hears how far it has come. What cannot be sent is wrong use.
    pub(super) async fn send(
        &self,
        run: Run<'_>,
        watch: &mut (dyn FnMut(&Snapshot) + Send),
    ) -> Result<Sent, Failure> {
        let gateway = [self.stack.target.url.clone()];
        let sender = Sender {
            urls: match run.urls {
                [] => &gateway,
                urls => urls,
            },
            headers: &self.args.headers,
            sources: &self.args.sources,
            vocabulary: self.vocabulary.as_ref(),
            threads: self.args.threads.map_or_else(limits::cores, usize::from),
            seed: self.options.seed.wrapping_add(run.seed),
            part: Part::whole(),
        };
        let stop = self.stop.child_token();
        let mut saturation = Saturation::default();
        let watched = self.args.stop_when_saturated && run.workload.arrival.users().is_none();
        let mut watch = |now: &Snapshot| {
            watch(now);
            if saturation.watch(now.in_flight()) && watched {
                stop.cancel();
            }
        };
        let (measured, workers) = match &self.workers {
            Some(workers) => {
                let threads = self.args.threads.map(usize::from);
                let sending = distribute(workers, run, &self.stack.target, sender, threads);
                let sending = sending.map_err(Failure::usage)?;
                let fleet = Fleet::new(workers);
                workers::run(&fleet, sending, &stop, &mut watch, &|line| self.tell(line)).await?
            }
            None => {
                let workload = run.workload.clone();
                let job = Job::new(workload, run.trace.cloned(), &self.stack.target, sender);
                let job = job.await.map_err(Failure::usage)?;
                (engine::run(job, &stop, &mut watch).await?, Vec::new())
            }
        };
        Ok(Sent {
            measured,
            saturated: stop.is_cancelled() && !self.interrupted(),
            workers,
        })
    }

    /// Says what cannot wait for the end of a run.
    fn tell(&self, line: &str) {
        match std::io::stderr().is_terminal() {
            true => self.progress.note(line),
            false => eprintln!("{line}"),
        }
    }

    /// Sends a workload and makes the record of it.
    pub(super) async fn record(
        &self,
        run: Run<'_>,
        watch: &mut (dyn FnMut(&Snapshot) + Send),
    ) -> Result<Record, Failure> {
        let Sent {
            measured,
            saturated,
            workers,
        } = self.send(run, watch).await?;
        let about = About {
            name: run.name,
            workload: run.workload.clone(),
            seed: self.options.seed.wrapping_add(run.seed),
            stack: &self.stack.name,
            components: &self.stack.components,
            target: &self.stack.target,
            flaw: self.options.flaw.map(|flaw| flaw.to_string()),
            end_s: run.workload.end_s(run.trace),
            interrupted: self.interrupted(),
            saturated,
            tokenizer: self.vocabulary.as_ref().map(|it| it.tokenizer.clone()),
            environment: self.environment.clone(),
            workers,
        };
        Ok(make::record(about, &measured))
    }

    /// Whether the run is to end.
    pub(super) fn interrupted(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Ends the workers and takes the stack down.
    pub(super) async fn stop(self) {
        if let Some(workers) = self.workers {
            workers.stop().await;
        }
        self.stack.stop().await;
        self.progress.finish();
    }
}

impl SessionArgs {
    /// What prompts are made of, if they are made for a tokenizer.
    pub(super) fn vocabulary(&self) -> Result<Option<Vocabulary>> {
        self.tokenizer.as_deref().map(Vocabulary::load).transpose()
    }

    /// How many local addresses there are to connect from.
    pub(super) fn source_count(&self) -> usize {
        self.sources.len().max(1)
    }

    /// Saves a record under this name in the folder for it: where that is, and the text.
    pub(super) fn save(&self, name: &str, record: &impl Serialize) -> Result<(PathBuf, String)> {
        let path = self.out.join(name);
        file::save(record, &path)?;
        let text = serde_json::to_string_pretty(record).context("writing the record")?;
        Ok((path, text))
    }
}

/// Tells how a run goes on: all the time on a terminal, now and then in a pipe.
pub(super) fn watcher(progress: &Progress, end_s: f64) -> impl FnMut(&Snapshot) + Send {
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
