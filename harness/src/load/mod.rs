//! Load runs: a workload is sent to a target as it says, and judged by its objectives.
//!
//! `workload` says what is sent, `arrival` when, `requests` makes the bytes; `engine` sends them over `http1` or `http2` and `answer` reads what
//! comes back into a `recorder`; `record` is what is kept of it.

mod answer;
pub mod arrival;
pub mod calibration;
pub mod engine;
pub mod failure;
mod http1;
mod http2;
pub mod limit;
pub mod paired;
pub mod percentile;
pub(crate) mod prompt;
pub mod record;
pub mod recorder;
pub mod requests;
pub mod saturation;
pub mod slo;
pub mod tokenizer;
pub mod trace;
mod transport;
pub mod workers;
pub mod workload;
