//! Waits for a moment to a few microseconds, where the runtime's own timer counts in milliseconds.
//!
//! Linux has timers with a descriptor (`timer`). Elsewhere a thread sleeps and wakes the task (`thread`).

#[cfg(any(not(target_os = "linux"), test))]
mod thread;
#[cfg(target_os = "linux")]
mod timer;

#[cfg(not(target_os = "linux"))]
pub(super) use thread::Pacer;
#[cfg(target_os = "linux")]
pub(super) use timer::Pacer;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::{Duration, Instant};

    use anyhow::Result;

    const PAUSE: Duration = Duration::from_millis(3);

    /// Waits several times, with a wait that is given up and a moment that has passed in between.
    async fn check(until: impl AsyncFn(Instant) -> Result<()>) {
        for _ in 0..20 {
            let moment = Instant::now() + PAUSE;
            until(moment).await.unwrap();
            assert!(Instant::now() >= moment);

            let far = Instant::now() + Duration::from_secs(3600);
            let given_up = tokio::time::timeout(Duration::from_millis(1), until(far)).await;
            assert!(given_up.is_err(), "the wait for a later moment ended early");

            until(Instant::now() - PAUSE).await.unwrap();
        }
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_timer_never_ends_early_and_can_be_set_again() {
        let pacer = super::timer::Pacer::new().unwrap();
        check(async |moment| pacer.until(moment).await).await;
    }

    #[tokio::test]
    async fn a_thread_never_ends_early_and_can_be_set_again() {
        let pacer = super::thread::Pacer::new().unwrap();
        check(async |moment| pacer.until(moment).await).await;
    }
}
