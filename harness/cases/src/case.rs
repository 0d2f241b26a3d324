//! Cases and suites: records that a run selects from.

use anyhow::{Result, ensure};
use futures_util::future::BoxFuture;
use poolproof_fixtures::flaw::Flaw;

use crate::budget::Rates;
use crate::context::Context;
use crate::effort::Effort;
use crate::need::Need;
use poolproof_model::target::Target;
use poolproof_model::verdict::Outcome;

pub use poolproof_model::verdict::Level;

/// A group of cases about one promise.
#[derive(Clone, Copy, Debug)]
pub struct Suite {
    /// Its id: the folder of its cases.
    pub id: &'static str,
    /// The promise, in one line.
    pub promise: &'static str,
    /// Its cases, in the order in which they run.
    pub cases: &'static [Case],
    /// The flaws that its cases must catch: one row for each flaw, in the suite of the first case that must fail.
    pub catches: &'static [Catch],
}

/// One requirement and the function that judges it.
pub struct Case {
    /// `suite/case`: the path of its file, and what selects it.
    pub id: &'static str,
    /// The requirement, in one sentence.
    pub requirement: &'static str,
    /// How much it binds.
    pub level: Level,
    /// Where the requirement comes from: document and section.
    pub source: &'static str,
    /// What the target has to offer.
    pub needs: &'static [Need],
    /// The parts of the run's alpha that its statistical decisions take together: 1 for most cases that decide by a sample, 0 for
    /// those that judge each answer. [`Budget`](crate::budget::Budget) computes its share from this.
    pub alpha_parts: u32,
    /// What it sends to a target that has what it needs.
    pub plan: fn(&Target, &Rates) -> Result<Effort>,
    /// Judges the requirement.
    pub run: for<'a> fn(&'a Context) -> BoxFuture<'a, Result<Outcome>>,
}

impl Case {
    /// What it sends to a target that has what it needs. Fails if its decisions take more alpha than its share: that is a fault of the
    /// case.
    pub fn effort(&self, target: &Target, rates: &Rates) -> Result<Effort> {
        const ROUNDING: f64 = 1e-9;
        let effort = (self.plan)(target, rates)?;
        let (taken, share) = (effort.alpha(), rates.alpha);
        ensure!(
            taken <= share * (1.0 + ROUNDING),
            "case {}: its decisions take an alpha of {taken:e}, more than its share of {share:e}: raise its `alpha_parts`",
            self.id
        );
        Ok(effort)
    }

    /// Whether it changes parts of the stack.
    pub fn changes(&self) -> bool {
        self.needs.iter().any(|need| need.is_change())
    }
}

impl std::fmt::Debug for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.id)
    }
}

/// What a flaw does to cases: the counter-proof of those that it must fail. Any case in neither list must pass all the same.
#[derive(Debug)]
pub struct Catch {
    /// The flaw.
    pub flaw: Flaw,
    /// The ids of the cases that must fail while it is switched on.
    pub must_fail: &'static [&'static str],
    /// The others that need not pass, by id or by suite: they meet the flaw by chance, or cannot be measured beside it.
    pub may_fail: &'static [&'static str],
}

impl Catch {
    /// A flaw with the cases that must fail and those that may.
    pub const fn new(
        flaw: Flaw,
        must_fail: &'static [&'static str],
        may_fail: &'static [&'static str],
    ) -> Self {
        Self {
            flaw,
            must_fail,
            may_fail,
        }
    }
}

/// The catches of all suites.
pub fn catches(suites: &'static [Suite]) -> impl Iterator<Item = &'static Catch> {
    suites.iter().flat_map(|suite| suite.catches)
}
