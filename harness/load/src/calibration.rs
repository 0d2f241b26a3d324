//! Measures the error of this tool on this machine, against a server that logs when it sent each part.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::engine::{self, Job, Part, Sender};
use super::recorder::Cell;
use poolproof_model::target::Target;
use poolproof_model::workload::{Series, Workload};
use poolproof_records::limits;
use poolproof_records::load::calibration::{Calibration, Level, Twice};
use poolproof_records::load::percentile::of_any_sample;

/// The server streams answers of [`TOKENS`] tokens, the first one after [`TTFT_MS`] and the others [`ITL_MS`] apart.
pub const TOKENS: u64 = 100;
/// Until the first token, in milliseconds.
pub const TTFT_MS: u64 = 50;
/// Between two tokens, in milliseconds.
pub const ITL_MS: u64 = 10;
/// How long each level is held once all its streams are open, in seconds.
const HELD_S: f64 = 5.0;

/// An answer, by the clock of the server, which is also that of this process.
#[derive(Clone, Debug)]
pub struct Written {
    /// When its request arrived at the socket.
    pub arrived_at: Instant,
    /// When each of its parts was written.
    pub written_at: Vec<Instant>,
}

/// The calibration of this machine from its measurements.
pub fn record(levels: Vec<Level>) -> Calibration {
    Calibration {
        made: Timestamp::now(),
        cores: limits::cores(),
        levels,
    }
}

/// Measures one level, on one sending thread: the server has the other processor.
///
/// `url` is where the server listens. `end` ends the server and returns what it has written.
pub async fn measure(
    streams: usize,
    url: Url,
    end: impl AsyncFnOnce() -> Result<Vec<Written>>,
    stop: &CancellationToken,
) -> Result<Level> {
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
        sources: &[],
        vocabulary: None,
        threads: 1,
        seed: 1,
        part: Part::whole(),
    };
    let job = Job::new(workload, None, &target, sender).await?;
    let measured = engine::run(job, stop, &mut |_| {}).await?;
    let written = end().await.context("the server of a calibration")?;
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
        anyhow::Ok(p50_and_p99(times))
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
            server_ms: of_server(first)?,
            client_ms: of_client(Series::TtftFromSend)?,
        },
        itl: Twice {
            server_ms: of_server(gaps.map(|pair| pair[1] - pair[0]))?,
            client_ms: of_client(Series::ItlChunk)?,
        },
        lag_p99_ms: of_any_sample(&measured.recorder.lag.0, 99.0).unwrap_or(0.0),
        cpu_us_per_token: cpu_ms * 1000.0 / tokens.max(1) as f64,
    })
}

/// p50 and p99, in milliseconds; 0 if there are no times.
fn p50_and_p99(times_us: &Histogram<u64>) -> (f64, f64) {
    let at = |percentile| of_any_sample(times_us, percentile).unwrap_or(0.0);
    (at(50.0), at(99.0))
}

/// p50 and p99 of the server's own log, in milliseconds.
fn of_server(times: impl Iterator<Item = Duration>) -> Result<(f64, f64)> {
    let mut histogram = Histogram::<u64>::new(3).context("a histogram of three digits")?;
    for time in times {
        let us = time.as_micros() as u64;
        histogram.record(us).context("a time")?;
    }
    Ok(p50_and_p99(&histogram))
}
