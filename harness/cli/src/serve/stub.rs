//! The arguments of `poolproof serve stub`.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use poolproof_fixtures::stub::{Broken, Config, Shape, Written};
use serde_json::json;

/// Flags of the stub.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:
  poolproof serve stub --listen 127.0.0.1:8000                              whole answers of 1 KiB
  poolproof serve stub --tokens 200                                         streams, one token per write
  poolproof serve stub --tokens 200 --coalesce 16                           streams, 16 tokens per write
  poolproof serve stub --tokens 200 --ttft-ms 50 --itl-ms 10                streams with fixed TTFT and ITL
  poolproof serve stub --tokens 200 --itl-ms 10 --log answers.jsonl         with a log of when requests arrived and answers left
  poolproof serve stub --pause-after-s 5 --pause-ms 1000                    a server that pauses once
  poolproof serve stub --tokens 20 --broken cut                             every second stream is truncated
  poolproof serve stub --tokens 20 --shape error-line                       answers of another shape; `--shape list` lists them")]
pub(crate) struct Args {
    /// Listen address; port 0 takes a free port
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Tokens per stream; 0 sends the answer as one body
    #[arg(long, default_value_t = 0)]
    tokens: usize,
    /// Tokens per write
    #[arg(long, default_value_t = 1)]
    coalesce: usize,
    /// Time to the first token, in milliseconds
    #[arg(long, default_value_t = 0)]
    ttft_ms: u64,
    /// Time between two writes of a stream, in milliseconds
    #[arg(long, default_value_t = 0)]
    itl_ms: u64,
    /// Pause once, this long after the start, in seconds
    #[arg(long, value_name = "SECONDS")]
    pause_after_s: Option<u64>,
    /// Length of the pause, in milliseconds
    #[arg(long, default_value_t = 1000)]
    pause_ms: u64,
    /// Defect of every second answer
    #[arg(long, value_enum, value_name = "HOW")]
    broken: Option<HowBroken>,
    /// Shape of every answer, as one of the real servers that differ from the plain one; `--shape list` lists them
    #[arg(long, value_name = "NAME", conflicts_with_all = ["broken", "coalesce"], value_parser = shape)]
    shape: Option<&'static Shape>,
    /// Write when requests arrived and answers left to a file at the end: one line of JSON per answer, times in ms
    #[arg(long, value_name = "FILE")]
    pub(super) log: Option<PathBuf>,
}

/// The shape with a name. The error lists all names.
fn shape(name: &str) -> Result<&'static Shape> {
    Shape::named(name).with_context(|| {
        let known = Shape::all().map(|it| format!("  {:22} {}", it.name, it.what));
        format!("there are:\n{}", known.collect::<Vec<_>>().join("\n"))
    })
}

/// The defect of a broken stream. It is half as long as an intact one, and its status is 200.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum HowBroken {
    /// The connection closes halfway
    Cut,
    /// The body ends halfway as if complete, without [DONE]
    NoDone,
    /// An event halfway reports an error, and [DONE] follows
    ErrorEvent,
    /// The body is a JSON error instead of a stream
    ErrorBody,
    /// One write halfway is sent twice
    Repeated,
}

impl Args {
    /// Builds the configuration. An error names the flag.
    pub(super) fn into_config(self) -> Result<Config> {
        ensure!(self.coalesce > 0, "--coalesce is 0: at least 1 is needed");
        ensure!(
            self.shape.is_none() || self.tokens >= 4,
            "--shape needs answers of at least four tokens: raise --tokens"
        );
        let writes = self.tokens.div_ceil(self.coalesce);
        ensure!(
            self.broken.is_none() || writes >= 2,
            "--broken needs streams of at least two writes: raise --tokens"
        );
        Ok(Config {
            listen: self.listen,
            tokens: self.tokens,
            coalesce: self.coalesce,
            ttft_ms: self.ttft_ms,
            itl_ms: self.itl_ms,
            pause_after_s: self.pause_after_s,
            pause_ms: self.pause_ms,
            broken: self.broken.map(Broken::from),
            shape: self.shape,
        })
    }
}

/// Writes a log: for each answer, in the order of arrival, when its request arrived and its first and last part were written, in
/// milliseconds from `start`.
pub(super) fn write_log(path: &Path, answers: Vec<Written>, start: Instant) -> Result<()> {
    let lines = log_of(answers, start)?;
    std::fs::write(path, lines).with_context(|| format!("--log {}", path.display()))
}

fn log_of(mut answers: Vec<Written>, start: Instant) -> Result<Vec<u8>> {
    answers.sort_by_key(|answer| answer.arrived_at);
    let since = |at: Instant| at.saturating_duration_since(start).as_secs_f64() * 1000.0;
    let mut lines = Vec::new();
    for answer in &answers {
        let ends = answer.written_at.first().zip(answer.written_at.last());
        let (first, last) = ends.context("an answer without a part")?;
        let line = json!({
            "arrived_ms": since(answer.arrived_at),
            "first_ms": since(*first),
            "last_ms": since(*last),
            "writes": answer.written_at.len(),
        });
        writeln!(lines, "{line}")?;
    }
    Ok(lines)
}

impl From<HowBroken> for Broken {
    fn from(how: HowBroken) -> Self {
        match how {
            HowBroken::Cut => Self::Cut,
            HowBroken::NoDone => Self::NoDone,
            HowBroken::ErrorEvent => Self::ErrorEvent,
            HowBroken::ErrorBody => Self::ErrorBody,
            HowBroken::Repeated => Self::Repeated,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn config(flags: &str) -> Result<Config> {
        Cli::try_parse_from(["stub"].into_iter().chain(flags.split_whitespace()))?
            .args
            .into_config()
    }

    #[test]
    fn each_name_selects_its_defect() {
        for (name, broken) in [
            ("cut", Broken::Cut),
            ("no-done", Broken::NoDone),
            ("error-event", Broken::ErrorEvent),
            ("error-body", Broken::ErrorBody),
            ("repeated", Broken::Repeated),
        ] {
            let parsed = config(&format!("--tokens 2 --broken {name}")).unwrap();
            assert_eq!(parsed.broken, Some(broken));
        }
    }

    #[test]
    fn the_log_has_a_line_per_answer_in_the_order_of_arrival() {
        let start = Instant::now();
        let at = |ms: u64| start + std::time::Duration::from_millis(ms);
        let answers = [(20, [30, 50]), (10, [70, 90])].map(|(arrived, written)| Written {
            arrived_at: at(arrived),
            written_at: written.map(at).into(),
        });
        let text = String::from_utf8(log_of(answers.into(), start).unwrap()).unwrap();
        let wanted = "{\"arrived_ms\":10.0,\"first_ms\":70.0,\"last_ms\":90.0,\"writes\":2}\n";
        assert!(
            text.starts_with(wanted) && text.lines().count() == 2,
            "{text}"
        );
    }

    #[test]
    fn flags_that_exclude_each_other_are_an_error_that_names_them() {
        for (flags, named) in [
            ("--coalesce 0", "--coalesce"),
            ("--broken cut", "--tokens"),
            ("--tokens 4 --coalesce 4 --broken cut", "--tokens"),
            ("--tokens 4 --broken sulk", "sulk"),
        ] {
            let error = config(flags).unwrap_err().to_string();
            assert!(error.contains(named), "{flags}: {error}");
        }
    }
}
