//! How far off this tool is on this machine: measured against a server that writes down when it sent what.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use jiff::Timestamp;
use poolproof_fixtures::stub::{Stub, Written};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::engine::{self, Job, Part, Sender};
use super::recorder::{Cell, Series};
use super::workload::Workload;
use crate::folders;
use crate::target::Target;

/// What a calibration found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Calibration {
    /// When it was made.
    pub made: Timestamp,
    /// Processors of the machine.
    pub cores: usize,
    /// What was found, by the number of open streams.
    pub levels: Vec<Level>,
}

/// What was found with so many streams open at once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Level {
    /// Streams that were open at once.
    pub streams: usize,
    /// Answers.
    pub answers: u64,
    /// Time to the first token.
    pub ttft: Twice,
    /// Between two tokens.
    pub itl: Twice,
    /// p99 of how late requests left, in milliseconds.
    pub lag_p99_ms: f64,
    /// Processor time of the client for each token, in microseconds.
    pub cpu_us_per_token: f64,
}

/// One time, as the server wrote it and as the client read it, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Twice {
    /// p50 and p99 by the server.
    pub server_ms: (f64, f64),
    /// p50 and p99 by the client.
    pub client_ms: (f64, f64),
}

impl Twice {
    /// By how much the client is off, at p50 and p99, in milliseconds.
    pub fn error_ms(&self) -> (f64, f64) {
        (
            self.client_ms.0 - self.server_ms.0,
            self.client_ms.1 - self.server_ms.1,
        )
    }
}

/// What the server does: 50 ms to the first token, 100 tokens 10 ms apart.
const TTFT_MS: u64 = 50;
const ITL_MS: u64 = 10;
const TOKENS: u64 = 100;
/// How long each level is held once all its streams are open, in seconds.
const HELD_S: f64 = 5.0;

/// Measures one level, on one sending thread: the server has the other processor.
pub async fn measure(streams: usize, stop: &CancellationToken) -> Result<Level> {
    let stub = Stub::recorded(TOKENS as usize, TTFT_MS, ITL_MS)?;
    let url = Url::parse(&format!("http://{}", stub.address()?)).context("its url")?;
    let ended = CancellationToken::new();
    // Also if this future is dropped, the server ends.
    let _end = ended.clone().drop_guard();
    let serving = tokio::spawn(stub.serve(ended.clone()));

    // Arrivals at a constant rate are as many open streams as arrive during one.
    let answer_s = (TTFT_MS + ITL_MS * (TOKENS - 1)) as f64 / 1000.0;
    let workload = format!(
        "shows = 'calibration'\nduration_s = {}\nwarm_up_s = {answer_s}\n\
         arrival = {{ process = 'constant', rate_per_s = {} }}\n\
         [[mix]]\nclass = 'calibration'\ninput_tokens = 20\noutput_tokens = {TOKENS}\n",
        HELD_S + answer_s,
        streams as f64 / answer_s
    );
    let workload: Workload = toml::from_str(&workload).context("the workload of a calibration")?;
    let target: Target = toml::from_str(&format!(
        "name = 'calibration'\nurl = '{url}'\n[[models]]\nname = 'stub'\n[[models.pools]]\nname = 'stub'\nweight = 1\n"
    ))
    .context("the target of a calibration")?;
    let sender = Sender {
        urls: &[url],
        headers: &[],
        sources: &[],
        vocabulary: None,
        threads: 1,
        seed: 1,
        part: Part::whole(),
    };
    let job = Job::new(workload, None, &target, sender).await?;
    let measured = engine::run(job, stop, &mut |_| {}).await?;
    ended.cancel();
    let written = serving.await.context("the server of a calibration")??;
    let cell = measured.recorder.sum(|_| true);
    level(streams, &cell, written, &measured)
}

fn level(
    streams: usize,
    cell: &Cell,
    mut written: Vec<Written>,
    measured: &engine::Measured,
) -> Result<Level> {
    let of_client = |series: Series| {
        let times = cell.series(series).context("nothing was answered")?;
        let at = |q: f64| times.value_at_quantile(q) as f64 / 1000.0;
        anyhow::Ok((at(0.5), at(0.99)))
    };
    // Those of the warm-up came first; the client does not count them.
    written.sort_by_key(|it| it.arrived_at);
    let counted = &written[written.len().saturating_sub(cell.answered as usize)..];
    let first = counted
        .iter()
        .filter_map(|it| Some(*it.written_at.first()? - it.arrived_at));
    let gaps = counted.iter().flat_map(|it| it.written_at.windows(2));
    let cpu_ms: f64 = measured.costs.iter().map(|cost| cost.cpu_ms).sum();
    let tokens = measured.started_requests * TOKENS;
    Ok(Level {
        streams,
        answers: cell.answered,
        ttft: Twice {
            server_ms: quantiles(first)?,
            client_ms: of_client(Series::TtftFromSend)?,
        },
        itl: Twice {
            server_ms: quantiles(gaps.map(|pair| pair[1] - pair[0]))?,
            client_ms: of_client(Series::ItlChunk)?,
        },
        lag_p99_ms: measured.recorder.lag.0.value_at_quantile(0.99) as f64 / 1000.0,
        cpu_us_per_token: cpu_ms * 1000.0 / tokens.max(1) as f64,
    })
}

/// p50 and p99, in milliseconds.
fn quantiles(times: impl Iterator<Item = Duration>) -> Result<(f64, f64)> {
    let mut histogram = Histogram::<u64>::new(3).context("a histogram of three digits")?;
    for time in times {
        let us = time.as_micros() as u64;
        histogram.record(us).context("a time")?;
    }
    let at = |q: f64| histogram.value_at_quantile(q) as f64 / 1000.0;
    Ok((at(0.5), at(0.99)))
}

impl Calibration {
    /// The last calibration of this machine, if there is one.
    pub fn last() -> Option<Self> {
        serde_json::from_slice(&std::fs::read(path().ok()?).ok()?).ok()
    }

    /// Keeps it as the last one of this machine.
    pub fn save(&self) -> Result<PathBuf> {
        let path = path()?;
        let text = serde_json::to_string_pretty(self).context("writing the calibration")?;
        std::fs::create_dir_all(path.parent().unwrap_or(&path))
            .and_then(|()| std::fs::write(&path, text + "\n"))
            .with_context(|| format!("saving {}", path.display()))?;
        Ok(path)
    }
}

fn path() -> Result<PathBuf> {
    Ok(folders::state()?.join("calibration.json"))
}
