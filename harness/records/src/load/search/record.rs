//! The record of a search for the highest rate that meets every objective, as it is saved in `limit.json`.

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
pub const SCHEMA: &str = "poolproof/limit/1";

/// A search.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Limit {
    /// [`SCHEMA`].
    pub schema: String,
    /// The version of poolproof.
    pub tool_version: String,
    /// When it was started.
    pub started: Timestamp,
    /// Whether it was interrupted.
    pub interrupted: bool,
    /// The name of the workload.
    pub name: String,
    /// The workload, as it was asked for: each probe has a rate of its own, and low ones last longer.
    pub workload: Workload,
    /// The seed of the schedules and of the requests.
    pub seed: u64,
    /// The name of the stack.
    pub stack: String,
    /// The defect that was put in, if any.
    pub flaw: Option<String>,
    /// What the stack consists of, as found.
    pub components: Vec<Component>,
    /// The machine of the client, before the stack was started.
    pub environment: Environment,
    /// The rates that were tried, and what each showed.
    pub search: Search,
}

/// What a search has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// The limit lies between a rate that meets every objective and one that does not.
    Limit,
    /// No rate meets every objective.
    Nothing,
    /// The limit of the stack is not known.
    Undecided,
}

impl Limit {
    /// Reads a record.
    pub fn read(path: &Path) -> Result<Self> {
        read_as(path, SCHEMA)
    }

    /// What it has come to.
    pub fn found(&self) -> Found {
        match (self.search.met(), self.search.not_met()) {
            _ if self.interrupted || self.search.client_was_the_limit() => Found::Undecided,
            (Some(_), Some(_)) => Found::Limit,
            (None, Some(_)) => Found::Nothing,
            _ => Found::Undecided,
        }
    }

    /// The same in a sentence.
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
                format!(
                    "{interrupted}no limit was found up to {:.2} req/s",
                    met.rate_per_s
                )
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
    use crate::samples::limit;
    use poolproof_model::verdict::Verdict;

    #[test]
    fn a_search_comes_to_a_limit_to_nothing_or_to_no_decision() {
        let found = |change: fn(&mut Limit)| {
            let mut record = limit();
            change(&mut record);
            (record.found(), record.conclusion())
        };
        let (limit, said) = found(|_| {});
        assert_eq!(limit, Found::Limit);
        assert!(
            said.starts_with("limit: 20.00 req/s; ") && said.contains("at 24.00"),
            "{said}"
        );

        let (nothing, said) = found(|it| it.search.probes.retain(|it| it.verdict == Verdict::Fail));
        assert_eq!(nothing, Found::Nothing);
        assert!(said.starts_with("not even 28.00 req/s"), "{said}");

        let (undecided, said) = found(|it| it.search.probes.truncate(2));
        assert_eq!(undecided, Found::Undecided);
        assert!(said.ends_with("up to 20.00 req/s"), "{said}");

        let (undecided, said) = found(|it| it.interrupted = true);
        assert_eq!(undecided, Found::Undecided);
        assert!(said.starts_with("interrupted; limit: "), "{said}");

        let (undecided, said) = found(|it| it.search.probes[4].doubts.push("busy".to_owned()));
        assert_eq!(undecided, Found::Undecided);
        assert!(said.contains("the client was the bottleneck"), "{said}");
    }
}
