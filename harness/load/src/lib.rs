//! The load engine: sends a workload to a target and measures the answers. Usable as a library on its own.
//!
//! A schedule is computed from the workload and a seed before the run. One thread per processor sends its share of it, and no thread ever
//! waits for a slow answer before the next request. Latency counts from the time a request was due, so a stalled server cannot hide
//! behind requests that were never sent. Each thread has its own recorder; they are merged at the end.
//!
//! This crate must not know clap, Kubernetes, Docker or the stand-ins. Answers are untrusted input, read by its own HTTP and JSON code.
//!
//! Start with [`schedule`] (when requests leave) and [`engine`] (how they are sent). [`requests`] makes the bytes, `http1`, `http2` and
//! `answer` read what comes back, [`judge`] compares it with the objectives, and [`make`] builds the record. [`workers`] spreads one run over
//! several processes.
//!
//! On top of these, [`run`] sends one workload and returns its record, [`search`] finds the highest rate that meets every objective,
//! [`mod@sweep`] measures throughput against latency from idle to beyond saturation,
//! [`overhead`] compares a gateway with round robin, and [`mod@plan`] counts what a run would send.
//!
//! ```
//! use poolproof_load::schedule::Schedule;
//! use poolproof_model::workload::Arrival;
//!
//! // The same seed gives the same schedule, so several processes can divide it without talking to each other.
//! let arrival = Arrival::Poisson { rate_per_s: 100.0 };
//! let schedule = || Schedule::new(&arrival, None, 7, 10.0);
//! assert!(schedule().eq(schedule()));
//! assert!((900..1100).contains(&schedule().count()));
//! ```
//!
//! A whole run:
//!
//! ```no_run
//! use poolproof_load::engine::{Job, Part, Sender, run};
//! use poolproof_model::target::Target;
//! use poolproof_model::workload::Workload;
//! use tokio_util::sync::CancellationToken;
//!
//! # async fn example() -> anyhow::Result<()> {
//! let target = Target::load("target.toml".as_ref())?;
//! let (workload, trace) = Workload::load("steady-chat")?;
//! let sender = Sender {
//!     urls: std::slice::from_ref(&target.url),
//!     sources: &[],
//!     vocabulary: None,
//!     threads: 2,
//!     seed: 7,
//!     part: Part::whole(),
//! };
//! let job = Job::new(workload, trace, &target, sender).await?;
//! let measured = run(job, &CancellationToken::new(), &mut |_| {}).await?;
//! println!("{} requests", measured.started_requests);
//! # Ok(())
//! # }
//! ```

pub mod adjust;
mod answer;
mod arrived;
pub mod calibration;
mod distribute;
pub mod engine;
mod error;
pub mod failure;
pub mod follow;
#[cfg(feature = "fuzz")]
pub mod fuzz;
mod http1;
mod http2;
pub mod judge;
#[cfg(test)]
mod made;
pub mod make;
pub mod overhead;
pub mod paired;
pub mod picker;
pub mod plan;
pub mod recorder;
pub mod requests;
pub mod run;
pub mod saturation;
pub mod schedule;
pub mod search;
pub mod sweep;
pub mod tokenizer;
mod transport;
pub mod workers;

pub use error::Error;
