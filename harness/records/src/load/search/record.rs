//! The record of a search for the highest rate that meets every objective, saved as `limit.json`.

use std::path::Path;

use anyhow::Result;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Search;
use crate::environment::Environment;
use crate::file::read_as;
use poolproof_model::component::Component;
use poolproof_model::workload::Workload;

/// The version of the record's schema.
pub const SCHEMA: &str = crate::file::Kind::Search.schema();

/// A search, as it is saved.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct RateSearch {
    /// [`SCHEMA`].
    pub schema: String,
    /// The version of poolproof.
    pub tool_version: String,
    /// When the search was started.
    pub started: Timestamp,
    /// Whether the search was interrupted.
    pub interrupted: bool,
    /// The name of the workload.
    pub name: String,
    /// The workload as requested. Each probe has its own rate, and probes at low rates last longer.
    pub workload: Workload,
    /// The seed of the schedules and of the requests.
    pub seed: u64,
    /// The name of the stack.
    pub stack: String,
    /// The flaw that was switched on, if any.
    pub flaw: Option<String>,
    /// The components of the stack, as detected.
    pub components: Vec<Component>,
    /// The machine of the client, before the start of the stack.
    pub environment: Environment,
    /// The search with its probes.
    pub search: Search,
}

/// The result of a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// The limit lies between a rate that meets every objective and one that does not.
    Limit,
    /// No rate meets every objective.
    Nothing,
    /// The limit of the stack is not known.
    Undecided,
}

impl RateSearch {
    /// Reads a record.
    pub fn read(path: &Path) -> Result<Self> {
        read_as(path, SCHEMA)
    }

    /// The result.
    pub fn found(&self) -> Found {
        match (self.search.met(), self.search.not_met()) {
            _ if self.interrupted || self.search.client_was_the_limit() => Found::Undecided,
            (Some(_), Some(_)) => Found::Limit,
            (None, Some(_)) => Found::Nothing,
            _ => Found::Undecided,
        }
    }

    /// The result in a sentence.
    pub fn conclusion(&self) -> String {
        let search = &self.search;
        if search.client_was_the_limit() {
            return "the client was the bottleneck: the limit is above what it could send; use more machines, or threads".to_owned();
        }
        let interrupted = if self.interrupted {
            "interrupted; "
        } else {
            ""
        };
        match (search.met(), search.not_met()) {
            (Some(met), Some(bad)) => format!(
                "{interrupted}limit: {:.2} req/s; every objective was met there, and at {:.2} req/s broke first: {}",
                met.rate_per_s,
                bad.rate_per_s,
                bad.broke.first().map_or("-", String::as_str)
            ),
            (Some(met), None) => {
                format!("{interrupted}no limit up to {:.2} req/s", met.rate_per_s)
            }
            (None, Some(bad)) => format!(
                "{interrupted}not even {:.2} req/s meet every objective: {}",
                bad.rate_per_s,
                bad.broke.join("; ")
            ),
            (None, None) => "interrupted before the first rate was tried".to_owned(),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::samples::rate_search;
    use poolproof_model::verdict::Verdict;

    #[test]
    fn a_search_ends_with_a_limit_nothing_or_undecided() {
        let found = |change: fn(&mut RateSearch)| {
            let mut record = rate_search();
            change(&mut record);
            (record.found(), record.conclusion())
        };
        let (limit, conclusion) = found(|_| {});
        assert_eq!(limit, Found::Limit);
        assert!(
            conclusion.starts_with("limit: 20.00 req/s; ") && conclusion.contains("at 24.00"),
            "{conclusion}"
        );

        let (nothing, conclusion) = found(|record| {
            record
                .search
                .probes
                .retain(|probe| probe.verdict == Verdict::Fail)
        });
        assert_eq!(nothing, Found::Nothing);
        assert!(
            conclusion.starts_with("not even 28.00 req/s"),
            "{conclusion}"
        );

        let (undecided, conclusion) = found(|record| record.search.probes.truncate(2));
        assert_eq!(undecided, Found::Undecided);
        assert!(conclusion.ends_with("up to 20.00 req/s"), "{conclusion}");

        let (undecided, conclusion) = found(|record| record.interrupted = true);
        assert_eq!(undecided, Found::Undecided);
        assert!(
            conclusion.starts_with("interrupted; limit: "),
            "{conclusion}"
        );

        let (undecided, conclusion) =
            found(|record| record.search.probes[4].doubts.push("busy".to_owned()));
        assert_eq!(undecided, Found::Undecided);
        assert!(
            conclusion.contains("the client was the bottleneck"),
            "{conclusion}"
        );
    }
}
