//! Needs: features that a case requires of its target. A need returns what it finds, so that cases do not look it up
//! again.
//!
//! A new need is one type with one [`Find`] implementation in the file of its subject. A case lists it as `PoolToLoad::NEED`, and
//! obtains the result with `PoolToLoad::find(&ctx.target)?`.

mod endpoints;
mod fields;
mod limits;
mod models;
mod picker;
#[cfg(test)]
mod tests;

use poolproof_model::change::Kind;
use poolproof_model::target::Target;

use fields::CHANGES;

pub use endpoints::{
    CanaryToLoad, EndpointLogs, EndpointNames, Faults, PoolToLoad, PrefixAffinity, Sessions,
    Straight,
};
pub(crate) use fields::SERVED_BY;
pub use limits::{BodyLimit, RouteTimeout};
pub use models::{Adapters, Canary, Rewritten, TwoModels, WeightZeroPool};
pub use picker::{
    Classes, FullByCount, HeldByPriority, HeldFairly, HeldForATime, HeldInNumber, HeldMax,
    ShedByPriority,
};

/// A feature that can be found in a target.
pub trait Find {
    /// The description, with the fields of a target file that provide it.
    const WHAT: &'static str;
    /// The fields of a target file that provide it.
    const ADD: &'static [&'static str];
    /// The result for the case.
    type Found<'a>;

    /// Searches a target.
    fn look(target: &Target) -> Option<Self::Found<'_>>;

    /// Searches a target, or returns what is missing. A case that returns [`Missing`] as its error is skipped.
    fn find(target: &Target) -> Result<Self::Found<'_>, Missing> {
        Self::look(target).ok_or(Missing(Self::WHAT))
    }

    /// The entry for the list of needs of a case.
    const NEED: Need = Need {
        what: Self::WHAT,
        add: Self::ADD,
        check: Check::Found(|target| Self::look(target).is_some()),
    };
}

/// A missing feature of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing(pub &'static str);

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the target lacks {}", self.0)
    }
}

impl std::error::Error for Missing {}

/// An entry in the list of needs of a case. It is checked before anything is sent.
#[derive(Clone, Copy, Debug)]
pub struct Need {
    what: &'static str,
    add: &'static [&'static str],
    check: Check,
}

#[derive(Clone, Copy, Debug)]
enum Check {
    Found(fn(&Target) -> bool),
    Change(Kind),
    Time,
}

impl Need {
    /// The need for one kind of change, which [`crate::context::Context::change`] makes.
    pub const fn change(kind: Kind) -> Self {
        let what = match kind {
            Kind::Picker => "changes that stop and start endpoint pickers",
            Kind::Endpoint => "changes that stop and start endpoints",
            Kind::Member => "changes that take endpoints out of their pools",
            Kind::Weights => "changes of weights",
            Kind::FailureMode => "changes of failure modes",
            Kind::Objective => "changes of objectives",
            Kind::Terminate => "changes that end endpoints with a grace period",
            Kind::Ready => "changes that make endpoints not ready",
            Kind::Moved => "changes that move endpoints to other addresses",
            Kind::Ports => "changes that take the ports of endpoints out of their pools",
        };
        Self {
            what,
            add: &[CHANGES],
            check: Check::Change(kind),
        }
    }

    /// The need for more time than a case of a usual run may take. Every target meets it; a run has the time if it includes
    /// slow cases. See [`crate::case::Case::is_slow`].
    pub const fn time() -> Self {
        Self {
            what: "time (a slow case: --slow)",
            add: &[],
            check: Check::Time,
        }
    }

    /// The description of this need.
    pub fn describe(self) -> &'static str {
        self.what
    }

    /// The fields of a target file that provide it.
    pub fn fields(self) -> &'static [&'static str] {
        self.add
    }

    /// Whether the target meets it.
    pub fn is_met(self, target: &Target) -> bool {
        match self.check {
            Check::Found(is_found) => is_found(target),
            Check::Change(kind) => {
                let changes = target.changes.as_ref();
                changes.is_some_and(|changes| changes.kinds.contains(&kind))
            }
            Check::Time => true,
        }
    }

    /// Whether a case with this need changes parts of the stack.
    pub fn is_change(self) -> bool {
        matches!(self.check, Check::Change(_))
    }

    /// Whether a case with this need is slow.
    pub fn is_time(self) -> bool {
        matches!(self.check, Check::Time)
    }
}
