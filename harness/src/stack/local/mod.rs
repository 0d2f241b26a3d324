//! The stack of real upstream processes: endpoint pickers of GIE v1.5.0, a gateway in front, model servers behind.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::ValueEnum;

use super::{Component, Progress};
use crate::target::Target;

/// What a local stack is put together from.
#[derive(Clone, Debug)]
pub struct Options {
    /// The poolproof program itself, which serves model servers and the reference gateway as processes of their own.
    pub program: PathBuf,
    /// Where the upstream programs are; `None`: the cache folder that `ci/upstream/build` fills, then `PATH`.
    pub bin_dir: Option<PathBuf>,
    /// The gateway in front.
    pub gateway: Gateway,
    /// The Kubernetes API that endpoint pickers watch.
    pub kube_api: KubeApi,
}

/// The gateway of a local stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Gateway {
    /// Envoy with GIE's body-based router.
    Envoy,
    /// The reference gateway of poolproof.
    Poolproof,
}

/// The Kubernetes API of a local stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum KubeApi {
    /// A stand-in that serves just what endpoint pickers and the body-based router ask for.
    StandIn,
    /// kube-apiserver and etcd, without a kubelet.
    Real,
}

/// The processes of a running local stack.
pub struct Local;

/// Fails if what was asked for cannot be put together.
pub fn check(_options: &super::Options) -> Result<()> {
    Ok(())
}

/// Starts all processes.
pub async fn start(
    _options: &super::Options,
    _progress: &mut Progress<'_>,
) -> Result<(Target, Vec<Component>, Local)> {
    bail!("the local stack is not there yet")
}

impl Local {
    /// Stops all processes and waits until they are gone.
    pub async fn stop(self) {}
}

/// An upstream program that is not there.
#[derive(Clone, Debug)]
pub struct Missing {
    /// Its name.
    pub name: &'static str,
    /// What needs it.
    pub needed_for: &'static str,
    /// How to get it.
    pub how: &'static str,
}

/// The programs that these options need and that are not there.
pub fn missing(_options: &super::Options) -> Vec<Missing> {
    Vec::new()
}

/// Becomes another program, which ends when its parent does.
pub fn exec_child(_command: &[String]) -> Result<std::convert::Infallible> {
    bail!("the local stack is not there yet")
}
