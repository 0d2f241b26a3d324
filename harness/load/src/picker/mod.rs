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
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};

use super::make::{times_of, values_of};
use poolproof_records::load::Times;
use poolproof_stats::interval;

pub use exchange::Prompt;
pub use poolproof_records::load::picker::{Load, Picks};

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

/// Connections to the picker; a gateway has one per worker thread.
const CONNECTIONS: usize = 4;
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Equal parts of the counted time, whose means show the spread within a measurement: between 10 and 30 (Schmeiser, "Batch Size Effects in
/// the Analysis of Simulation Output", 1982).
const PARTS: usize = 20;
/// Digits of a recorded latency.
const DIGITS: u8 = 3;
/// The most picks in flight at a rate: more are refused here, since the picker is far behind.
const IN_FLIGHT_MAX: usize = 10_000;

/// The counted time: requests that begin within it count.
#[derive(Clone, Copy)]
struct Window {
    from: Instant,
    counted: Duration,
}

impl Window {
    fn until(self) -> Instant {
        self.from + self.counted
    }

    /// The border in front of a part, or behind the last one.
    fn border(self, part: usize) -> Instant {
        self.from + self.counted.mul_f64(part as f64 / PARTS as f64)
    }

    /// The part that a time is in.
    fn part(self, at: Instant) -> Option<usize> {
        let since = at.checked_duration_since(self.from)?;
        let part = (since.as_secs_f64() / self.counted.as_secs_f64() * PARTS as f64) as usize;
        (part < PARTS).then_some(part)
    }
}

/// The picks of one task, or of all.
struct Seen {
    window: Window,
    latency_us: Histogram<u64>,
    failed: BTreeMap<String, u64>,
    endpoints: BTreeSet<String>,
    /// Picks by the part of the counted time in which they ended.
    ended: [u64; PARTS],
}

impl Seen {
    fn new(window: Window) -> Result<Self> {
        let mut latency_us = Histogram::new(DIGITS).context("a histogram")?;
        latency_us.auto(true);
        Ok(Self {
            window,
            latency_us,
            failed: BTreeMap::new(),
            endpoints: BTreeSet::new(),
            ended: [0; PARTS],
        })
    }

    /// Takes a request that began and ended at these times. One that began before the counted time adds only to the pace.
    fn take(&mut self, since: Instant, at: Instant, picked: Result<String, String>) {
        let counts = since >= self.window.from;
        match picked {
            Ok(endpoint) => {
                if let Some(part) = self.window.part(at) {
                    self.ended[part] += 1;
                }
                if counts {
                    let latency = at.saturating_duration_since(since);
                    // It grows to any value.
                    let _ = self.latency_us.record(latency.as_micros() as u64);
                    self.endpoints.insert(endpoint);
                }
            }
            Err(reason) if counts => *self.failed.entry(reason).or_default() += 1,
            Err(_) => {}
        }
    }

    fn merge(&mut self, other: Self) {
        for (own, more) in self.ended.iter_mut().zip(other.ended) {
            *own += more;
        }
        // Both have the same digits, and one grows to the size of the other.
        let _ = self.latency_us.add(other.latency_us);
        for (reason, count) in other.failed {
            *self.failed.entry(reason).or_default() += count;
        }
        self.endpoints.extend(other.endpoints);
    }
}

/// Asks for picks until the time is over. `None` once `stop` is cancelled. Fails if the picker cannot be reached.
pub async fn ask(asked: &Asked, stop: &CancellationToken) -> Result<Option<Picks>> {
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
    let window = Window {
        from: begun + asked.warm_up,
        counted: asked.counted,
    };
    let meters = tokio::spawn(meters(window, asked.process));
    let seen = match asked.load {
        Load::Streams(streams) => closed(&asking, streams, window, stop).await?,
        Load::Rate(rate) => open(&asking, rate, (begun, window), stop).await?,
    };
    if stop.is_cancelled() {
        meters.abort();
        return Ok(None);
    }
    let meters = meters.await.context("reading the processor time")?;
    Ok(Some(picks_of(seen, &meters)))
}

/// The processor time of the picker and of this process at each border of the counted time.
async fn meters(window: Window, process: Option<u32>) -> Vec<(Option<Duration>, Duration)> {
    let mut read = Vec::new();
    for part in 0..=PARTS {
        tokio::time::sleep_until(window.border(part).into()).await;
        read.push((cpu_of(process), own_cpu()));
    }
    read
}

fn picks_of(mut seen: Seen, meters: &[(Option<Duration>, Duration)]) -> Picks {
    let window_s = seen.window.counted.as_secs_f64();
    let ended: u64 = seen.ended.iter().sum();
    let picks_per_s = ended as f64 / window_s;
    let parts: Vec<f64> = seen.ended.iter().map(|count| *count as f64).collect();
    let (first, last) = (meters.first(), meters.last());
    let used_s = |of: fn(&(Option<Duration>, Duration)) -> Option<Duration>| {
        let used = of(last?)?.saturating_sub(of(first?)?);
        Some(used.as_secs_f64())
    };
    let picker_s = used_s(|read| read.0);
    let own_s = used_s(|read| Some(read.1)).unwrap_or(0.0);
    let per_pick_us = |seconds: f64| seconds * 1e6 / ended.max(1) as f64;
    let picker_us = picker_s.map(per_pick_us);
    let of_parts = meters.windows(2).zip(&parts).map(|(pair, count)| {
        let used = pair[1].0?.saturating_sub(pair[0].0?);
        (*count > 0.0).then(|| used.as_secs_f64() / count)
    });
    let of_parts: Option<Vec<f64>> = of_parts.collect();
    let failures = seen.failed.values().sum();
    let latency = times_of(&seen.latency_us, failures).map(|times| Times {
        histogram_us: values_of(&seen.latency_us),
        ..times
    });
    Picks {
        picks: seen.latency_us.len(),
        picks_per_s,
        picks_per_s_interval: around(picks_per_s, &parts),
        failed: std::mem::take(&mut seen.failed),
        latency,
        endpoints_named: seen.endpoints.len(),
        picker_cpu_us_per_pick: picker_us,
        picker_cpu_us_interval: picker_us
            .zip(of_parts)
            .and_then(|(us, parts)| around(us, &parts)),
        picker_cores: picker_s.map(|seconds| seconds / window_s),
        own_cpu_us_per_pick: per_pick_us(own_s),
        own_cores: own_s / window_s,
    }
}

/// The interval of a figure, as wide as that of the mean of its parts.
fn around(figure: f64, parts: &[f64]) -> Option<(f64, f64)> {
    let mean = interval::mean(parts).filter(|mean| mean.value > 0.0)?;
    let (low, high) = mean.interval;
    let scaled = |end: f64| (figure * end / mean.value).max(0.0);
    Some((scaled(low), scaled(high)))
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
    window: Window,
    stop: &CancellationToken,
) -> Result<Seen> {
    let mut tasks = JoinSet::new();
    for _ in 0..streams {
        let (asking, stop) = (asking.clone(), stop.clone());
        tasks.spawn(async move {
            let mut seen = Seen::new(window)?;
            while Instant::now() < window.until() && !stop.is_cancelled() {
                let since = Instant::now();
                let picked = asking.one().await;
                let has_failed = picked.is_err();
                seen.take(since, Instant::now(), picked);
                if has_failed {
                    // A picker that refuses at once must not be flooded.
                    tokio::task::yield_now().await;
                }
            }
            anyhow::Ok(seen)
        });
    }
    let mut all = Seen::new(window)?;
    while let Some(seen) = tasks.join_next().await {
        all.merge(seen.context("a stream")??);
    }
    Ok(all)
}

async fn open(
    asking: &Arc<Asking>,
    rate_per_s: f64,
    (begun, window): (Instant, Window),
    stop: &CancellationToken,
) -> Result<Seen> {
    let mut tasks = JoinSet::new();
    let mut all = Seen::new(window)?;
    for number in 0_u64.. {
        let due = begun + Duration::from_secs_f64(number as f64 / rate_per_s);
        if due >= window.until() || stop.is_cancelled() {
            break;
        }
        tokio::time::sleep_until(due.into()).await;
        while let Some(ended) = tasks.try_join_next() {
            let (since, at, picked) = ended.context("a pick")?;
            all.take(since, at, picked);
        }
        if tasks.len() >= IN_FLIGHT_MAX {
            let refused = Err(format!("{IN_FLIGHT_MAX} picks in flight"));
            all.take(due, due, refused);
            continue;
        }
        let asking = asking.clone();
        tasks.spawn(async move {
            let picked = asking.one().await;
            // From when it was due: a late start of the task is part of the wait.
            (due, Instant::now(), picked)
        });
    }
    while let Some(ended) = tasks.join_next().await {
        let (since, at, picked) = ended.context("a pick")?;
        all.take(since, at, picked);
    }
    Ok(all)
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
