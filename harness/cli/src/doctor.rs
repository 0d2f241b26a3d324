//! `poolproof doctor`: what is there for each stack, and what is missing.

use anyhow::Context;
use nix::sys::resource::{Resource, getrlimit};

use super::stack::StackArgs;
use super::{Failure, say};
use poolproof_model::parts::StackKind;
use poolproof_stack::places::{cluster, kind, processes};
use poolproof_stack::platform::{SYSTEM, can_run};
use poolproof_stack::tools::{self, Missing};

/// The open files that a run on one machine takes: held requests are sockets at every hop.
const FILES_WANTED: u64 = 4096;

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    stack: StackArgs,
}

pub(super) async fn doctor(args: &Args) -> Result<u8, Failure> {
    let local = match args.stack.stack {
        StackKind::Local => args.stack.clone(),
        _ => args.stack.clone().with_default_parts(),
    };
    let options = local.options_of(StackKind::Local);
    let options = options.map_err(Failure::usage)?;
    say(&platform(SYSTEM, std::env::consts::ARCH));
    say("embedded    ready: needs nothing");
    say("url         ready: needs a target file (`poolproof up --print-target` prints one)");
    let local_ready = ready(StackKind::Local, "local", async {
        Ok(processes::missing(&options))
    });
    let local_ready = local_ready.await?;
    let containers_ready = ready(StackKind::Containers, "containers", async {
        Ok(tools::missing(&[tools::DOCKER]).await)
    });
    let containers_ready = containers_ready.await?;
    let of_kind = match args.stack.stack {
        StackKind::Kind => args.stack.clone(),
        _ => args.stack.clone().with_default_parts(),
    };
    let of_kind = of_kind.options_of(StackKind::Kind);
    let of_kind = of_kind.map_err(Failure::usage)?;
    let kind_ready = ready(StackKind::Kind, "kind", kind::missing(&of_kind)).await?;
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

/// Prints what a stack lacks on this machine; returns whether that is nothing.
async fn ready(
    kind: StackKind,
    stack: &str,
    missing: impl Future<Output = anyhow::Result<Vec<Missing>>>,
) -> Result<bool, Failure> {
    if !can_run(SYSTEM, kind) {
        say(&format!("{stack:12}not available: needs Linux"));
        return Ok(false);
    }
    let missing = missing.await.map_err(Failure::usage)?;
    match &missing[..] {
        [] => say(&format!("{stack:12}ready")),
        _ => say(&format!("{stack:12}not ready")),
    }
    for missing in &missing {
        say(&format!(
            "            missing: {} ({})",
            missing.name, missing.why
        ));
        say(&format!("            get it:  {}", missing.how));
    }
    Ok(missing.is_empty())
}

/// The line of the platform, and of what it lacks.
fn platform(system: &str, processor: &str) -> String {
    let available = if system == "linux" {
        "every stack is available"
    } else {
        "stacks embedded, cluster and url are available; arrival times of requests and run-queue times are not measured"
    };
    format!("platform    {system} on {processor}: {available}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_the_platform_names_what_macos_has() {
        let line = platform("macos", "aarch64");
        assert!(line.contains("macos on aarch64"), "{line}");
        assert!(line.contains("embedded, cluster and url"), "{line}");
        assert!(platform("linux", "x86_64").contains("every stack"));
    }
}
