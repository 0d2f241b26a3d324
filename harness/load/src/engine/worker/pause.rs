//! Pauses of the users of a closed loop after failures. Without them, a server that refuses at once gets thousands of requests a second
//! from each user. An open loop has no users: its requests leave when they are due.

use std::time::{Duration, Instant, SystemTime};

use super::Worker;
use super::exchange::Performed;
use crate::schedule::Due;

/// The longest pause that a server can ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);
/// The pause after the first of several failures in a row; each further one doubles it.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// The longest pause that no server asked for.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// The failures in a row of one user.
#[derive(Debug, Default)]
pub(super) struct Patience {
    failures: u32,
}

impl Patience {
    /// The pause after a request.
    pub(super) fn after(&mut self, performed: &Performed) -> Duration {
        if !performed.failed {
            self.failures = 0;
            return Duration::ZERO;
        }
        let doubled = FIRST_PAUSE.saturating_mul(1 << self.failures.min(20));
        self.failures += 1;
        let asked_for = performed.retry_after.unwrap_or_default();
        asked_for.min(RETRY_AFTER_MAX).max(doubled.min(PAUSE_MAX))
    }
}

/// The time to wait by a `retry-after`: seconds, or a date by this machine's clock (RFC 9110, section 10.2.3).
pub(super) fn retry_after(value: &[u8]) -> Option<Duration> {
    let text = std::str::from_utf8(value).ok()?.trim();
    if let Ok(seconds) = text.parse::<u32>() {
        return Some(Duration::from_secs(seconds.into()));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(SystemTime::now()).unwrap_or_default())
}

impl Worker {
    /// Pauses, at most until the run ends.
    pub(super) async fn pause(&self, due: Due, pause: Duration, ends_at: Instant) {
        let pause = pause.min(ends_at.saturating_duration_since(Instant::now()));
        if pause.is_zero() {
            return;
        }
        if self.counts(due) {
            let extra = &mut self.recorder.borrow_mut().extra;
            extra.pauses += 1;
            extra.paused += pause;
        }
        tokio::time::sleep(pause).await;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_grows_to_a_limit_and_a_server_may_ask_for_another() {
        let mut patience = Patience::default();
        let failed = |retry_after| Performed {
            failed: true,
            retry_after,
            text: None,
        };
        let pauses: Vec<u128> = (0..9)
            .map(|_| patience.after(&failed(None)).as_millis())
            .collect();
        assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 640, 1000, 1000]);
        assert_eq!(
            patience.after(&failed(retry_after(b"2"))),
            Duration::from_secs(2)
        );
        assert_eq!(
            patience.after(&failed(retry_after(b"9999"))),
            RETRY_AFTER_MAX
        );
        assert_eq!(patience.after(&failed(retry_after(b"0"))), PAUSE_MAX);
        assert_eq!(patience.after(&Performed::default()), Duration::ZERO);
        assert_eq!(patience.after(&failed(None)), FIRST_PAUSE);
        let past = retry_after(b"Fri, 31 Dec 1999 23:59:59 GMT");
        assert_eq!(past, Some(Duration::ZERO));
        let soon = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(20));
        let soon = retry_after(soon.as_bytes()).unwrap().as_secs_f64();
        assert!((18.0..=20.0).contains(&soon), "{soon}");
        assert_eq!(retry_after(b"Fri, 31 Foo 1999 23:59:59 GMT"), None);
        assert_eq!(retry_after(b"-1"), None);
    }
}
