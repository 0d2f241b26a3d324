//! `poolproof doctor`: what is there for each stack, and what is missing.

use anyhow::Context;
use nix::sys::resource::{Resource, getrlimit};

use super::stack::StackArgs;
use super::{Failure, say};
use crate::stack::{StackKind, local};

/// The open files that a run on one machine takes: held requests are sockets at every hop.
const FILES_WANTED: u64 = 4096;

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    stack: StackArgs,
}

pub(super) fn doctor(args: &Args) -> Result<u8, Failure> {
    let options = args.stack.options_of(StackKind::Local);
    let options = options.map_err(Failure::usage)?;
    say("embedded  ready: needs nothing");
    say("url       ready: needs a target file (`poolproof up --print-target` prints one)");
    let missing = local::missing(&options);
    match missing.as_slice() {
        [] => say("local     ready"),
        _ => say("local     not ready"),
    }
    for program in &missing {
        say(&format!(
            "          missing: {} ({})",
            program.name, program.needed_for
        ));
        say(&format!("          get it:  {}", program.how));
    }
    let (_, hard) =
        getrlimit(Resource::RLIMIT_NOFILE).context("reading the limit on open files")?;
    if hard < FILES_WANTED {
        say(&format!(
            "limits    open files: {hard} is low, `ulimit -n {FILES_WANTED}` before a run"
        ));
    } else {
        say(&format!("limits    open files: {hard}"));
    }
    let wanted_is_missing = args.stack.stack == StackKind::Local && !missing.is_empty();
    Ok(if wanted_is_missing { 4 } else { 0 })
}
