//! The record of a comparison between the gateway and round robin over the same endpoints, saved as `overhead.json`.

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
pub const SCHEMA: &str = crate::file::Kind::Overhead.schema();

/// A comparison of the gateway with round robin.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Overhead {
    /// [`SCHEMA`].
    pub schema: String,
    /// The version of poolproof.
    pub tool_version: String,
    /// When the comparison was started.
    #[serde(default)]
    pub started: Timestamp,
    /// The workload of a block.
    pub workload: Workload,
    /// The seed of the schedule and of the requests.
    pub seed: u64,
    /// The name of the stack.
    pub stack: String,
    /// The components of the stack, as detected.
    pub components: Vec<Component>,
    /// The pool that served all requests.
    pub pool: String,
    /// The factor by which its first endpoint was slowed down.
    pub uneven: Option<f64>,
    /// Completed pairs of blocks.
    #[serde(default)]
    pub pairs: usize,
    /// The compared figures. `first` is the gateway, `second` is round robin.
    pub compared: Vec<Compared>,
}

/// A figure that is compared, with one value per block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    /// A percentile of a time, in milliseconds. Failures count as infinitely late.
    Time(Series, u8),
    /// The share of all requests that met the limits of the workload, in percent.
    Goodput,
}

impl Figure {
    /// All figures, in display order.
    pub const ALL: [Self; 7] = [
        Self::Time(Series::Ttft, 50),
        Self::Time(Series::Ttft, 95),
        Self::Time(Series::Tpot, 50),
        Self::Time(Series::Tpot, 95),
        Self::Time(Series::E2e, 50),
        Self::Time(Series::E2e, 95),
        Self::Goodput,
    ];

    /// The name without the unit.
    pub fn label(self) -> String {
        match self {
            Self::Time(series, percentile) => format!("{} p{percentile}", series.name()),
            Self::Goodput => "goodput".to_owned(),
        }
    }

    /// The unit.
    pub fn unit(self) -> &'static str {
        match self {
            Self::Time(..) => "ms",
            Self::Goodput => "%",
        }
    }

    /// The name with the unit, as stored in records.
    pub fn name(self) -> String {
        format!("{} {}", self.label(), self.unit())
    }

    /// Whether higher is better.
    pub fn more_is_better(self) -> bool {
        self == Self::Goodput
    }
}

/// The least number of pairs of blocks that supports a median.
pub const BLOCKS_MIN: usize = (interval::BEYOND_MIN / 0.5) as usize;

/// One figure, compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Compared {
    /// The figure, with its unit.
    pub figure: String,
    /// The median over the blocks of the first path.
    pub first: f64,
    /// The median over the blocks of the second path.
    pub second: f64,
    /// The median of first - second over the blocks.
    pub difference: f64,
    /// The confidence interval of the true median difference at 95 %.
    pub interval: (f64, f64),
    /// The median of first / second over the blocks, and its confidence interval at 95 %. `None` if a block had no such
    /// ratio.
    #[serde(default)]
    pub ratio: Option<(f64, (f64, f64))>,
    /// The number of blocks.
    pub blocks: usize,
}

impl Compared {
    /// The figure with this name; `None` if this version does not know it.
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
