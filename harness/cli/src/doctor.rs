//! `poolproof doctor`: what this machine can run now, and what else it would take.

use std::collections::BTreeSet;

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
#[command(after_help = "Examples:
  poolproof doctor                                         what this machine can run
  poolproof doctor --stack local --gateway agentgateway    what these parts need
  poolproof doctor --stack cluster                         and the role that --existing takes

Exits with 4 if the stack that --stack names cannot be started.")]
pub(super) struct Args {
    #[command(flatten)]
    stack: StackArgs,
}

pub(super) async fn doctor(args: &Args) -> Result<Exit, Failure> {
    let wanted = args.stack.stack;
    print_line(&platform(SYSTEM, std::env::consts::ARCH));
    let mut wanted_is_missing = false;
    for stack in [
        StackKind::Embedded,
        StackKind::Url,
        StackKind::Local,
        StackKind::Containers,
        StackKind::Kind,
        StackKind::Cluster,
    ] {
        let found = if can_run(SYSTEM, stack) {
            look(&args.stack, stack).await.map_err(Failure::usage)?
        } else {
            Found::NotHere
        };
        print_line(&render(stack, &found));
        // Which context of a kubeconfig answers is not known here.
        let can_be_known = stack != StackKind::Cluster;
        wanted_is_missing |= stack == wanted && can_be_known && !matches!(found, Found::Ready(_));
    }
    if wanted == StackKind::Cluster {
        print_line("            with --existing, poolproof needs the rights of this role:");
        print_line(cluster::role::READER);
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
    Ok(if wanted_is_missing {
        Exit::Unavailable
    } else {
        Exit::Passed
    })
}

/// What a stack finds on this machine.
enum Found {
    /// Everything. The command runs the suites.
    Ready(String),
    Lacks(Vec<Missing>),
    /// It needs another operating system.
    NotHere,
}

/// Looks for what a stack needs. The parts that the arguments name count for the stack that they name.
async fn look(args: &StackArgs, stack: StackKind) -> anyhow::Result<Found> {
    let args = if args.stack == stack {
        args.clone()
    } else {
        args.clone().with_default_parts()
    };
    let missing = match stack {
        StackKind::Embedded => return Ok(Found::Ready("poolproof run".to_owned())),
        StackKind::Url => return Ok(Found::Ready("poolproof run http://HOST:PORT".to_owned())),
        StackKind::Local => processes::missing(&args.options_of(stack)?),
        StackKind::Containers => tools::missing(&[tools::DOCKER]).await,
        StackKind::Kind => kind::missing(&args.options_of(stack)?).await?,
        StackKind::Cluster => return Ok(in_kubeconfig(cluster::contexts())),
    };
    Ok(if missing.is_empty() {
        Found::Ready(format!("poolproof run --stack {stack}"))
    } else {
        Found::Lacks(missing)
    })
}

/// The contexts of a kubeconfig; whether their clusters answer is not tried.
fn in_kubeconfig(contexts: anyhow::Result<Vec<String>>) -> Found {
    let why = match contexts.as_deref() {
        Ok([first, others @ ..]) => {
            let others: String = others.iter().map(|name| format!(", or {name}")).collect();
            let run = format!("poolproof run --stack cluster --existing --context {first}{others}");
            return Found::Ready(run);
        }
        Ok([]) => "it has no contexts".to_owned(),
        Err(error) => format!("{error:#}"),
    };
    let mend = "export KUBECONFIG=FILE, a kubeconfig with a context".to_owned();
    Found::Lacks(vec![Missing {
        name: "kubeconfig".into(),
        why,
        how: mend.clone(),
        mend,
    }])
}

/// The lines about a stack: the command that runs it, or each missing item and the commands that bring them all.
fn render(stack: StackKind, found: &Found) -> String {
    let stack = stack.to_string();
    let missing = match found {
        Found::Ready(run) => return format!("{stack:12}ready: {run}"),
        Found::NotHere => return format!("{stack:12}not available: needs Linux"),
        Found::Lacks(missing) => missing,
    };
    let mut lines = vec![format!("{stack:12}not ready")];
    for missing in missing {
        lines.push(format!(
            "            missing: {} ({})",
            missing.name, missing.why
        ));
    }
    let mut printed = BTreeSet::new();
    for missing in missing {
        if printed.insert(&missing.mend) {
            lines.push(format!("            mend:    {}", missing.mend));
        }
    }
    lines.join("\n")
}

/// One line about the platform, and what the other one has.
fn platform(system: &str, processor: &str) -> String {
    let available = if system == "linux" {
        "every stack is available; macOS has embedded, url and cluster"
    } else {
        "stacks embedded, url and cluster are available, Linux has all; arrival times of requests and run-queue times are not measured"
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
        assert!(line.contains("embedded, url and cluster"), "{line}");
        assert!(platform("linux", "x86_64").contains("every stack"));
    }

    #[test]
    fn items_that_one_command_brings_have_one_line_for_it() {
        let missing = |name: &'static str, mend: &str| Missing {
            name: name.into(),
            why: format!("for {name}"),
            how: String::new(),
            mend: mend.to_owned(),
        };
        let found = Found::Lacks(vec![
            missing("epp", "ci/get"),
            missing("docker", "install it"),
            missing("bbr", "ci/get"),
        ]);
        assert_eq!(
            render(StackKind::Local, &found),
            "local       not ready\n\
            \x20           missing: epp (for epp)\n\
            \x20           missing: docker (for docker)\n\
            \x20           missing: bbr (for bbr)\n\
            \x20           mend:    ci/get\n\
            \x20           mend:    install it"
        );
    }

    #[test]
    fn a_cluster_takes_a_context_of_the_kubeconfig() {
        let found = in_kubeconfig(Ok(vec!["a".to_owned(), "b".to_owned()]));
        let line = render(StackKind::Cluster, &found);
        assert!(
            line.ends_with("ready: poolproof run --stack cluster --existing --context a, or b"),
            "{line}"
        );
        for none in [Ok(Vec::new()), Err(anyhow::anyhow!("reading /none"))] {
            let lines = render(StackKind::Cluster, &in_kubeconfig(none));
            assert!(lines.contains("not ready"), "{lines}");
            assert!(lines.contains("KUBECONFIG"), "{lines}");
        }
    }
}
