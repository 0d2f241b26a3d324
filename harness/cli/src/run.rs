//! `poolproof run`: starts a stack, runs cases, writes the record, and exits with the verdict.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use tokio_util::sync::CancellationToken;

use super::duration::seconds;
use super::expect::ExpectArgs;
use super::found::{self, Question};
use super::metrics::{Exporter, MetricsArgs};
use super::output::save_record;
use super::plan;
use super::pod::Pod;
use super::rates::RateArgs;
use super::slow::SlowArgs;
use super::stack::StackArgs;
use super::started::Started;
use super::{App, Exit, Failure, github, next_steps, print_line, save, table_style, timeouts};
use poolproof_cases::budget::Budget;
use poolproof_cases::case::Case;
use poolproof_cases::context::{Settings, Timeouts};
use poolproof_cases::round_trip::{self, RoundTrip, Vantage};
use poolproof_cases::run::{self, Event};
use poolproof_cases::wanted;
use poolproof_model::component::Component;
use poolproof_model::parts::StackKind;
use poolproof_model::target::Target;
use poolproof_records::expect::Expectations;
use poolproof_records::limits;
use poolproof_records::run::{Conclusion, Record, StackUnderTest};
use poolproof_report::{self as report, format, markdown, openmetrics, terminal};
use poolproof_stack::{EMBEDDED_OPEN_FILES, Options, Stack, StartError};

#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:
  poolproof run                                        all suites on the embedded stack
  poolproof run canary routing/unknown-model           one suite and one case
  poolproof run --flaw split-80-20 canary              a gateway that splits 80/20, which must fail
  poolproof run http://host:8000 routing               a gateway or model server, without a file
  poolproof run --stack url --target my-gateway.toml   an existing stack
  poolproof run --target my-gateway.toml --api-key-env KEY --wait-ready 10m
  poolproof run --stack local --gateway envoy          the real endpoint picker behind the real Envoy
  poolproof run --stack kind --expect known.toml       known failures of that stack do not fail the run
  poolproof run --slow --slow-answer 310               slow cases as well, with answers that take 310 seconds
  poolproof run --target my-gateway.toml --dry-run     what a run would send, and which cases it would skip")]
pub(super) struct Args {
    /// Suites or cases to run, such as `canary`, `routing/unknown-model`, `priority/h*` [default: all]; or the URL of a gateway, which is
    /// asked for its models in place of a target file
    #[arg(value_name = "SELECTOR|URL")]
    selectors: Vec<String>,
    /// With a URL: the model [default: the first one that the gateway lists]
    #[arg(help_heading = "Stack", long, value_name = "NAME")]
    model: Option<String>,
    #[command(flatten)]
    stack: StackArgs,
    #[command(flatten)]
    rates: RateArgs,
    #[command(flatten)]
    slow: SlowArgs,
    /// Longest time of a case, in seconds or with a unit, such as 10m; slow servers need more for samples of thousands
    #[arg(help_heading = "Judging", long, value_name = "TIME", default_value_t = Timeouts::default().case.as_secs_f64(), value_parser = case_timeout)]
    case_timeout: f64,
    /// Stacks `kind` and `cluster`: run cases that do not change the stack from a pod, so that their times exclude the path into the
    /// cluster
    #[arg(help_heading = "Cluster", long)]
    inside: bool,
    /// Stack `embedded`: equal stacks that run cases at the same time, each one by one [default: one per processor, 3 at most]
    #[arg(help_heading = "Stack", long, value_name = "N")]
    jobs: Option<NonZeroUsize>,
    /// Stop after the first case that fails the run or leaves it undecided
    #[arg(help_heading = "Judging", long)]
    fail_fast: bool,
    #[command(flatten)]
    expect: ExpectArgs,
    /// Output folder for run.json, junit.xml, report.html and metrics.txt
    #[arg(
        help_heading = "Output",
        long,
        value_name = "DIR",
        default_value = "poolproof-out"
    )]
    out: PathBuf,
    #[command(flatten)]
    metrics: MetricsArgs,
    /// Print which cases would run, what each would send, and which would be skipped; start and send nothing
    #[arg(help_heading = "Output", long)]
    dry_run: bool,
    /// With --dry-run: the time of a request, in milliseconds
    #[arg(help_heading = "Output", long, value_name = "MS", default_value_t = plan::LATENCY_MS, requires = "dry_run")]
    latency: f64,
    /// Print the record to standard output instead of the table; with --dry-run, the plan
    #[arg(help_heading = "Output", long)]
    json: bool,
}

/// A timeout of 1 s to a day.
fn case_timeout(text: &str) -> anyhow::Result<f64> {
    let seconds = seconds(text)?;
    ensure!(
        (1.0..=86_400.0).contains(&seconds),
        "must be 1 second to 1 day"
    );
    Ok(seconds)
}

impl Args {
    /// Asks the gateway at a URL among the selectors what a target file would say.
    async fn ask(&mut self) -> Result<(), Failure> {
        let all = std::mem::take(&mut self.selectors);
        let (urls, selectors): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|text| found::is_url(text));
        self.selectors = selectors;
        let [text] = urls.as_slice() else {
            let wrong = if urls.is_empty() {
                self.model.as_ref().map(|name| {
                    anyhow!("--model {name}: only for a URL; a target file names its models itself")
                })
            } else {
                Some(anyhow!("{}: a run has one gateway", urls.join(" ")))
            };
            return wrong.map_or(Ok(()), |error| Err(Failure::usage(error)));
        };
        let url = found::url(text).map_err(Failure::usage)?;
        if !self.stack.is_default() {
            let wrong = "give the URL of a gateway, or a target file or a stack, but not both";
            return Err(Failure::usage(anyhow!(wrong)));
        }
        let target = found::find(Question {
            url: &url,
            model: self.model.as_deref(),
            access: &self.stack.access,
            may_chat: !self.dry_run,
        });
        self.stack.found = Some(target.await?);
        Ok(())
    }
}

/// What a run needs from the command line, read and checked.
pub(super) struct Prepared {
    cases: Vec<&'static Case>,
    pub(super) options: Options,
    settings: Settings,
    expectations: Expectations,
}

/// A run that has ended. Its record is saved.
pub(super) struct Ran {
    pub(super) record: Record,
    cases: Vec<&'static Case>,
    target: Arc<Target>,
}

impl Args {
    /// See [`StackArgs::forget`].
    pub(super) fn forget(&mut self, named: impl Fn(&str) -> bool) {
        self.stack.forget(named);
    }

    /// Reads and checks what the arguments name. Starts nothing.
    pub(super) fn prepare(&self, app: App) -> Result<Prepared, Failure> {
        let cases =
            run::select(app.suites, &self.selectors, self.slow.slow).map_err(Failure::usage)?;
        let options = self.stack.options().map_err(Failure::usage)?;
        let settings = self.rates.settings(options.seed).map_err(Failure::usage)?;
        let expectations = self.expect.read(app).map_err(Failure::usage)?;
        Ok(Prepared {
            cases,
            options,
            settings,
            expectations,
        })
    }
}

pub(super) async fn run(app: App, mut args: Args) -> Result<Exit, Failure> {
    args.ask().await?;
    let prepared = args.prepare(app)?;
    if args.dry_run {
        return dry_run(app, &args, &prepared).await;
    }
    let kind = prepared.options.kind;
    let Some(ran) = execute(app, &args, prepared, &[]).await? else {
        return Ok(Exit::Interrupted);
    };
    print(&ran.record, &args)?;
    if !args.json {
        if kind == StackKind::Url {
            print_wanted(&ran.cases, &ran.target);
        }
        next_steps::print_once();
    }
    github::publish(
        &markdown::render(&ran.record),
        &report::github::annotations(&ran.record),
    );
    Ok(exit(&ran.record))
}

/// The exit code of a run.
pub(super) fn exit(record: &Record) -> Exit {
    match record.conclusion() {
        Conclusion::Passed | Conclusion::KnownFailures => Exit::Passed,
        Conclusion::Failed | Conclusion::Outdated => Exit::Failed,
        Conclusion::Undecided => Exit::Undecided,
        Conclusion::Interrupted => Exit::Interrupted,
    }
}

/// Starts the stack, runs the cases, writes the record and its renderings, and stops the stack. `declared` are components that the stack
/// cannot detect. Returns `None` if a signal arrived before the first case.
pub(super) async fn execute(
    app: App,
    args: &Args,
    prepared: Prepared,
    declared: &[Component],
) -> Result<Option<Ran>, Failure> {
    let Prepared {
        cases,
        options,
        settings,
        expectations,
    } = prepared;
    if args.inside && !in_cluster(&options) {
        let wrong = "--inside: only stacks kind and cluster have pods to send from";
        return Err(Failure::usage(anyhow!(wrong)));
    }
    let jobs = jobs(args, &options, cases.len()).map_err(Failure::usage)?;
    let exporter = Exporter::start(&args.metrics).await?;
    let Some(started) = Started::start(&options, &args.out).await? else {
        return Ok(None);
    };
    let Started {
        mut stack,
        progress,
        stop,
        environment,
    } = started;
    stack.components.extend_from_slice(declared);
    let known = settings
        .check(&stack.target)
        .and_then(|()| expectations.applying(&stack.name, &stack.components));
    let known = match known {
        Ok(known) => known,
        Err(error) => {
            stack.stop().await;
            return Err(Failure::usage(error));
        }
    };
    let (pod, round_trips) = match way(args, &options, &stack, &stop).await {
        Ok(way) => way,
        Err(error) => {
            stack.stop().await;
            return if stop.is_cancelled() {
                Ok(None)
            } else {
                Err(StartError::Unavailable(error).into())
            };
        }
    };
    let mut others = Vec::new();
    for _ in 1..jobs {
        // An embedded stack has no part that takes time to stop: dropping it stops it.
        others.push(Stack::start(&options, &mut |_| {}).await?);
    }
    let flaw = options.flaw.map(|flaw| flaw.to_string());
    let under_test = StackUnderTest {
        name: &stack.name,
        flaw,
        components: &stack.components,
        start_steps: &stack.steps,
        target: &stack.target,
    };
    let mut record = Record::new(under_test, &settings, environment);
    record.round_trips = round_trips;
    exporter.show(|| openmetrics::render(&record));
    let run_options = run::Options {
        budget: Budget::new(app.suites, settings),
        timeouts: Timeouts {
            case: Duration::from_secs_f64(args.case_timeout),
            ..timeouts(options.kind)
        },
        fail_fast: args.fail_fast,
        known,
        stop,
        inside: pod.as_ref().map(|pod| pod.inside.clone()),
    };
    let path = args.out.join("run.json");
    let mut observe = |event: Event<'_>| match event {
        Event::Started(case) => progress.running(case.id),
        Event::Ended(case, record) => {
            progress.note(&format!("{:15} {}", case.judged(), case.id));
            exporter.show(|| openmetrics::render(record));
        }
    };
    let stacks = std::iter::once(&stack).chain(&others);
    let targets: Vec<_> = stacks.map(|stack| Arc::new(stack.target.clone())).collect();
    let ran = run::run(
        &cases,
        &targets,
        &run_options,
        &mut record,
        &path,
        &mut observe,
    )
    .await;
    if matches!(
        record.conclusion(),
        Conclusion::Failed | Conclusion::KnownFailures | Conclusion::Undecided
    ) {
        save_logs(&stack, &args.out.join("logs")).await;
    }
    if let Some(pod) = pod {
        pod.stop().await;
    }
    for stack in others.into_iter().chain([stack]) {
        stack.stop().await;
    }
    record.interrupted |= ran.is_err();
    save_record(&mut record, &args.out, "run.json", Record::save)?;
    ran?;
    for (name, text) in format::files_of_run(&record)? {
        save(&args.out, name, &text)?;
    }
    progress.finish();
    let target = Arc::clone(&targets[0]);
    Ok(Some(Ran {
        record,
        cases,
        target,
    }))
}

/// The pod to send from, if requested, and the round-trip times to a gateway in a cluster.
async fn way(
    args: &Args,
    options: &Options,
    stack: &Stack,
    stop: &CancellationToken,
) -> anyhow::Result<(Option<Pod>, Vec<RoundTrip>)> {
    if !in_cluster(options) {
        return Ok((None, Vec::new()));
    }
    let here = round_trip::measure(&stack.target, Vantage::Here).await?;
    if !args.inside {
        return Ok((None, vec![here]));
    }
    let pod = Pod::start(stack, &options.program, stop).await?;
    let trips = vec![here, pod.round_trip];
    Ok((Some(pod), trips))
}

/// The number of stacks. Only an embedded one can exist more than once.
fn jobs(args: &Args, options: &Options, cases: usize) -> anyhow::Result<usize> {
    const JOBS_MAX: usize = 3;
    let asked = args.jobs.map(NonZeroUsize::get);
    if options.kind != StackKind::Embedded {
        let one = asked.is_none_or(|jobs| jobs == 1);
        ensure!(
            one,
            "--jobs: only stack embedded runs cases in parallel, each on a stack of its own; leave --jobs out"
        );
        return Ok(1);
    }
    let files = limits::files_max().unwrap_or(u64::MAX);
    let stacks = usize::try_from(files / EMBEDDED_OPEN_FILES).unwrap_or(usize::MAX);
    let jobs = asked.unwrap_or_else(|| limits::cores().min(JOBS_MAX).min(stacks));
    // One stack that cannot have its files states so when it starts.
    Ok(jobs.min(cases).max(1))
}

fn in_cluster(options: &Options) -> bool {
    options.kind.is_cluster()
}

/// Prints what a run would send. For an existing stack in a cluster, it reads the cluster first.
async fn dry_run(app: App, args: &Args, prepared: &Prepared) -> Result<Exit, Failure> {
    let (cases, options) = (&prepared.cases, &prepared.options);
    let target = if options.kind == StackKind::Cluster && options.cluster.existing {
        let stack = Stack::start(options, &mut |_| {}).await?;
        let target = stack.target.clone();
        stack.stop().await;
        target
    } else {
        options.planned_target().map_err(Failure::usage)?
    };
    let planned = plan::plan_cases(
        cases,
        &target,
        &Budget::new(app.suites, prepared.settings),
        args.latency,
    );
    let (value, text) = planned.map_err(Failure::usage)?;
    if args.json {
        print_line(&serde_json::to_string_pretty(&value).context("writing the plan")?)
    } else {
        print_line(&format!("{text}\nNothing was sent."));
        if options.kind == StackKind::Url {
            print_wanted(cases, &target);
        }
    }
    Ok(Exit::Passed)
}

/// Saves the logs of the parts if a run does not pass. An error here changes no verdict.
async fn save_logs(stack: &Stack, folder: &Path) {
    match stack.save_logs(folder).await {
        Ok(true) => eprintln!("logs: {}", folder.display()),
        Ok(false) => {}
        Err(error) => eprintln!("logs: {error:#}"),
    }
}

/// Prints which fields of a target file would let more cases run.
fn print_wanted(cases: &[&Case], target: &Target) {
    if let Some(text) = wanted::in_words(&wanted::wanted(cases, target)) {
        print_line(&text);
    }
}

fn print(record: &Record, args: &Args) -> anyhow::Result<()> {
    if args.json {
        print_line(&serde_json::to_string_pretty(record)?);
        return Ok(());
    }
    print_line(&terminal::run::render(record, table_style()));
    print_line(&format!("record: {}", args.out.join("run.json").display()));
    Ok(())
}
