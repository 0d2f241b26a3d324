//! A pacer on a thread that sleeps until the moment and then wakes the task.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context, Result};
use tokio::sync::Notify;

use poolproof_client::lock::lock;

/// A thread with one alarm. Dropping it ends the thread.
#[derive(Debug)]
pub(in crate::engine) struct Pacer(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    alarm: Mutex<Alarm>,
    /// Signalled when `alarm` has changed.
    changed: Condvar,
    /// Notified when the moment of the alarm has passed.
    due: Notify,
}

#[derive(Debug, Default)]
struct Alarm {
    moment: Option<Instant>,
    ended: bool,
}

impl Pacer {
    pub(in crate::engine) fn new() -> Result<Self> {
        let shared = Arc::<Shared>::default();
        let pacer = Self(shared.clone());
        let thread = std::thread::Builder::new().name("pacer".to_owned());
        thread
            .spawn(move || shared.run())
            .context("starting the thread of a timer")?;
        Ok(pacer)
    }

    /// Waits until `moment`; returns at once if it has passed.
    pub(in crate::engine) async fn until(&self, moment: Instant) -> Result<()> {
        // A notification may be left from a wait that was given up, so the clock decides.
        while Instant::now() < moment {
            lock(&self.0.alarm).moment = Some(moment);
            self.0.changed.notify_one();
            self.0.due.notified().await;
        }
        Ok(())
    }
}

impl Drop for Pacer {
    fn drop(&mut self) {
        lock(&self.0.alarm).ended = true;
        self.0.changed.notify_one();
    }
}

impl Shared {
    fn run(&self) {
        let mut alarm = lock(&self.alarm);
        while !alarm.ended {
            let Some(moment) = alarm.moment else {
                let changed = self.changed.wait(alarm);
                alarm = changed.unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let left = moment.saturating_duration_since(Instant::now());
            if left.is_zero() {
                alarm.moment = None;
                self.due.notify_one();
            } else {
                let changed = self.changed.wait_timeout(alarm, left);
                alarm = changed.unwrap_or_else(PoisonError::into_inner).0;
            }
        }
    }
}
