//! A topology on a Kubernetes cluster: the code that stacks `kind` and `cluster` share.

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(super) mod committed;
pub(crate) mod components;
mod deploy;
pub(crate) mod load_job;
mod model_servers;
mod objects;
mod operator;
mod plan;
mod ready;

pub(crate) use deploy::{DEFINITIONS, deploy, remove};
pub(crate) use operator::{Operator, kinds_of_changes};
pub(crate) use plan::{check, plan};
