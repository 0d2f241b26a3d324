//! What the client itself took, to tell when it was the bottleneck.

use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};

use crate::records::load::Cost;

/// The begin of a measurement, on the thread that is measured.
#[derive(Debug)]
pub(super) struct Meter {
    began: Instant,
    cpu: Duration,
    run_queue: Duration,
}

impl Meter {
    pub(super) fn start() -> Self {
        Self {
            began: Instant::now(),
            cpu: cpu_of_thread(),
            run_queue: run_queue_of_thread(),
        }
    }

    pub(super) fn read(&self) -> Cost {
        let ms = |time: Duration| time.as_secs_f64() * 1000.0;
        Cost {
            wall_ms: ms(self.began.elapsed()),
            cpu_ms: ms(cpu_of_thread().saturating_sub(self.cpu)),
            run_queue_ms: ms(run_queue_of_thread().saturating_sub(self.run_queue)),
        }
    }
}

fn cpu_of_thread() -> Duration {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_THREAD) else {
        return Duration::ZERO;
    };
    let microseconds =
        |time: nix::sys::time::TimeVal| time.tv_sec() as u64 * 1_000_000 + time.tv_usec() as u64;
    Duration::from_micros(microseconds(usage.user_time()) + microseconds(usage.system_time()))
}

/// Linux, Documentation/scheduler/sched-stats: the second number of schedstat, in nanoseconds. Zero where the kernel does not say.
fn run_queue_of_thread() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let ns = text
        .split_whitespace()
        .nth(1)
        .and_then(|it| it.parse().ok());
    Duration::from_nanos(ns.unwrap_or(0))
}
