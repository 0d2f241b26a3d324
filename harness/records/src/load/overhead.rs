//! The record of a comparison of the way through the gateway with round robin over the same endpoints, as it is saved in
//! `overhead.json`.

use std::path::Path;

use anyhow::Result;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::file::read_as;
use poolproof_model::component::Component;
use poolproof_model::workload::{Series, Workload};
use poolproof_stats::interval;

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

/// What is compared, once for each block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    /// A percentile of a time, in milliseconds; failures are later than any answer.
    Time(Series, u8),
    /// The share of all requests that kept the limits of the workload, in percent.
    Goodput,
}

impl Figure {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 7] = [
        Self::Time(Series::Ttft, 50),
        Self::Time(Series::Ttft, 95),
        Self::Time(Series::Tpot, 50),
        Self::Time(Series::Tpot, 95),
        Self::Time(Series::E2e, 50),
        Self::Time(Series::E2e, 95),
        Self::Goodput,
    ];

    /// Its name, without its unit.
    pub fn label(self) -> String {
        match self {
            Self::Time(series, percentile) => format!("{} p{percentile}", series.name()),
            Self::Goodput => "goodput".to_owned(),
        }
    }

    /// Its unit.
    pub fn unit(self) -> &'static str {
        match self {
            Self::Time(..) => "ms",
            Self::Goodput => "%",
        }
    }

    /// Its name with its unit, by which records name it.
    pub fn name(self) -> String {
        format!("{} {}", self.label(), self.unit())
    }

    /// Whether more of it is better.
    pub fn more_is_better(self) -> bool {
        self == Self::Goodput
    }
}

/// Pairs of blocks under which nothing is said about a median.
pub const BLOCKS_MIN: usize = (interval::BEYOND_MIN / 0.5) as usize;

/// One figure, compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Compared {
    /// The figure, with its unit.
    pub figure: String,
    /// Its median over the blocks of either way.
    pub first: f64,
    /// As `first`.
    pub second: f64,
    /// The median of first - second over the blocks.
    pub difference: f64,
    /// What covers the true median difference at 95 %.
    pub interval: (f64, f64),
    /// The median of first / second over the blocks, and what covers the true one at 95 %; `None` where a block had no such ratio.
    #[serde(default)]
    pub ratio: Option<(f64, (f64, f64))>,
    /// Blocks.
    pub blocks: usize,
}

impl Compared {
    /// The figure that its name stands for; `None` for one that this version does not know.
    pub fn which(&self) -> Option<Figure> {
        let mut all = Figure::ALL.into_iter();
        all.find(|figure| figure.name() == self.figure)
    }
}

impl Overhead {
    /// Reads a record.
    pub fn read(path: &Path) -> Result<Self> {
        read_as(path, SCHEMA)
    }
}
