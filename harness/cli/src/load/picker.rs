//! `poolproof load picker`: load on an endpoint picker itself, with the gateway left out.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde::Serialize;

use crate::duration::seconds;
use crate::output::save_record;
use crate::stack::StackArgs;
use crate::{Exit, Failure, make_out_folder, print_line, stop_on_signal};
use poolproof_load::picker::{self, Asked, Load, PERCENTILES, Picks, Prompt};
use poolproof_model::parts::StackKind;
use poolproof_records::environment::Environment;
use poolproof_records::file;
use poolproof_report::terminal::table;
use poolproof_stack::{PICKER_MODEL, PickerAlone, StartError};

#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:
  poolproof load picker                                     poolproof's own picker, with 1, 10 and 100 endpoints
  poolproof load picker --stack local                       GIE's picker, as a process of this machine
  poolproof load picker --stack local --endpoints 100 --input 32000 --rate 200
  poolproof load picker 127.0.0.1:9002 --model model-a      a picker that is there already, without TLS")]
pub(super) struct Args {
    /// Address of a picker that is there already [default: start one]
    #[arg(value_name = "HOST:PORT")]
    address: Option<String>,
    #[command(flatten)]
    stack: StackArgs,
    /// Output folder for the result
    #[arg(
        help_heading = "Output",
        long,
        value_name = "DIR",
        default_value = "poolproof-out"
    )]
    out: PathBuf,
    /// Model of the requests
    #[arg(long, value_name = "NAME", default_value = PICKER_MODEL)]
    model: String,
    /// Numbers of endpoints of pickers that are started
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [1, 10, 100], conflicts_with = "address")]
    endpoints: Vec<usize>,
    /// Tokens of prompts, about
    #[arg(long, value_name = "TOKENS", value_delimiter = ',', default_values_t = [200, 32_000])]
    input: Vec<usize>,
    /// Streams that each have one pick at a time
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    streams: u16,
    /// Picks per second, whether or not earlier ones have ended; replaces the streams
    #[arg(long, value_name = "N", conflicts_with = "streams")]
    rate: Option<f64>,
    /// Duration of each measurement, in seconds or with a unit
    #[arg(long, value_name = "TIME", value_parser = seconds, default_value = "5s")]
    duration: f64,
    /// Print the result as JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// The longest wait for a pick.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The part of a measurement that is added in front of it as a warm-up.
const WARM_UP_SHARE: f64 = 0.2;
/// The longest prompt, in tokens.
const INPUT_MAX: usize = 1_000_000;
/// The highest rate.
const RATE_MAX: f64 = 1e6;

/// The result.
#[derive(Serialize)]
struct Report {
    tool_version: String,
    environment: Environment,
    picker: String,
    rows: Vec<Row>,
}

/// A measurement.
#[derive(Serialize)]
struct Row {
    /// Endpoints of the picker; absent for one that was there already.
    endpoints: Option<usize>,
    input_tokens: usize,
    #[serde(flatten)]
    picks: Picks,
}

impl Args {
    fn check(&self) -> anyhow::Result<()> {
        if let Some(rate) = self.rate {
            ensure!(
                rate > 0.0 && rate <= RATE_MAX,
                "--rate {rate}: must be above 0, and {RATE_MAX} at most"
            );
        }
        for tokens in &self.input {
            ensure!(
                (1..=INPUT_MAX).contains(tokens),
                "--input {tokens}: must be 1 to {INPUT_MAX}"
            );
        }
        ensure!(
            self.duration >= 1.0 && self.duration <= 3600.0,
            "--duration {}: must be 1 s to an hour",
            self.duration
        );
        if let Some(address) = &self.address {
            ensure!(
                !address.contains("://") && address.contains(':'),
                "{address}: must be HOST:PORT of the picker's ext_proc port, such as 127.0.0.1:9002"
            );
        }
        let kind = self.stack.stack;
        ensure!(
            self.address.is_some() || matches!(kind, StackKind::Embedded | StackKind::Local),
            "--stack {kind}: a picker is started on embedded or local; for another one, give its address"
        );
        Ok(())
    }

    fn asked(&self, authority: &str, process: Option<u32>, tokens: usize) -> Asked {
        Asked {
            authority: authority.to_owned(),
            process,
            prompt: Prompt::new(&self.model, tokens),
            load: match self.rate {
                Some(rate) => Load::Rate(rate),
                None => Load::Streams(usize::from(self.streams)),
            },
            warm_up: Duration::from_secs_f64(WARM_UP_SHARE * self.duration),
            counted: Duration::from_secs_f64(self.duration),
            timeout: TIMEOUT,
        }
    }
}

pub(super) async fn picker(args: Args) -> Result<Exit, Failure> {
    args.check().map_err(Failure::usage)?;
    make_out_folder(&args.out)?;
    let stop = stop_on_signal()?;
    let mut report = Report {
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        environment: Environment::here(),
        picker: String::new(),
        rows: Vec::new(),
    };
    let mut measure = async |endpoints: Option<usize>, authority: &str, process| {
        for tokens in &args.input {
            if stop.is_cancelled() {
                break;
            }
            let asked = args.asked(authority, process, *tokens);
            let picks = picker::ask(&asked, &stop).await;
            let picks = picks.map_err(StartError::Unavailable)?;
            report.rows.push(Row {
                endpoints,
                input_tokens: *tokens,
                picks,
            });
        }
        Ok::<(), StartError>(())
    };
    let mut version = String::new();
    if let Some(address) = &args.address {
        measure(None, address, None).await?;
        version.clone_from(address);
    } else {
        let options = args.stack.options().map_err(Failure::usage)?;
        for endpoints in &args.endpoints {
            if stop.is_cancelled() {
                break;
            }
            let alone = PickerAlone::start(&options, *endpoints).await?;
            eprintln!("{} with {endpoints} endpoints", alone.version);
            version.clone_from(&alone.version);
            let address = alone.address.to_string();
            let measured = measure(Some(*endpoints), &address, alone.process).await;
            alone.stop().await;
            measured?;
        }
    }
    report.picker = version;
    let path = args.out.join("picker.json");
    save_record(&mut report, &args.out, "picker.json", |report, path| {
        file::save(report, path)
    })?;
    if args.json {
        print_line(&serde_json::to_string_pretty(&report).context("writing the result")?);
    } else {
        print_line(&render(&report));
        print_line(&format!("result: {}", path.display()));
    }
    let failed = |row: &Row| !row.picks.failed.is_empty();
    Ok(if stop.is_cancelled() {
        Exit::Interrupted
    } else if report.rows.iter().any(|row| row.picks.picks == 0) {
        Exit::Failed
    } else if report.rows.iter().any(failed) {
        Exit::Undecided
    } else {
        Exit::Passed
    })
}

fn render(report: &Report) -> String {
    let headings = [
        "endpoints",
        "input tokens",
        "picks/s",
        "failed",
        "p50",
        "p95",
        "p99",
        "CPU us/pick",
        "cores",
        "own cores",
        "named",
    ];
    let rows = report.rows.iter().map(|row| {
        let picks = &row.picks;
        let mut cells = vec![
            row.endpoints
                .map_or("-".to_owned(), |count| count.to_string()),
            row.input_tokens.to_string(),
            format!("{:.0}", picks.picks_per_s),
            picks.failed.values().sum::<u64>().to_string(),
        ];
        cells.extend(PERCENTILES.map(|wanted| {
            let mut known = picks.latency.iter();
            match known.find(|known| known.percentile == wanted) {
                Some(found) => found.ms.map_or("never".to_owned(), |ms| format!("{ms:.2}")),
                None => "-".to_owned(),
            }
        }));
        let or_dash = |figure: Option<f64>, digits: usize| {
            figure.map_or("-".to_owned(), |figure| format!("{figure:.digits$}"))
        };
        cells.extend([
            or_dash(picks.picker_cpu_us_per_pick, 0),
            or_dash(picks.picker_cores, 2),
            format!("{:.2}", picks.own_cores),
            picks.endpoints_named.to_string(),
        ]);
        cells
    });
    let mut text = format!(
        "{}\n{}; latency in ms, from the request to the last answer about it; CPU and cores of the picker's process, scrapes included;\n\
         own cores: those of poolproof, which also serves the endpoints' metrics; named: different endpoints that were picked",
        table(&headings, rows),
        report.picker
    );
    for row in &report.rows {
        for (reason, count) in &row.picks.failed {
            text += &format!(
                "\n{count} without a pick at {} input tokens: {reason}",
                row.input_tokens
            );
        }
    }
    text
}
