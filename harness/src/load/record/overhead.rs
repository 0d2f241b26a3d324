//! The record of a comparison of the way through the gateway with round robin over the same endpoints, as it is saved in
//! `overhead.json`.

use std::path::Path;

use anyhow::Result;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::component::Component;
use crate::load::paired::Compared;
use crate::load::workload::Workload;
use crate::report::record::read_as;

/// The version of the record's schema.
pub const SCHEMA: &str = "poolproof/overhead/1";

/// What was compared.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Overhead {
    /// [`SCHEMA`].
    pub schema: String,
    /// The version of poolproof.
    pub tool_version: String,
    /// When it was started.
    #[serde(default)]
    pub started: Timestamp,
    /// The workload of a block.
    pub workload: Workload,
    /// The seed of the schedule and of the requests.
    pub seed: u64,
    /// The name of the stack.
    pub stack: String,
    /// What the stack consists of, as found.
    pub components: Vec<Component>,
    /// The pool that all requests went to.
    pub pool: String,
    /// How many times as slow its first endpoint was made.
    pub uneven: Option<f64>,
    /// Pairs of blocks that came to their end.
    #[serde(default)]
    pub pairs: usize,
    /// `first` is the way through the gateway, `second` round robin.
    pub compared: Vec<Compared>,
}

impl Overhead {
    /// Reads a record.
    pub fn read(path: &Path) -> Result<Self> {
        read_as(path, SCHEMA)
    }
}
