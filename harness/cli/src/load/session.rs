//! A stack under load, shared by all modes of `poolproof load`.

use std::io::IsTerminal;
use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::fleet::Fleet;
use crate::Failure;
use crate::found;
use crate::output::save_record;
use crate::progress::Progress;
use crate::stack::StackArgs;
use crate::started::Started;
use poolproof_load::plan;
use poolproof_load::run::Runner;
use poolproof_load::tokenizer::Vocabulary;
use poolproof_load::workers::Workers;
use poolproof_model::target::Metrics;
use poolproof_records::environment::Environment;
use poolproof_records::file;
use poolproof_stack::{Options, Stack, StartError};

/// The stack, and options for sending to it.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct SessionArgs {
    #[command(flatten)]
    pub(super) stack: StackArgs,
    /// Output folder for the record
    #[arg(
        help_heading = "Output",
        long,
        value_name = "DIR",
        default_value = "poolproof-out"
    )]
    pub(super) out: PathBuf,
    /// Number of sending threads [default: one per processor]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Local address to connect from; repeat it to get more ports
    #[arg(long = "source", value_name = "ADDRESS")]
    sources: Vec<IpAddr>,
    /// The model's `tokenizer.json`, to give prompts the exact number of tokens instead of an approximate one
    #[arg(long, value_name = "FILE")]
    tokenizer: Option<PathBuf>,
    /// Further metrics page to follow through the run, such as http://gpu-node:9400/metrics of NVIDIA's dcgm-exporter; repeatable. Those of
    /// model servers and pickers that the target names are followed anyway
    #[arg(long = "metrics-from", value_name = "URL")]
    metrics_from: Vec<String>,
    /// End an open-loop run once requests have piled up for ten seconds, since the server is saturated
    #[arg(long)]
    pub(super) stop_when_saturated: bool,
}

/// A running stack and what is needed to send load to it.
pub(super) struct Session<'a> {
    args: &'a SessionArgs,
    options: Options,
    pub(super) stack: Stack,
    pub(super) progress: Progress,
    stop: CancellationToken,
    vocabulary: Option<Vocabulary>,
    /// The environment before the stack was started.
    pub(super) environment: Environment,
    /// The workers that send; `None` if this process sends.
    workers: Option<Fleet>,
}

impl<'a> Session<'a> {
    /// Starts the stack, and workers if requested. Returns `None` if interrupted.
    pub(super) async fn start(
        args: &'a SessionArgs,
        workers: Option<u16>,
    ) -> Result<Option<Self>, Failure> {
        let options = args.stack.options().map_err(Failure::usage)?;
        let vocabulary = args.vocabulary().map_err(Failure::usage)?;
        let more = args.metrics_from.iter().map(|text| metrics_at(text));
        let more: Vec<Metrics> = more.collect::<Result<_>>().map_err(Failure::usage)?;
        let Some(started) = Started::start(&options, &args.out).await? else {
            return Ok(None);
        };
        let mut stack = started.stack;
        stack.target.metrics.extend(more);
        let mut session = Self {
            args,
            options,
            stack,
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
        self.workers = Some(Fleet::new(workers));
        Ok(())
    }

    /// Sends to the stack.
    pub(super) fn runner(&self) -> Runner<'_> {
        let fleet = self.workers.as_ref();
        Runner {
            stack: &self.stack.name,
            components: &self.stack.components,
            target: &self.stack.target,
            flaw: self.options.flaw.map(|flaw| flaw.to_string()),
            environment: &self.environment,
            sources: &self.args.sources,
            vocabulary: self.vocabulary.as_ref(),
            threads: self.args.threads.map(usize::from),
            seed: self.options.seed,
            stop_when_saturated: self.args.stop_when_saturated,
            workers: fleet.map(|fleet| fleet as &dyn Workers),
            stop: &self.stop,
            tell: Box::new(|line| self.notify(line)),
        }
    }

    /// Prints a line while the run is in progress.
    fn notify(&self, line: &str) {
        if std::io::stderr().is_terminal() {
            self.progress.note(line)
        } else {
            eprintln!("{line}")
        }
    }

    /// True once the run should end.
    pub(super) fn interrupted(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Stops the workers and the stack.
    pub(super) async fn stop(self) {
        if let Some(workers) = self.workers {
            workers.stop().await;
        }
        self.stack.stop().await;
        self.progress.finish();
    }
}

impl SessionArgs {
    /// The vocabulary that prompts are built from, if a tokenizer was given.
    pub(super) fn vocabulary(&self) -> Result<Option<Vocabulary>> {
        self.tokenizer.as_deref().map(Vocabulary::load).transpose()
    }

    /// How a run would send, given its vocabulary.
    pub(super) fn planned<'a>(&self, vocabulary: Option<&'a Vocabulary>) -> plan::Settings<'a> {
        plan::Settings {
            sources: self.sources.len().max(1),
            vocabulary,
            seed: self.stack.seed,
        }
    }

    /// Saves a record under this name in the output folder. Returns its path and text.
    pub(super) fn save(&self, name: &str, record: &impl Serialize) -> Result<(PathBuf, String)> {
        let path = self.out.join(name);
        save_record(&mut &*record, &self.out, name, |record, path| {
            file::save(record, path)
        })?;
        let text = serde_json::to_string_pretty(record).context("writing the record")?;
        Ok((path, text))
    }
}

/// The metrics at an address. The error does not repeat it, since it may have a password.
fn metrics_at(text: &str) -> Result<Metrics> {
    ensure!(
        found::is_url(text),
        "--metrics-from: the address must start with http:// or https://"
    );
    Ok(Metrics::at(Url::parse(text).context("--metrics-from")?))
}
