//! Stacks of real upstream programs: endpoint pickers of GIE v1.5.0 between a gateway and model servers. `local` runs
//! them as processes of this machine and `containers` as containers; everything else is the same.

mod alone;
mod kube;
pub(super) mod model_server;
mod objects;
mod operator;
mod picker;
mod running;
mod start;

pub use alone::{MODEL as PICKER_MODEL, PickerAlone};

use anyhow::{Result, ensure};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::options::Options;
use crate::parts::{self, flaws, gie};
use crate::place::{self, Started};
use crate::programs::{self, Program};
use crate::progress::Progress;
use crate::tools::Missing;
use poolproof_model::change::Kind;
use poolproof_model::parts::{KubeApi, Parts, StackKind};

/// This machine, with local programs or with containers.
pub(super) struct Place;

impl place::Place for Place {
    fn check(&self, options: &Options) -> Result<()> {
        flaws::check(options.kind, options.parts, options.flaw)?;
        let epp = options.parts.epp;
        ensure!(
            options.processes.kube_api == KubeApi::StandIn
                || parts::picker(epp).group() == gie::GROUP,
            "--kube-api real has no definitions of {} for --epp {epp}: use --kube-api stand-in",
            parts::picker(epp).group()
        );
        for pool in options.topology.pools() {
            ensure!(
                pool.endpoints <= objects::ENDPOINTS_MAX,
                "pool {:?}: `endpoints` is {}: this stack takes at most {}, the ports that an InferencePool may have",
                pool.name,
                pool.endpoints,
                objects::ENDPOINTS_MAX
            );
        }
        Ok(())
    }

    fn kinds_of_changes(&self, parts: Parts) -> Vec<Kind> {
        kinds_of_changes(parts)
    }

    fn start<'a>(
        &self,
        options: &'a Options,
        progress: &'a mut Progress<'_>,
    ) -> BoxFuture<'a, Result<Started>> {
        start::start(options, progress).boxed()
    }
}

/// The changes that these parts support.
fn kinds_of_changes(parts: Parts) -> Vec<Kind> {
    let follows = parts::picker(parts.epp).follows();
    let fails = parts::gateway(parts.gateway).changes_failure_mode(StackKind::Local);
    let moves = parts::model_server(parts.model_server).moves();
    let mut kinds = Kind::ALL.to_vec();
    kinds.retain(|kind| match kind {
        Kind::FailureMode => fails,
        Kind::Moved => moves && follows.contains(kind),
        Kind::Member | Kind::Objective | Kind::Terminate | Kind::Ready | Kind::Ports => {
            follows.contains(kind)
        }
        Kind::Picker | Kind::Endpoint | Kind::Weights => true,
    });
    kinds
}

/// The upstream programs that a stack with these options needs.
fn needed(options: &Options) -> Vec<Program> {
    let picker = parts::picker(options.parts.epp).programs();
    let gateway = parts::gateway(options.parts.gateway).programs();
    let model_server = parts::model_server(options.parts.model_server).programs();
    let kube = match options.processes.kube_api {
        KubeApi::StandIn => &[],
        KubeApi::Real => kube::PROGRAMS,
    };
    [picker, gateway, model_server, kube].concat()
}

/// The missing ones among the programs that a stack with these options needs.
pub fn missing(options: &Options) -> Vec<Missing> {
    programs::missing(options, &needed(options))
}
