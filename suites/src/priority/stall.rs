//! The wait for held requests: as long as they end one after the other, it goes on.

use std::time::Duration;

use poolproof_client::poll;

/// Waits until `left` is 0, or has not become smaller for `stall`.
pub(super) async fn wait_while_fewer(left: impl Fn() -> usize, stall: Duration) {
    let mut last = left();
    while last > 0 {
        let fewer = poll::until("a held request ends", stall, poll::INTERVAL, || async {
            let now = left();
            (now < last).then_some(now)
        });
        match fewer.await {
            Ok(now) => last = now,
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Instant;

    use super::*;

    const STALL: Duration = Duration::from_millis(300);

    #[tokio::test]
    async fn the_wait_goes_on_as_long_as_requests_end() {
        let left = AtomicUsize::new(3);
        let serve = async {
            for _ in 0..3 {
                tokio::time::sleep(STALL / 2).await;
                left.fetch_sub(1, Ordering::Relaxed);
            }
        };
        let started = Instant::now();
        tokio::join!(
            wait_while_fewer(|| left.load(Ordering::Relaxed), STALL),
            serve
        );
        assert!(started.elapsed() > STALL);
        assert_eq!(left.into_inner(), 0);
    }

    #[tokio::test]
    async fn the_wait_ends_when_no_request_ends_for_the_time_of_a_stall() {
        let started = Instant::now();
        wait_while_fewer(|| 1, STALL).await;
        assert!(started.elapsed() >= STALL);
    }
}
