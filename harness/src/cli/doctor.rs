//! `poolproof doctor`: what is there for each stack, and what is missing.

use anyhow::Context;
use nix::sys::resource::{Resource, getrlimit};

use super::stack::StackArgs;
use super::{Failure, say};
use crate::stack::tools::{self, Tool};
use crate::stack::{StackKind, cluster, kind, local};

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
    let missing = local::missing(&options);
    match missing.as_slice() {
        [] => say("local       ready"),
        _ => say("local       not ready"),
    }
    for program in &missing {
        say(&format!(
            "            missing: {} ({})",
            program.name, program.needed_for
        ));
        say(&format!("            get it:  {}", program.how));
    }
    let containers_ready = ready("containers", &[tools::DOCKER]);
    let kind_ready = ready("kind", &kind::TOOLS);
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
        StackKind::Local => !missing.is_empty(),
        StackKind::Containers => !containers_ready,
        StackKind::Kind => !kind_ready,
        StackKind::Embedded | StackKind::Cluster | StackKind::Url => false,
    };
    Ok(if wanted_is_missing { 4 } else { 0 })
}

/// Says what a stack lacks on this machine; whether that is nothing.
fn ready(stack: &str, needed: &[Tool]) -> bool {
    let missing = tools::missing(needed);
    match missing.as_slice() {
        [] => say(&format!("{stack:12}ready")),
        _ => say(&format!("{stack:12}not ready")),
    }
    for tool in &missing {
        say(&format!(
            "            missing: {} ({})",
            tool.name, tool.said
        ));
        say(&format!("            get it:  {}", tool.get));
    }
    missing.is_empty()
}
