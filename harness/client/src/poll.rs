//! Polling: waits for a condition under a timeout. On a timeout, the error names the condition.

use std::future::Future;
use std::time::Duration;

/// The default interval between two checks of a condition.
pub const INTERVAL: Duration = Duration::from_millis(5);

/// A condition that did not hold in time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimedOut {
    /// The condition, as a noun phrase or a sentence without a full stop.
    pub what: String,
    /// How long it was polled.
    pub timeout: Duration,
}

impl std::fmt::Display for TimedOut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "not met within {:?}: {}", self.timeout, self.what)
    }
}

impl std::error::Error for TimedOut {}

/// Calls `check` until it returns a value, and pauses for `interval` between two calls. A check that is still running when the
/// timeout ends is abandoned.
pub async fn until<T, F>(
    what: impl Into<String>,
    timeout: Duration,
    interval: Duration,
    mut check: impl FnMut() -> F,
) -> Result<T, TimedOut>
where
    F: Future<Output = Option<T>>,
{
    let poll = async {
        loop {
            if let Some(value) = check().await {
                return value;
            }
            tokio::time::sleep(interval).await;
        }
    };
    tokio::time::timeout(timeout, poll)
        .await
        .map_err(|_| TimedOut {
            what: what.into(),
            timeout,
        })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn a_condition_that_becomes_true_ends_the_wait_with_its_value() {
        let checks = AtomicU32::new(0);
        let value = until(
            "a third check",
            Duration::from_secs(10),
            INTERVAL,
            || async {
                let number = checks.fetch_add(1, Ordering::Relaxed) + 1;
                (number == 3).then_some(number)
            },
        );
        assert_eq!(value.await, Ok(3));
    }

    #[tokio::test]
    async fn a_condition_that_never_holds_is_named_by_the_error() {
        let timeout = Duration::from_millis(12);
        let never = until::<(), _>("model m is served", timeout, INTERVAL, || async { None });
        let error = never.await.map_err(|error| error.to_string());
        assert_eq!(
            error,
            Err("not met within 12ms: model m is served".to_owned())
        );
    }

    #[tokio::test]
    async fn a_check_that_hangs_is_abandoned_at_the_timeout() {
        let timeout = Duration::from_millis(5);
        let hangs = until::<(), _>("an answer", timeout, INTERVAL, std::future::pending);
        assert!(hangs.await.is_err());
    }
}
