//! `poolproof doctor`: what is there for each stack, and what is missing.

use anyhow::Context;
use nix::sys::resource::{Resource, getrlimit};

use super::Failure;
use super::stack::StackArgs;
use crate::stack::local;

/// The open files that a run on one machine takes: held requests are sockets at every hop.
const FILES_WANTED: u64 = 4096;

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    stack: StackArgs,
}

pub(super) fn doctor(args: &Args) -> Result<u8, Failure> {
    let options = args.stack.options().map_err(Failure::usage)?;
    println!("embedded  ready: needs nothing");
    println!("url       ready: needs a target file (`poolproof up --print-target` prints one)");
    let missing = local::missing(&options.local);
    match missing.as_slice() {
        [] => println!("local     ready"),
        _ => println!("local     not ready"),
    }
    for program in &missing {
        println!(
            "          missing: {} ({})",
            program.name, program.needed_for
        );
        println!("          get it:  {}", program.how);
    }
    let (_, hard) =
        getrlimit(Resource::RLIMIT_NOFILE).context("reading the limit on open files")?;
    if hard < FILES_WANTED {
        println!("limits    open files: {hard} is low, `ulimit -n {FILES_WANTED}` before a run");
    } else {
        println!("limits    open files: {hard}");
    }
    let wanted_is_missing =
        args.stack.stack == crate::stack::StackKind::Local && !missing.is_empty();
    Ok(if wanted_is_missing { 4 } else { 0 })
}
