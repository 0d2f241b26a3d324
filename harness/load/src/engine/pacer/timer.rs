//! A pacer on a timer of the kernel (Linux, timerfd_create(2)).

use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::time::Instant;

use anyhow::{Context, Result};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use tokio::io::unix::AsyncFd;

/// A timer of the system's.
#[derive(Debug)]
pub(in crate::engine) struct Pacer(AsyncFd<Timer>);

#[derive(Debug)]
struct Timer(TimerFd);

impl AsRawFd for Timer {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl Pacer {
    pub(in crate::engine) fn new() -> Result<Self> {
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, flags).context("making a timer")?;
        #[expect(
            deprecated,
            reason = "its successor is unsafe; the timer owns its descriptor, and nobody replaces it"
        )]
        let timer = AsyncFd::new(Timer(timer)).context("waiting for a timer")?;
        Ok(Self(timer))
    }

    /// Waits until `moment`; returns at once if it has passed.
    pub(in crate::engine) async fn until(&self, moment: Instant) -> Result<()> {
        loop {
            let left = moment.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            let timer = &self.0.get_ref().0;
            let once = Expiration::OneShot(TimeSpec::from_duration(left));
            timer
                .set(once, TimerSetTimeFlags::empty())
                .context("setting a timer")?;
            let mut ready = self.0.readable().await.context("waiting for a timer")?;
            // Whether it has run out is asked of the clock; the next setting takes the count back.
            ready.clear_ready();
        }
    }
}
