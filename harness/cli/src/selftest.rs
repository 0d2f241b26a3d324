//! `poolproof selftest`: checks every flaw against the verdicts that it must cause, as a matrix.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use futures_util::future::LocalBoxFuture;
use futures_util::{FutureExt, StreamExt, TryFutureExt, TryStreamExt, stream as streams};
use poolproof_fixtures::flaw::Flaw;
use serde_json::json;

use super::progress::Progress;
use super::slow::SlowArgs;
use super::{App, Exit, Failure, print_line, stop_on_signal};
use poolproof_cases::budget::Budget;
use poolproof_cases::case::{Case, Catch, Suite, catches};
use poolproof_cases::context::{Settings, Timeouts};
use poolproof_cases::run;
use poolproof_cases::selftest::{Options, Row, Started, faults_of_table, row};
use poolproof_model::parts::StackKind;
use poolproof_records::limits;
use poolproof_report::terminal::selftest as terminal;
use poolproof_stack::parts::flaws::topology_showing;
use poolproof_stack::{self as stack, Stack, StartError};

#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:
  poolproof selftest                                 each flaw with the cases that must catch it
  poolproof selftest stream-cut stream-repeated      two flaws
  poolproof selftest --full --repeat 3 --markdown    all cases under each flaw, three times, as Markdown

Exit codes:
  0    all verdicts are as expected
  1    a flaw was not caught, a case failed that must pass, or the table has gaps
  2    usage or configuration error
  4    the stack could not be started
  70   internal error in poolproof
  130  interrupted; results so far are printed")]
pub(super) struct Args {
    /// Flaws, as named by `poolproof list --flaws` [default: all, and a stack without flaws]
    #[arg(value_name = "FLAW")]
    flaws: Vec<Flaw>,
    /// Runs per flaw, each on its own stack
    #[arg(long, value_name = "K", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    repeat: u64,
    /// Run all cases under each flaw; cases not named by a row must pass
    #[arg(long)]
    full: bool,
    #[command(flatten)]
    slow: SlowArgs,
    /// Number of stacks that run in parallel [default: three per processor, since a stack mostly waits]
    #[arg(long, value_name = "N")]
    jobs: Option<NonZeroUsize>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Print Markdown
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
    /// Seed of the first run; each further run adds 1
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

pub(super) async fn selftest(app: App, args: Args) -> Result<Exit, Failure> {
    let program = std::env::current_exe().context("finding the poolproof program")?;
    let stack = super::stack_from_env(program).map_err(Failure::usage)?;
    let settings = Settings {
        seed: args.seed,
        ..Settings::default()
    };
    let options = Arc::new(Options {
        run: run::Options {
            budget: Budget::new(app.suites, settings),
            timeouts: Timeouts::default(),
            fail_fast: false,
            known: BTreeMap::new(),
            stop: stop_on_signal()?,
            inside: None,
        },
        repeat: args.repeat,
        full: args.full,
        slow: args.slow.slow,
    });
    let is_selected = |catch: &&Catch| {
        if args.flaws.is_empty() {
            args.slow.slow || !catch.is_slow(app.suites)
        } else {
            args.flaws.contains(&catch.flaw)
        }
    };
    let catches = catches(app.suites).filter(is_selected);
    let sound = args.flaws.is_empty().then_some(None);
    let started = Instant::now();
    let progress = Progress::new();
    let jobs = args
        .jobs
        .map_or_else(|| 3 * limits::cores(), NonZeroUsize::get);
    let asked = sound.into_iter().chain(catches.map(Some)).enumerate();
    let mut tested = streams::iter(asked)
        .map(|(place, catch)| {
            let row = apart(
                app.suites,
                catch,
                options.clone(),
                stack.clone(),
                progress.clone(),
            );
            row.map_ok(move |row| (place, row))
        })
        .buffer_unordered(jobs);
    let mut rows = BTreeMap::new();
    while let Some((place, row)) = tested.try_next().await? {
        let interrupted = row.interrupted;
        rows.insert(place, row);
        if interrupted {
            break;
        }
    }
    progress.finish();
    let report = Report {
        suites: app.suites,
        rows: rows.into_values().collect(),
        faults: faults_of_table(app.suites),
        took_s: started.elapsed().as_secs_f64(),
    };
    report.print(&args)?;
    Ok(if report.is_interrupted() {
        Exit::Interrupted
    } else if report.holds() {
        Exit::Passed
    } else {
        Exit::Failed
    })
}

/// Starts embedded stacks with these options, each with the flaw and the seed of its row.
pub fn embedded(
    options: stack::Options,
) -> impl Fn(Option<Flaw>, u64) -> LocalBoxFuture<'static, Result<Started, StartError>> {
    move |flaw, seed| {
        let mut options = options.clone();
        options.kind = StackKind::Embedded;
        options.flaw = flaw;
        options.topology = topology_showing(flaw);
        options.seed = seed;
        let start = async move {
            let stack = Stack::start(&options, &mut |_| {}).await?;
            Ok(Started {
                target: stack.target.clone(),
                stop: stack.stop().boxed_local(),
            })
        };
        start.boxed_local()
    }
}

/// Runs a row on its own thread, so that parallel rows share only the processors.
async fn apart(
    suites: &'static [Suite],
    catch: Option<&'static Catch>,
    options: Arc<Options>,
    stack: stack::Options,
    progress: Progress,
) -> Result<Row, Failure> {
    let name = catch.map_or("no flaw", |catch| catch.flaw.name());
    let test = move || {
        let mut watch = |case: &Case| progress.running(&format!("{name}: {}", case.id));
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build().context("a runtime")?;
        let start = embedded(stack);
        let row = runtime.block_on(row(suites, catch, &options, &start, &mut watch))?;
        progress.note(&format!(
            "{:5} {name}",
            if row.holds() { "holds" } else { "FAULT" }
        ));
        Ok(row)
    };
    tokio::task::spawn_blocking(test)
        .await
        .with_context(|| format!("testing {name}"))?
}

struct Report {
    suites: &'static [Suite],
    rows: Vec<Row>,
    faults: Vec<String>,
    took_s: f64,
}

impl Report {
    fn holds(&self) -> bool {
        self.faults.is_empty() && self.rows.iter().all(Row::holds)
    }

    fn is_interrupted(&self) -> bool {
        self.rows.iter().any(|row| row.interrupted)
    }

    fn print(&self, args: &Args) -> Result<()> {
        if args.json {
            let report = json!({
                "holds": self.holds(),
                "interrupted": self.is_interrupted(),
                "faults_of_table": self.faults,
                "took_s": self.took_s,
                "rows": self.rows,
            });
            print_line(&serde_json::to_string_pretty(&report).context("writing the report")?);
            return Ok(());
        }
        let columns = self.columns();
        print_line(&terminal::matrix(&self.rows, &columns, args.markdown));
        print_line(&terminal::legend(&columns, args.markdown));
        for line in terminal::deviations(&self.rows, &self.faults) {
            print_line(&line);
        }
        let flaws = self.rows.iter().filter(|row| row.flaw.is_some());
        let always = |row: &&Row| !row.interrupted && row.caught == row.runs;
        let conclusion = match (self.is_interrupted(), self.holds()) {
            (true, _) => "interrupted",
            (false, true) => "the table holds",
            (false, false) => "the table does not hold",
        };
        print_line(&format!(
            "{} of {} flaws caught every time, runs of each: {}; {conclusion}; {:.0} s",
            flaws.clone().filter(always).count(),
            flaws.count(),
            args.repeat,
            self.took_s
        ));
        Ok(())
    }

    /// The cases that ran, in the order of the suites.
    fn columns(&self) -> Vec<&'static str> {
        let cells = || self.rows.iter().flat_map(|row| &row.cells);
        let ids = self.suites.iter().flat_map(|suite| suite.cases);
        ids.map(|case| case.id)
            .filter(|id| cells().any(|cell| cell.case == *id))
            .collect()
    }
}
