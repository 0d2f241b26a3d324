//! The client's own resource use, which shows when the client was the bottleneck.

use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

use poolproof_records::load::Cost;

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
    // POSIX, clock_getres(3p): Linux and macOS have this clock, while RUSAGE_THREAD is Linux's alone.
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

/// Linux, Documentation/scheduler/sched-stats: the second number of schedstat, in nanoseconds. Zero on other
/// systems, and where the kernel does not count it.
fn run_queue_of_thread() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let ns = text
        .split_whitespace()
        .nth(1)
        .and_then(|it| it.parse().ok());
    Duration::from_nanos(ns.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_computes_costs_processor_time_and_one_that_sleeps_does_not() {
        let meter = Meter::start();
        std::thread::sleep(Duration::from_millis(50));
        let asleep = meter.read().cpu_ms;
        assert!(asleep < 25.0, "{asleep} ms");
        let mut number = 1u64;
        while meter.read().cpu_ms < asleep + 5.0 {
            assert!(
                meter.read().wall_ms < 10_000.0,
                "no processor time was counted"
            );
            number = std::hint::black_box(number.wrapping_mul(3));
        }
    }
}
