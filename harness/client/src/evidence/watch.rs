//! A watch over endpoints. It records their load over time, to show that the load was present at every probe.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use super::endpoint::{self, Reading};
use crate::lock::lock;
use crate::poll;
use poolproof_model::target::Endpoint;

/// The interval between two readings of an endpoint.
const INTERVAL: Duration = Duration::from_millis(20);

/// A reading, and the time at which it was complete.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    /// The time.
    pub at: Instant,
    /// The reading.
    pub reading: Reading,
}

/// Polls the metrics of endpoints until it is dropped.
#[derive(Debug)]
pub struct Watch {
    lines: Vec<Arc<Mutex<Vec<Point>>>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Watch {
    /// Starts the watch.
    pub fn start(http: &reqwest::Client, endpoints: &[Endpoint]) -> Self {
        let mut watch = Self {
            lines: Vec::new(),
            tasks: Vec::new(),
        };
        for endpoint in endpoints {
            let line = Arc::new(Mutex::new(Vec::new()));
            watch.lines.push(line.clone());
            let (http, endpoint) = (http.clone(), endpoint.clone());
            watch.tasks.push(tokio::spawn(async move {
                let mut ticks = tokio::time::interval(INTERVAL);
                ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
                loop {
                    ticks.tick().await;
                    if let Ok(reading) = endpoint::read(&http, &endpoint).await {
                        let point = Point {
                            at: Instant::now(),
                            reading,
                        };
                        lock(&line).push(point);
                    }
                }
            }));
        }
        watch
    }

    /// Whether `holds` was true for all endpoints, at every reading from the last one before `from` to the first one
    /// after `to`. Returns `false` without a reading on either side.
    pub fn held(&self, from: Instant, to: Instant, holds: impl Fn(&Reading) -> bool) -> bool {
        (0..self.lines.len()).all(|number| {
            let readings = self.readings(number, from, to);
            readings.is_some_and(|readings| readings.iter().all(&holds))
        })
    }

    /// The readings of one endpoint, from the last one before `from` to the first one after `to`. Returns `None`
    /// without a reading on either side.
    pub fn readings(&self, number: usize, from: Instant, to: Instant) -> Option<Vec<Reading>> {
        let line = lock(&self.lines[number]);
        let first = line.partition_point(|point| point.at <= from);
        let end = line.partition_point(|point| point.at < to);
        let around = line.get(first.checked_sub(1)?..=end)?;
        Some(around.iter().map(|point| point.reading).collect())
    }

    /// Waits until every endpoint has been read after `after`. The timeout of a reading bounds the wait.
    pub async fn read_after(&self, after: Instant) {
        let read = |line: &Mutex<Vec<Point>>| lock(line).last().is_some_and(|p| p.at > after);
        let left = (after + super::READING_TIMEOUT).saturating_duration_since(Instant::now());
        let all_read = poll::until("every endpoint is read", left, poll::INTERVAL, || async {
            self.lines.iter().all(|line| read(line)).then_some(())
        });
        // An endpoint without a reading has a gap in its line, which [`Watch::held`] detects.
        let _ = all_read.await;
    }

    /// All readings of one endpoint.
    pub fn points(&self, number: usize) -> Vec<Point> {
        lock(&self.lines[number]).clone()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}
