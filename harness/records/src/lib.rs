//! Records: what was measured, as it is saved.
//!
//! A record is one JSON file. Its `schema` field names its kind and version; the file name does not matter. Records are the only source
//! of reports: every table and page is a rendering of one. They hold measured numbers and how they were judged, but no credentials.
//!
//! This crate must not know clap, Kubernetes or the stand-ins. It measures nothing and renders nothing.
//!
//! Start with [`mod@file`], which saves a record atomically, and [`any`], which reads one of any kind. [`run`] has the record of a run of cases, [`load`] those
//! of load runs and searches, and [`environment`] describes the machine.
//!
//! ```
//! use poolproof_records::environment::Environment;
//! use poolproof_records::any::AnyRecord;
//! use poolproof_records::file::{Kind, save};
//! use poolproof_records::load::search::{RateSearch, SCHEMA, Search};
//! use poolproof_model::workload::Workload;
//!
//! # fn main() -> anyhow::Result<()> {
//! let search = RateSearch {
//!     schema: SCHEMA.to_owned(),
//!     tool_version: "0.1.0".to_owned(),
//!     started: "2026-01-01T00:00:00Z".parse()?,
//!     interrupted: false,
//!     name: "steady-chat".to_owned(),
//!     workload: Workload::load("steady-chat")?.0,
//!     seed: 1,
//!     stack: "embedded".to_owned(),
//!     flaw: None,
//!     components: Vec::new(),
//!     environment: Environment::here(),
//!     search: Search::new(10.0, 1.05),
//! };
//! let path = std::env::temp_dir().join(format!("limit-{}.json", std::process::id()));
//! save(&search, &path)?;
//! let read = AnyRecord::read(&path)?;
//! std::fs::remove_file(&path)?;
//! assert_eq!(read.kind(), Kind::Search);
//! # Ok(())
//! # }
//! ```

pub mod any;
pub mod digest;
pub mod environment;
pub mod expect;
pub mod file;
pub mod folders;
pub mod judged;
pub mod limits;
pub mod load;
pub mod not_started;
pub mod round_trip;
pub mod run;
#[cfg(any(test, feature = "samples"))]
pub mod samples;
