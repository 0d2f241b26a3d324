//! The command line: parses arguments, calls the other crates, prints what they return.
//!
//! Each subcommand has a module of the same name (`run`, `load`, `report`, `selftest`, `serve` and others). This is the only crate
//! that knows clap. It decides nothing about a system under test: that is done in the cases and by the load engine, so that both can also
//! be used as libraries.
//!
//! The exit code follows from the record: 0 passed, 1 a Must case or a gate failed, 2 usage or configuration error, 3 undecided, 4 the stack
//! could not be started, 70 internal error, 130 interrupted.
//!
//! Start with [`main`], then the module of a subcommand.
//!
//! A binary with suites of its own needs one line:
//!
//! ```no_run
//! use std::process::ExitCode;
//!
//! use poolproof_cases::case::Suite;
//! use poolproof_cli::App;
//!
//! const SUITES: &[Suite] = &[];
//!
//! fn main() -> ExitCode {
//!     poolproof_cli::main(App { suites: SUITES, coverage: &[] }, env!("CARGO_PKG_VERSION"))
//! }
//! ```

mod access;
mod artifacts;
mod compare;
mod doctor;
mod duration;
mod exit;
mod expect;
mod found;
mod github;
mod init;
mod list;
mod load;
mod manual;
mod matrix;
mod metrics;
mod next_steps;
mod output;
mod plan;
mod pod;
mod progress;
mod rates;
mod report;
mod run;
mod selftest;
mod serve;
mod slow;
mod stack;
mod started;
mod up;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use tokio_util::sync::CancellationToken;

use exit::Exit;
use output::{harmless, make_out_folder, print_line, save};

use poolproof_cases::case::Suite;
use poolproof_cases::context::Timeouts;
use poolproof_model::coverage::Document;
use poolproof_model::parts::StackKind;
use poolproof_report::terminal::TableStyle;
use poolproof_stack::StartError;

pub use expect::from_env as expectations_from_env;
pub use selftest::embedded as stacks_of_selftest;
pub use slow::from_env as slow_from_env;
pub use stack::from_env as stack_from_env;

/// What the command line operates on.
#[derive(Clone, Copy, Debug)]
pub struct App {
    /// All suites, in run order.
    pub suites: &'static [Suite],
    /// The rules of specifications, with the cases that check each.
    pub coverage: &'static [Document],
}

/// The timeouts of cases on a kind of stack.
pub fn timeouts(kind: StackKind) -> Timeouts {
    if kind == StackKind::Embedded {
        Timeouts::embedded()
    } else {
        Timeouts::default()
    }
}

/// Does my inference gateway do what its InferencePools promise?
#[derive(Debug, Parser)]
#[command(
    name = "poolproof",
    version,
    max_term_width = 120,
    args_conflicts_with_subcommands = true,
    after_help = Exit::help()
)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: run::Args,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run cases against a stack and exit with the verdict
    Run(run::Args),
    /// List the cases or the available flaws
    List(list::Args),
    /// Send a workload and judge its objectives
    Load(Box<load::Args>),
    /// Write a target file by asking a gateway or a cluster
    Init(init::Args),
    /// Compute sample sizes before anything is sent
    Plan(plan::Args),
    /// Render a record as a table, a page, or a file for CI, dashboards and other tools
    Report(report::Args),
    /// Set runs side by side: cases against stacks; with a plan, run the stacks first
    Matrix(matrix::Args),
    /// Compare a run with an earlier one and apply a gate
    Compare(compare::Args),
    /// Check that every flaw causes the verdicts that it must cause
    Selftest(selftest::Args),
    /// Start a stack and keep it until Ctrl-C or `poolproof down`
    Up(up::Args),
    /// Stop the stacks that `poolproof up` started, and delete the kind cluster that `--keep` left
    Down,
    /// Download charts, definitions and images, for clusters without network access; write poolproof's own image
    #[command(subcommand)]
    Artifacts(artifacts::Command),
    /// Show what this machine can run, and what each other stack lacks
    Doctor(doctor::Args),
    /// Print shell completions, for example `source <(poolproof completions bash)`
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual as a man page, for example `poolproof manual | man -l -`
    Manual,
    /// Serve one component as a separate process
    #[command(subcommand)]
    Serve(serve::Component),
    /// Execute another program that ends with its parent
    #[command(hide = true)]
    ExecChild {
        parent: u32,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        command: Vec<String>,
    },
}

/// An error, and how the program ends because of it.
#[derive(Debug)]
struct Failure {
    exit: Exit,
    error: anyhow::Error,
}

impl Failure {
    fn usage(error: anyhow::Error) -> Self {
        Self {
            exit: Exit::Usage,
            error,
        }
    }
}

impl From<anyhow::Error> for Failure {
    /// An unclassified error is an internal one. It says nothing about the gateway, so it must not be reported as an undecided run.
    fn from(error: anyhow::Error) -> Self {
        Self {
            exit: Exit::Internal,
            error,
        }
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        let (exit, error) = match error {
            StartError::Config(error) => (Exit::Usage, error),
            StartError::Unavailable(error) => (Exit::Unavailable, error),
        };
        Self { exit, error }
    }
}

impl From<poolproof_load::Error> for Failure {
    fn from(error: poolproof_load::Error) -> Self {
        let (exit, error) = match error {
            poolproof_load::Error::Usage(error) => (Exit::Usage, error),
            poolproof_load::Error::Internal(error) => (Exit::Internal, error),
        };
        Self { exit, error }
    }
}

/// The entry point of the program. `version` is what `--version` prints after the name.
pub fn main(app: App, version: &'static str) -> ExitCode {
    let matches = Arguments::command().version(version).get_matches();
    let arguments = Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("POOLPROOF_LOG").unwrap_or_else(|_| {
                tracing_subscriber::EnvFilter::new(
                    "error,kube_client=off,rustls_platform_verifier=off",
                )
            }),
        )
        .init();
    let mut exit = dispatch(app, arguments).unwrap_or_else(|failure| {
        let text = format!("error: {:#}", failure.error);
        eprintln!("{}", harmless(&text));
        failure.exit
    });
    if let Some(error) = output::unprinted() {
        eprintln!("error: writing to standard output: {error}");
        exit = Exit::Internal;
    }
    ExitCode::from(exit.code())
}

fn dispatch(app: App, arguments: Arguments) -> Result<Exit, Failure> {
    let command = arguments.command.unwrap_or(Command::Run(arguments.run));
    match command {
        Command::Run(args) => in_runtime(run::run(app, args)),
        Command::List(args) => list::list(app, &args),
        Command::Load(args) => in_runtime(load::load(*args)),
        Command::Init(args) => in_runtime(init::init(args)),
        Command::Plan(args) => plan::plan(app, &args),
        Command::Report(args) => report::report(app, &args),
        Command::Matrix(args) => in_runtime(matrix::matrix(app, args)),
        Command::Compare(args) => compare::compare(&args),
        Command::Selftest(args) => in_runtime(selftest::selftest(app, args)),
        Command::Up(args) => in_runtime(up::up(args)),
        Command::Down => in_runtime(up::down()),
        Command::Artifacts(command) => in_runtime(artifacts::run(command)),
        Command::Doctor(args) => in_runtime(async move { doctor::doctor(&args).await }),
        Command::Completions { shell } => {
            manual::completions(&mut Arguments::command(), shell);
            Ok(Exit::Passed)
        }
        Command::Manual => {
            print_line(&manual::page(&mut Arguments::command())?);
            Ok(Exit::Passed)
        }
        Command::Serve(component) => in_runtime(serve::serve(app, component)),
        Command::ExecChild { parent, command } => {
            match poolproof_stack::exec_child(parent, &command) {
                Ok(never) => match never {},
                Err(error) => Err(error.into()),
            }
        }
    }
}

fn in_runtime(work: impl Future<Output = Result<Exit, Failure>>) -> Result<Exit, Failure> {
    poolproof_records::limits::raise_open_files();
    let runtime = runtime()?;
    let result = runtime.block_on(work);
    runtime.shutdown_background();
    result
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("starting the runtime")
}

/// The style of tables on standard output: as wide as the terminal; no colour in a pipe or if `NO_COLOR` is set.
fn table_style() -> TableStyle {
    use std::io::IsTerminal;
    let terminal = std::io::stdout().is_terminal();
    TableStyle {
        width: if terminal {
            usize::from(console::Term::stdout().size().1)
        } else {
            160
        },
        colour: terminal && std::env::var_os("NO_COLOR").is_none(),
    }
}

/// Signals within this time count as one: `timeout` sends it both to the process and to its group.
const SAME_SIGNAL: Duration = Duration::from_millis(500);

/// Returns a token that the first SIGINT, SIGTERM or SIGHUP cancels. The second one ends the process immediately.
fn stop_on_signal() -> anyhow::Result<CancellationToken> {
    use tokio::signal::unix::{SignalKind, signal};
    let token = CancellationToken::new();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    // The terminal has gone; `nohup` has this signal ignored, which a handler would undo.
    let mut hangup = match ignores_hangup() {
        true => None,
        false => Some(signal(SignalKind::hangup())?),
    };
    let stop = token.clone();
    tokio::spawn(async move {
        let mut first = None;
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                Some(_) = async { hangup.as_mut()?.recv().await } => {}
            }
            stop.cancel();
            if first.get_or_insert_with(Instant::now).elapsed() > SAME_SIGNAL {
                poolproof_stack::kill_private_gateways();
                std::process::exit(i32::from(Exit::Interrupted.code()));
            }
        }
    });
    Ok(token)
}

/// Whether this process was started with SIGHUP ignored. Where the system does not show that, it counts as ignored, so that it stays.
fn ignores_hangup() -> bool {
    use nix::sys::signal::Signal;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignored_signals(&status).is_none_or(|mask| mask & 1 << (Signal::SIGHUP as u32 - 1) != 0)
}

/// The mask of ignored signals in proc(5)'s `status`.
fn ignored_signals(status: &str) -> Option<u64> {
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))?;
    u64::from_str_radix(mask.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ignored_signal_is_found_in_the_status_of_the_process() {
        assert_eq!(
            ignored_signals("Name:\tx\nSigIgn:\t0000000000001001\n"),
            Some(0x1001)
        );
        assert_eq!(ignored_signals("Name:\tx\n"), None);
    }
}
