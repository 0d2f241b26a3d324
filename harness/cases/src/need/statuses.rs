//! The need for Kubernetes objects whose conditions can be read.

use poolproof_model::target::Target;

use super::Find;

/// A place for Gateways, HTTPRoutes and InferencePools of a case, with a controller that writes their conditions.
#[derive(Debug)]
pub struct Statuses;

impl Find for Statuses {
    const WHAT: &'static str =
        "Gateways, HTTPRoutes and InferencePools of its own, whose conditions can be read";
    const ADD: &'static [&'static str] = &["`[statuses]`, a hook that creates and reads objects"];
    type Found<'a> = ();

    fn look(target: &Target) -> Option<Self::Found<'_>> {
        target.statuses.as_ref().map(|_| ())
    }
}
