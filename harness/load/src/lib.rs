//! Load runs: a workload is sent to a target, and the answers are judged by its objectives.
//!
//! `schedule` has when requests leave, `requests` makes the bytes; `engine` sends them over `http1` or `http2` and `answer` reads what
//! comes back into a `recorder`; `judge` holds the objectives against it, `make` builds the record.

mod answer;
pub mod calibration;
pub mod engine;
pub mod failure;
mod http1;
mod http2;
pub mod judge;
pub mod make;
pub mod paired;
pub mod recorder;
pub mod requests;
pub mod saturation;
pub mod schedule;
pub mod tokenizer;
mod transport;
pub mod workers;
