//! Load on an endpoint picker itself, with the gateway left out: picks per second, their latency, and the picker's processor time.
//!
//! One gRPC `Process` stream per request, in the message order of a gateway with both bodies FULL_DUPLEX_STREAMED (`exchange`). The latency
//! of a pick ends with the last message about the request, when a gateway could forward it. The phases of the response follow, so that the
//! picker finishes its books; they do not count as latency, but they cost the picker time.

mod exchange;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use envoy_types::pb::envoy::service::ext_proc::v3::external_processor_client::ExternalProcessorClient;
use hdrhistogram::Histogram;
use nix::time::{ClockId, clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;
use serde::Serialize;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};

use poolproof_records::load::percentile::{Percentile, percentile};

pub use exchange::Prompt;

/// How picks are asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Load {
    /// This many streams, each with one pick at a time.
    Streams(usize),
    /// Picks per second, at even intervals, whether or not earlier ones have ended.
    Rate(f64),
}

/// What is measured.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The picker's address, `HOST:PORT`. Its ext_proc port must not use TLS.
    pub authority: String,
    /// The process of the picker, if it runs on this machine.
    pub process: Option<u32>,
    /// The requests.
    pub prompt: Prompt,
    /// How picks are asked for.
    pub load: Load,
    /// How long picks are asked for before they count.
    pub warm_up: Duration,
    /// How long picks count.
    pub counted: Duration,
    /// The longest wait for a pick.
    pub timeout: Duration,
}

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Picks {
    /// The picks, without those of the warm-up.
    pub picks: u64,
    /// Picks per second.
    pub picks_per_s: f64,
    /// Requests without a pick, by reason.
    pub failed: BTreeMap<String, u64>,
    /// The latency of picks; failures count as infinitely late. Only percentiles that the sample supports.
    pub latency: Vec<Percentile>,
    /// The different endpoints that were named.
    pub endpoints_named: usize,
    /// Processor time of the picker per pick, in microseconds, with all that it does beside; `None` if it does not run here.
    pub picker_cpu_us_per_pick: Option<f64>,
    /// Processors that the picker used, on average.
    pub picker_cores: Option<f64>,
    /// Processor time of poolproof per pick, in microseconds.
    pub own_cpu_us_per_pick: f64,
    /// Processors that poolproof used, on average.
    pub own_cores: f64,
}

/// Connections to the picker; a gateway has one per worker thread.
const CONNECTIONS: usize = 4;
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The percentiles of the latency.
pub const PERCENTILES: [f64; 3] = [50.0, 95.0, 99.0];
/// Digits of a recorded latency.
const DIGITS: u8 = 3;
/// The most picks in flight at a rate: more are refused here, since the picker is far behind.
const IN_FLIGHT_MAX: usize = 10_000;

/// The picks of one task, or of all.
struct Seen {
    latency_us: Histogram<u64>,
    failed: BTreeMap<String, u64>,
    endpoints: BTreeSet<String>,
}

impl Seen {
    fn new() -> Result<Self> {
        let mut latency_us = Histogram::new(DIGITS).context("a histogram")?;
        latency_us.auto(true);
        Ok(Self {
            latency_us,
            failed: BTreeMap::new(),
            endpoints: BTreeSet::new(),
        })
    }

    fn take(&mut self, since: Instant, picked: Result<String, String>) {
        match picked {
            Ok(endpoint) => {
                // It grows to any value.
                let _ = self.latency_us.record(since.elapsed().as_micros() as u64);
                self.endpoints.insert(endpoint);
            }
            Err(reason) => *self.failed.entry(reason).or_default() += 1,
        }
    }

    fn merge(&mut self, other: Self) {
        // Both have the same digits, and one grows to the size of the other.
        let _ = self.latency_us.add(other.latency_us);
        for (reason, count) in other.failed {
            *self.failed.entry(reason).or_default() += count;
        }
        self.endpoints.extend(other.endpoints);
    }
}

/// Asks for picks until the time is over or `stop` is cancelled. Fails if the picker cannot be reached.
pub async fn ask(asked: &Asked, stop: &CancellationToken) -> Result<Picks> {
    let endpoint = Endpoint::from_shared(format!("http://{}", asked.authority))
        .with_context(|| format!("picker {}", asked.authority))?
        .tcp_nodelay(true)
        .connect_timeout(CONNECT_TIMEOUT)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        let channel = endpoint.connect().await.with_context(|| {
            format!(
                "connecting to the picker at {}: it must listen there for ext_proc without TLS (GIE: --secure-serving=false)",
                asked.authority
            )
        })?;
        clients.push(ExternalProcessorClient::new(channel));
    }
    let asking = Arc::new(Asking {
        clients,
        prompt: asked.prompt.clone(),
        timeout: asked.timeout,
        number: AtomicU64::new(0),
    });
    // One request before the clock runs shows a picker that does not understand it.
    let first = asking.one().await;
    ensure!(
        first.is_ok() || asked.warm_up.is_zero(),
        "the picker at {} did not pick for the first request: {}",
        asked.authority,
        first.err().unwrap_or_default()
    );
    let begun = Instant::now();
    let from = begun + asked.warm_up;
    let until = from + asked.counted;
    let meters = tokio::spawn({
        let process = asked.process;
        async move {
            tokio::time::sleep_until(from.into()).await;
            (cpu_of(process), own_cpu())
        }
    });
    let stop = stop.clone();
    let mut seen = match asked.load {
        Load::Streams(streams) => closed(&asking, streams, (from, until), &stop).await?,
        Load::Rate(rate) => open(&asking, rate, (begun, from, until), &stop).await?,
    };
    let span_s = Instant::now()
        .saturating_duration_since(from)
        .as_secs_f64()
        .max(1e-3);
    // At a rate, waiting for the last picks is no time in which more were due.
    let counted_s = match asked.load {
        Load::Streams(_) => span_s,
        Load::Rate(_) => span_s.min(asked.counted.as_secs_f64()),
    };
    let (picker_before, own_before) = if stop.is_cancelled() {
        meters.abort();
        (None, Duration::ZERO)
    } else {
        meters.await.context("reading the processor time")?
    };
    let picks = seen.latency_us.len();
    let failures = seen.failed.values().sum();
    let latency = PERCENTILES
        .iter()
        .filter_map(|p| percentile(&seen.latency_us, failures, *p));
    let picker = cpu_of(asked.process)
        .zip(picker_before)
        .map(|(after, before)| after.saturating_sub(before).as_secs_f64());
    let own_s = own_cpu().saturating_sub(own_before).as_secs_f64();
    let per_pick_us = |seconds: f64| seconds * 1e6 / picks.max(1) as f64;
    Ok(Picks {
        picks,
        picks_per_s: picks as f64 / counted_s,
        latency: latency.collect(),
        failed: std::mem::take(&mut seen.failed),
        endpoints_named: seen.endpoints.len(),
        picker_cpu_us_per_pick: picker.map(per_pick_us),
        picker_cores: picker.map(|seconds| seconds / span_s),
        own_cpu_us_per_pick: per_pick_us(own_s),
        own_cores: own_s / span_s,
    })
}

/// What all requests share.
struct Asking {
    clients: Vec<ExternalProcessorClient<Channel>>,
    prompt: Prompt,
    timeout: Duration,
    number: AtomicU64,
}

impl Asking {
    /// Asks for a pick. Returns the endpoint, or the reason why there is none.
    async fn one(&self) -> Result<String, String> {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let client = self.clients[number as usize % self.clients.len()].clone();
        let picked = exchange::pick(client, &self.prompt, number);
        match tokio::time::timeout(self.timeout, picked).await {
            Ok(picked) => picked,
            Err(_) => Err("timeout".to_owned()),
        }
    }
}

async fn closed(
    asking: &Arc<Asking>,
    streams: usize,
    (from, until): (Instant, Instant),
    stop: &CancellationToken,
) -> Result<Seen> {
    let mut tasks = JoinSet::new();
    for _ in 0..streams {
        let (asking, stop) = (asking.clone(), stop.clone());
        tasks.spawn(async move {
            let mut seen = Seen::new()?;
            while Instant::now() < until && !stop.is_cancelled() {
                let since = Instant::now();
                let picked = asking.one().await;
                let has_failed = picked.is_err();
                if since >= from {
                    seen.take(since, picked);
                }
                if has_failed {
                    // A picker that refuses at once must not be flooded.
                    tokio::task::yield_now().await;
                }
            }
            anyhow::Ok(seen)
        });
    }
    let mut all = Seen::new()?;
    while let Some(seen) = tasks.join_next().await {
        all.merge(seen.context("a stream")??);
    }
    Ok(all)
}

async fn open(
    asking: &Arc<Asking>,
    rate_per_s: f64,
    (begun, from, until): (Instant, Instant, Instant),
    stop: &CancellationToken,
) -> Result<Seen> {
    let mut tasks = JoinSet::new();
    let mut all = Seen::new()?;
    for number in 0_u64.. {
        let due = begun + Duration::from_secs_f64(number as f64 / rate_per_s);
        if due >= until || stop.is_cancelled() {
            break;
        }
        tokio::time::sleep_until(due.into()).await;
        while let Some(ended) = tasks.try_join_next() {
            let (since, picked) = ended.context("a pick")?;
            if since >= from {
                all.take_at(since, picked);
            }
        }
        if tasks.len() >= IN_FLIGHT_MAX {
            *all.failed
                .entry(format!("{IN_FLIGHT_MAX} picks in flight"))
                .or_default() += u64::from(due >= from);
            continue;
        }
        let asking = asking.clone();
        tasks.spawn(async move {
            let picked = asking.one().await;
            // From when it was due: a late start of the task is part of the wait.
            (due, picked.map(|endpoint| (endpoint, Instant::now())))
        });
    }
    while let Some(ended) = tasks.join_next().await {
        let (since, picked) = ended.context("a pick")?;
        if since >= from {
            all.take_at(since, picked);
        }
    }
    Ok(all)
}

impl Seen {
    /// Takes a pick that ended at a time of its own.
    fn take_at(&mut self, since: Instant, picked: Result<(String, Instant), String>) {
        match picked {
            Ok((endpoint, at)) => {
                let latency = at.saturating_duration_since(since);
                let _ = self.latency_us.record(latency.as_micros() as u64);
                self.endpoints.insert(endpoint);
            }
            Err(reason) => self.take(since, Err(reason)),
        }
    }
}

/// The processor time of a process on this machine (POSIX, clock_getcpuclockid(3)).
fn cpu_of(process: Option<u32>) -> Option<Duration> {
    let pid = Pid::from_raw(i32::try_from(process?).ok()?);
    let clock = clock_getcpuclockid(pid).ok()?;
    clock_gettime(clock).ok().map(Duration::from)
}

fn own_cpu() -> Duration {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}
