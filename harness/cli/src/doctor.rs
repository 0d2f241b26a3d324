//! `poolproof doctor`: shows what each stack needs and what is missing.

use anyhow::Context;
use nix::sys::resource::{Resource, getrlimit};

use super::stack::StackArgs;
use super::{Exit, Failure, print_line};
use poolproof_model::parts::StackKind;
use poolproof_stack::places::{cluster, kind, processes};
use poolproof_stack::platform::{SYSTEM, can_run};
use poolproof_stack::tools::{self, Missing};

/// Open files needed by a run on one machine: held requests keep a socket at every hop.
const FILES_WANTED: u64 = 4096;

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    stack: StackArgs,
}

pub(super) async fn doctor(args: &Args) -> Result<Exit, Failure> {
    let local = match args.stack.stack {
        StackKind::Local => args.stack.clone(),
        _ => args.stack.clone().with_default_parts(),
    };
    let options = local.options_of(StackKind::Local);
    let options = options.map_err(Failure::usage)?;
    print_line(&platform(SYSTEM, std::env::consts::ARCH));
    print_line("embedded    ready: needs nothing");
    print_line("url         ready: needs a target file (`poolproof up --print-target` prints one)");
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
        print_line("cluster     needs a context; with --existing, the rights of this role:");
        print_line(cluster::role::READER);
    } else {
        print_line(
            "cluster     needs --context NAME from your kubeconfig, and helm to deploy; `doctor --stack cluster` prints the role for --existing",
        );
    }
    let (_, hard) =
        getrlimit(Resource::RLIMIT_NOFILE).context("reading the limit on open files")?;
    if hard < FILES_WANTED {
        print_line(&format!(
            "limits      open files: {hard} is low, `ulimit -n {FILES_WANTED}` before a run"
        ));
    } else {
        print_line(&format!("limits      open files: {hard}"));
    }
    let wanted_is_missing = match args.stack.stack {
        StackKind::Local => !local_ready,
        StackKind::Containers => !containers_ready,
        StackKind::Kind => !kind_ready,
        StackKind::Embedded | StackKind::Cluster | StackKind::Url => false,
    };
    Ok(if wanted_is_missing {
        Exit::Unavailable
    } else {
        Exit::Passed
    })
}

/// Prints what a stack lacks on this machine. Returns true if it lacks nothing.
async fn ready(
    kind: StackKind,
    stack: &str,
    missing: impl Future<Output = anyhow::Result<Vec<Missing>>>,
) -> Result<bool, Failure> {
    if !can_run(SYSTEM, kind) {
        print_line(&format!("{stack:12}not available: needs Linux"));
        return Ok(false);
    }
    let missing = missing.await.map_err(Failure::usage)?;
    match &missing[..] {
        [] => print_line(&format!("{stack:12}ready")),
        _ => print_line(&format!("{stack:12}not ready")),
    }
    for missing in &missing {
        print_line(&format!(
            "            missing: {} ({})",
            missing.name, missing.why
        ));
        print_line(&format!("            get it:  {}", missing.how));
    }
    Ok(missing.is_empty())
}

/// One line about the platform and its limits.
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
    fn the_platform_line_names_the_stacks_of_macos() {
        let line = platform("macos", "aarch64");
        assert!(line.contains("macos on aarch64"), "{line}");
        assert!(line.contains("embedded, cluster and url"), "{line}");
        assert!(platform("linux", "x86_64").contains("every stack"));
    }
}
