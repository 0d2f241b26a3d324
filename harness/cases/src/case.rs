//! Cases and suites: the records from which a run selects.

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
    /// The id, which is also the folder of its cases.
    pub id: &'static str,
    /// The promise, in one line.
    pub promise: &'static str,
    /// The cases, in execution order.
    pub cases: &'static [Case],
    /// The flaws that its cases must catch. Each flaw has one row, in the suite of the first case that must fail.
    pub catches: &'static [Catch],
}

/// One requirement, and the function that judges it.
pub struct Case {
    /// `suite/case`: the path of its file, and its selector.
    pub id: &'static str,
    /// The requirement, in one sentence.
    pub requirement: &'static str,
    /// The level of the requirement.
    pub level: Level,
    /// Where the requirement comes from: document and section.
    pub source: &'static str,
    /// The features that the target must have.
    pub needs: &'static [Need],
    /// The number of parts of the run's alpha for its statistical decisions together. Most cases that decide by a
    /// sample have 1; cases that judge each answer have 0. [`Budget`](crate::budget::Budget) computes the share from
    /// this number.
    pub alpha_parts: u32,
    /// The planned effort against a target that meets the needs.
    pub plan: fn(&Target, &Rates) -> Result<Effort>,
    /// Judges the requirement.
    pub run: for<'a> fn(&'a Context) -> BoxFuture<'a, Result<Outcome>>,
}

impl Case {
    /// The planned effort against a target that meets the needs. Fails if the decisions take more alpha than the case's
    /// share, which is a bug in the case.
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

    /// Whether the case changes parts of the stack.
    pub fn changes(&self) -> bool {
        self.needs.iter().any(|need| need.is_change())
    }

    /// Whether the case takes long by its nature: it lists [`Need::time`]. A run includes it with `--slow` or by its full
    /// id. It must not decide by chance, so that the alpha of the other cases is the same with and without it.
    pub fn is_slow(&self) -> bool {
        self.needs.iter().any(|need| need.is_time())
    }
}

#[cfg(test)]
impl Case {
    /// A Must case for tests. It needs nothing, plans no request, and passes.
    pub(crate) const fn plain(id: &'static str) -> Self {
        Self {
            id,
            requirement: "r",
            level: Level::Must,
            source: "s",
            needs: &[],
            alpha_parts: 0,
            plan: |_, _| Ok(Effort::requests(0)),
            run: |_| Box::pin(async { Ok(Outcome::pass("")) }),
        }
    }
}

impl std::fmt::Debug for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.id)
    }
}

/// The effect of a flaw on cases, which proves that cases can fail. All cases outside the two lists must pass.
#[derive(Debug)]
pub struct Catch {
    /// The flaw.
    pub flaw: Flaw,
    /// The ids of the cases that must fail while the flaw is on.
    pub must_fail: &'static [&'static str],
    /// Other cases that may fail, by id or by suite. They meet the flaw by chance, or cannot be measured with it.
    pub may_fail: &'static [&'static str],
}

impl Catch {
    /// A flaw with the cases that must fail and the cases that may fail.
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

    /// Whether only slow cases must fail, so that the flaw is tested with them alone.
    pub fn is_slow(&self, suites: &'static [Suite]) -> bool {
        let cases = suites.iter().flat_map(|suite| suite.cases);
        let slow: Vec<&str> = cases
            .filter(|case| case.is_slow())
            .map(|case| case.id)
            .collect();
        self.must_fail.iter().all(|id| slow.contains(id))
    }
}

/// The catches of all suites.
pub fn catches(suites: &'static [Suite]) -> impl Iterator<Item = &'static Catch> {
    suites.iter().flat_map(|suite| suite.catches)
}
