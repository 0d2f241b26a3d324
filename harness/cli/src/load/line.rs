//! What the command line of `poolproof load` changes of a workload. Each flag overrides the field of the same meaning.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::duration::seconds;
use poolproof_load::adjust::{set_api, set_duration, set_rate, set_slo, set_users};
use poolproof_model::api::Api;
use poolproof_model::workload::slo::Slo;
use poolproof_model::workload::trace::Trace;
use poolproof_model::workload::{Count, Dataset, Workload};

/// The flags.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Workload")]
pub(super) struct Line {
    /// The model of all requests [default: that of the workload, else the first one of the target]
    #[arg(long, value_name = "NAME")]
    pub(super) model: Option<String>,
    /// API of all requests: completions, chat, responses (OpenAI) or messages (Anthropic)
    #[arg(long, value_name = "API")]
    api: Option<Api>,
    /// Requests per second; replaces the users of a closed loop
    #[arg(long, value_name = "N", conflicts_with = "users")]
    rate: Option<f64>,
    /// Users who each have one request at a time, or of a workload with sessions; replaces a rate
    #[arg(long, value_name = "N")]
    users: Option<usize>,
    /// Duration, in seconds or with a unit, such as 30, 30s or 5m
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    duration: Option<f64>,
    /// Tokens of a prompt, such as 1000, or mean and standard deviation, such as 1000:100
    #[arg(long, value_name = "TOKENS")]
    input: Option<Count>,
    /// Tokens of an answer, such as 200 or 200:20
    #[arg(long, value_name = "TOKENS")]
    output: Option<Count>,
    /// Objective, may be repeated: ttft.p95=200ms, tpot.p99=20ms, e2e.p50=2s, goodput=99%, failures=1%; replaces one of the same percentile
    #[arg(long = "slo", value_name = "METRIC=LIMIT")]
    slos: Vec<Slo>,
    /// Prompts to send: one per line, or JSON Lines with `prompt` or `messages`
    #[arg(long, value_name = "FILE", conflicts_with_all = ["dataset", "input"])]
    prompt_file: Option<PathBuf>,
    /// Prompts to send, with answers as long as those of the file: ShareGPT, OpenAI messages or prompt and completion, as JSON or JSON
    /// Lines. A conversation is one chat, up to its last question
    #[arg(long, value_name = "FILE", conflicts_with = "input")]
    dataset: Option<PathBuf>,
    /// Write the workload with all changes of this command line to a new file
    #[arg(long, value_name = "FILE")]
    pub(super) write_workload: Option<PathBuf>,
}

impl Line {
    /// Whether it asks for a run, so that a list of workloads is not what is wanted.
    pub(super) fn asks(&self) -> bool {
        let of_requests = self.model.is_some()
            || self.api.is_some()
            || self.input.is_some()
            || self.output.is_some();
        let of_arrivals = self.rate.is_some() || self.users.is_some() || self.duration.is_some();
        let of_files = self.prompt_file.is_some() || self.dataset.is_some();
        of_requests || of_arrivals || of_files || !self.slos.is_empty()
    }

    /// Overrides the workload. An error names the flag and its value.
    pub(super) fn apply(&self, workload: &mut Workload, trace: &mut Option<Trace>) -> Result<()> {
        // A workload was valid before each flag, so the flag is what makes it invalid.
        if let Some(duration_s) = self.duration {
            set_duration(workload, duration_s);
            let ends = self.rate.is_none() && self.users.is_none();
            if ends {
                workload
                    .check()
                    .with_context(|| format!("--duration {duration_s}"))?;
            }
        }
        if let Some(rate) = self.rate {
            let set = set_rate(workload, rate).and_then(|()| workload.check());
            set.with_context(|| format!("--rate {rate}"))?;
        }
        if let Some(users) = self.users {
            set_users(workload, users);
            workload
                .check()
                .with_context(|| format!("--users {users}"))?;
        }
        if let Some(api) = self.api {
            set_api(workload, api);
            workload
                .check()
                .with_context(|| format!("--api {}", api.name()))?;
        }
        for class in &mut workload.mix {
            class.model = self.model.clone().or(class.model.take());
            class.input_tokens = self.input.unwrap_or(class.input_tokens);
            class.output_tokens = self.output.unwrap_or(class.output_tokens);
        }
        for slo in &self.slos {
            set_slo(workload, slo.clone());
            workload.check().with_context(|| format!("--slo: {slo}"))?;
        }
        self.read_prompts(workload, trace)
    }

    fn read_prompts(&self, workload: &mut Workload, trace: &mut Option<Trace>) -> Result<()> {
        let (flag, file, answer_lengths) = match (&self.prompt_file, &self.dataset) {
            (Some(file), _) => ("--prompt-file", file, false),
            (None, Some(file)) => ("--dataset", file, self.output.is_none()),
            (None, None) => {
                if self.output.is_some()
                    && let Some(dataset) = &mut workload.dataset
                {
                    dataset.answer_lengths = false;
                    let prompts = trace.iter_mut().flat_map(|trace| &mut trace.prompts);
                    prompts.for_each(|prompt| prompt.output_tokens = None);
                }
                return Ok(());
            }
        };
        let what = || format!("{flag} {}", file.display());
        // The file that is written, and the record, must find it from any folder.
        let file = std::path::absolute(file).with_context(what)?;
        workload.dataset = Some(Dataset {
            file,
            answer_lengths,
        });
        workload.check().with_context(what)?;
        *trace = workload.data(Path::new("")).with_context(what)?;
        let count = trace.as_ref().map_or(0, |trace| trace.prompts.len());
        eprintln!(
            "{}: {count} prompts, each in turn in an order of the seed",
            what()
        );
        Ok(())
    }

    /// Writes the workload that a run will send to a new file, if one is named.
    pub(super) fn write(&self, workload: &Workload) -> Result<()> {
        let Some(path) = &self.write_workload else {
            return Ok(());
        };
        let what = || format!("--write-workload {}", path.display());
        ensure!(
            !path.exists(),
            "{}: the file exists already: name another one, or remove it",
            what()
        );
        let text = toml::to_string_pretty(workload).with_context(what)?;
        std::fs::write(path, text).with_context(what)?;
        eprintln!("workload: {}", path.display());
        Ok(())
    }
}
