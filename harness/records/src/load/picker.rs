//! The record of load on an endpoint picker by itself, saved as `picker.json`.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Times;
use crate::digest;
use crate::environment::Environment;
use crate::file::{read_as, save};

/// The version of the record's schema.
pub const SCHEMA: &str = crate::file::Kind::Picker.schema();

/// Load on an endpoint picker, with the gateway left out.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PickerLoad {
    /// [`SCHEMA`].
    pub schema: String,
    /// The version of poolproof.
    pub tool_version: String,
    /// When the first measurement was started.
    pub started: Timestamp,
    /// The digest of everything else, which `report --verify` checks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Whether measurements are missing since the run was interrupted.
    pub interrupted: bool,
    /// The kind of stack whose picker was started; `url` for a picker that was there already.
    pub stack: String,
    /// The flaw that was switched on, if any.
    pub flaw: Option<String>,
    /// The name and version of the picker; the address of one that was there already.
    pub picker: String,
    /// The machine, before the picker was started.
    pub environment: Environment,
    /// The model of the requests.
    pub model: String,
    /// How picks were asked for.
    pub load: Load,
    /// How long picks were asked for before they counted, in seconds.
    pub warm_up_s: f64,
    /// How long picks counted, in seconds.
    pub window_s: f64,
    /// The measurements, in their order.
    pub rows: Vec<Row>,
}

/// How picks are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Load {
    /// This many streams, each with one pick at a time.
    Streams(usize),
    /// Picks per second, at even intervals, whether or not earlier ones have ended.
    Rate(f64),
}

impl Load {
    /// The load in words.
    pub fn in_words(self) -> String {
        match self {
            Self::Streams(1) => "1 stream, one pick at a time".to_owned(),
            Self::Streams(count) => format!("{count} streams, each with one pick at a time"),
            Self::Rate(rate) => format!("{rate} picks due per second"),
        }
    }
}

/// A measurement with one number of endpoints and one length of prompts.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Row {
    /// Endpoints of the picker; absent for one that was there already.
    pub endpoints: Option<usize>,
    /// Tokens of each prompt, about.
    pub input_tokens: usize,
    /// What was measured.
    #[serde(flatten)]
    pub picks: Picks,
}

impl Row {
    /// What the measurement was made with, in words.
    pub fn in_words(&self) -> String {
        match self.endpoints {
            Some(1) => format!("1 endpoint, {} tokens", self.input_tokens),
            Some(count) => format!("{count} endpoints, {} tokens", self.input_tokens),
            None => format!("{} tokens", self.input_tokens),
        }
    }
}

/// The picks of a measurement.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Picks {
    /// Requests of the counted time that got a pick.
    pub picks: u64,
    /// Picks per second, within the counted time.
    pub picks_per_s: f64,
    /// The confidence interval of `picks_per_s` at 95 %, from the means of 20 equal parts of the counted time (Schmeiser, "Batch Size
    /// Effects in the Analysis of Simulation Output", 1982).
    pub picks_per_s_interval: Option<(f64, f64)>,
    /// Requests without a pick, by reason.
    pub failed: BTreeMap<String, u64>,
    /// The latency of picks, with all values; failures count as infinitely late in percentiles. Absent without a pick.
    pub latency: Option<Times>,
    /// The different endpoints that were named.
    pub endpoints_named: usize,
    /// Processor time of the picker per pick, in microseconds, with all that it does beside. Absent if it does not run on this machine.
    pub picker_cpu_us_per_pick: Option<f64>,
    /// The confidence interval of `picker_cpu_us_per_pick` at 95 %, as that of `picks_per_s`.
    pub picker_cpu_us_interval: Option<(f64, f64)>,
    /// Processors that the picker used, on average.
    pub picker_cores: Option<f64>,
    /// Processor time of poolproof per pick, in microseconds.
    pub own_cpu_us_per_pick: f64,
    /// Processors that poolproof used, on average.
    pub own_cores: f64,
}

impl Picks {
    /// Requests without a pick.
    pub fn failures(&self) -> u64 {
        self.failed.values().sum()
    }
}

/// The result of load on a picker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Picked {
    /// Every request got a pick.
    All,
    /// Some requests got none.
    Some,
    /// In a measurement, no request got one.
    Nothing,
    /// The run was interrupted, or has no measurement.
    Unfinished,
}

impl PickerLoad {
    /// Reads a record.
    pub fn read(path: &Path) -> Result<Self> {
        read_as(path, SCHEMA)
    }

    /// Saves the record atomically, with its digest.
    pub fn save(&mut self, path: &Path) -> Result<()> {
        self.digest = Some(digest::of(self)?);
        save(self, path)
    }

    /// The result.
    pub fn picked(&self) -> Picked {
        if self.interrupted || self.rows.is_empty() {
            Picked::Unfinished
        } else if self.rows.iter().any(|row| row.picks.picks == 0) {
            Picked::Nothing
        } else if self.rows.iter().any(|row| row.picks.failures() > 0) {
            Picked::Some
        } else {
            Picked::All
        }
    }

    /// The result in a sentence.
    pub fn conclusion(&self) -> String {
        let failed: u64 = self.rows.iter().map(|row| row.picks.failures()).sum();
        let picked: u64 = self.rows.iter().map(|row| row.picks.picks).sum();
        match self.picked() {
            Picked::All => format!("every request got a pick, {picked} in all"),
            Picked::Some => format!("{failed} of {} requests got no pick", failed + picked),
            Picked::Nothing => {
                let none = self.rows.iter().find(|row| row.picks.picks == 0);
                let none = none.map_or_else(String::new, Row::in_words);
                format!("no request got a pick with {none}")
            }
            Picked::Unfinished => {
                format!("interrupted after {} measurements", self.rows.len())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::picker_load;

    #[test]
    fn the_conclusion_counts_requests_without_a_pick() {
        let mut record = picker_load();
        let words = record.conclusion();
        assert!(words.starts_with("every request got a pick, "), "{words}");
        let all: u64 = record.rows.iter().map(|row| row.picks.picks).sum();
        record.rows[1].picks.failed = [("timeout".to_owned(), 3)].into();
        let words = format!("3 of {} requests got no pick", all + 3);
        assert_eq!(
            (record.picked(), record.conclusion()),
            (Picked::Some, words)
        );
        record.rows[1].picks.picks = 0;
        let words = "no request got a pick with 1 endpoint, 32000 tokens";
        assert_eq!(
            (record.picked(), record.conclusion().as_str()),
            (Picked::Nothing, words)
        );
        record.interrupted = true;
        assert_eq!(record.picked(), Picked::Unfinished);
    }
}
