//! `poolproof load picker`: load on an endpoint picker itself, with the gateway left out.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use jiff::Timestamp;

use crate::duration::seconds;
use crate::output::save_record;
use crate::stack::StackArgs;
use crate::{Exit, Failure, make_out_folder, print_line, save, stop_on_signal};
use poolproof_load::picker::{self, Asked, Load, Prompt};
use poolproof_model::parts::StackKind;
use poolproof_records::environment::Environment;
use poolproof_records::file::Kind;
use poolproof_records::load::picker::{Picked, PickerLoad, Row, SCHEMA};
use poolproof_report::format;
use poolproof_report::terminal::picker::render;
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
    /// Output folder for the record
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
    /// Print the record to standard output instead of a table
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

    /// The record, before anything is measured.
    fn record(&self) -> PickerLoad {
        PickerLoad {
            schema: SCHEMA.to_owned(),
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
            started: Timestamp::now(),
            digest: None,
            interrupted: false,
            stack: match &self.address {
                Some(_) => StackKind::Url.to_string(),
                None => self.stack.stack.to_string(),
            },
            flaw: None,
            picker: String::new(),
            environment: Environment::here(),
            model: self.model.clone(),
            load: self.load(),
            warm_up_s: WARM_UP_SHARE * self.duration,
            window_s: self.duration,
            rows: Vec::new(),
        }
    }

    fn load(&self) -> Load {
        match self.rate {
            Some(rate) => Load::Rate(rate),
            None => Load::Streams(usize::from(self.streams)),
        }
    }

    fn asked(&self, authority: &str, process: Option<u32>, tokens: usize) -> Asked {
        Asked {
            authority: authority.to_owned(),
            process,
            prompt: Prompt::new(&self.model, tokens),
            load: self.load(),
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
    let mut record = args.record();
    let mut rows = Vec::new();
    let mut measure = async |endpoints: Option<usize>, authority: &str, process| {
        for tokens in &args.input {
            let asked = args.asked(authority, process, *tokens);
            let picks = picker::ask(&asked, &stop).await;
            let Some(picks) = picks.map_err(StartError::Unavailable)? else {
                break;
            };
            rows.push(Row {
                endpoints,
                input_tokens: *tokens,
                picks,
            });
        }
        Ok::<(), StartError>(())
    };
    if let Some(address) = &args.address {
        measure(None, address, None).await?;
        record.picker.clone_from(address);
    } else {
        let options = args.stack.options().map_err(Failure::usage)?;
        record.flaw = options.flaw.map(|flaw| flaw.to_string());
        for endpoints in &args.endpoints {
            if stop.is_cancelled() {
                break;
            }
            let alone = PickerAlone::start(&options, *endpoints).await?;
            eprintln!("{} with {endpoints} endpoints", alone.version);
            record.picker.clone_from(&alone.version);
            let address = alone.address.to_string();
            let measured = measure(Some(*endpoints), &address, alone.process).await;
            alone.stop().await;
            measured?;
        }
    }
    record.rows = rows;
    record.interrupted = stop.is_cancelled();
    let name = Kind::Picker.file_name();
    save_record(&mut record, &args.out, name, PickerLoad::save)?;
    let path = args.out.join(name);
    for (name, text) in format::files_of_picker(&record)? {
        save(&args.out, name, &text)?;
    }
    if args.json {
        print_line(&serde_json::to_string_pretty(&record).context("writing the record")?);
    } else {
        print_line(&render(&record));
        print_line(&format!("record: {}", path.display()));
    }
    Ok(match record.picked() {
        Picked::All => Exit::Passed,
        Picked::Some => Exit::Undecided,
        Picked::Nothing => Exit::Failed,
        Picked::Unfinished => Exit::Interrupted,
    })
}
