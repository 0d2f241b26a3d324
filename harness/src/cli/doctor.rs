//! `poolproof doctor`: what is there for each stack, and what is missing.

use anyhow::Context;
use nix::sys::resource::{Resource, getrlimit};

use super::stack::StackArgs;
use super::{Failure, say};
use crate::parts::StackKind;
use crate::stack::places::{cluster, kind, processes};
use crate::stack::tools::{self, Missing};

/// The open files that a run on one machine takes: held requests are sockets at every hop.
const FILES_WANTED: u64 = 4096;

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    stack: StackArgs,
}

pub(super) fn doctor(args: &Args) -> Result<u8, Failure> {
    let local = match args.stack.stack {
        StackKind::Local => args.stack.clone(),
        _ => args.stack.clone().with_default_parts(),
    };
    let options = local.options_of(StackKind::Local);
    let options = options.map_err(Failure::usage)?;
    say("embedded    ready: needs nothing");
    say("url         ready: needs a target file (`poolproof up --print-target` prints one)");
    let local_ready = ready("local", &processes::missing(&options));
    let containers_ready = ready("containers", &tools::missing(&[tools::DOCKER]));
    let kind_ready = ready("kind", &tools::missing(&kind::TOOLS));
    if args.stack.stack == StackKind::Cluster {
        say("cluster     needs a context; with --existing, the rights of this role:");
        say(cluster::role::READER);
    } else {
        say(
            "cluster     needs --context NAME of your kubeconfig, and helm to deploy; `doctor --stack cluster` prints the role for --existing",
        );
    }
    let (_, hard) =
        getrlimit(Resource::RLIMIT_NOFILE).context("reading the limit on open files")?;
    if hard < FILES_WANTED {
        say(&format!(
            "limits      open files: {hard} is low, `ulimit -n {FILES_WANTED}` before a run"
        ));
    } else {
        say(&format!("limits      open files: {hard}"));
    }
    let wanted_is_missing = match args.stack.stack {
        StackKind::Local => !local_ready,
        StackKind::Containers => !containers_ready,
        StackKind::Kind => !kind_ready,
        StackKind::Embedded | StackKind::Cluster | StackKind::Url => false,
    };
    Ok(if wanted_is_missing { 4 } else { 0 })
}

/// Says what a stack lacks on this machine; whether that is nothing.
fn ready(stack: &str, missing: &[Missing]) -> bool {
    match missing {
        [] => say(&format!("{stack:12}ready")),
        _ => say(&format!("{stack:12}not ready")),
    }
    for it in missing {
        say(&format!("            missing: {} ({})", it.name, it.why));
        say(&format!("            get it:  {}", it.how));
    }
    missing.is_empty()
}
