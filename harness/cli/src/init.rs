//! `poolproof init`: writes a target file by asking a gateway, or a cluster.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};
use url::{Host, Url};

use super::access::AccessArgs;
use super::found::{self, Question};
use super::stack;
use super::{Exit, Failure, print_line, stop_on_signal};
use poolproof_client::discover;
use poolproof_client::raw::speaks_http2;
use poolproof_model::target::Target;
use poolproof_stack::Stack;

#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:
  poolproof init http://host:8000                    asks a gateway or model server for its models, and writes target.toml
  poolproof init http://host:8000 -o -               prints the file
  poolproof init --context my-cluster                reads Gateways, routes, pools and pods of a cluster, and changes nothing
  poolproof init http://host --context my-cluster    the same, for the gateway at this address")]
pub(super) struct Args {
    /// URL of the gateway
    #[arg(value_parser = found::url)]
    url: Option<Url>,
    /// The file to write; `-` is standard output
    #[arg(short, long, value_name = "FILE", default_value = "target.toml")]
    output: PathBuf,
    /// Overwrite the file
    #[arg(long)]
    force: bool,
    /// The model to name first [default: the first one that the gateway lists]
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// A context of your kubeconfig: read the Gateway, HTTPRoutes, InferencePools and pods of its cluster
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// With --context: the namespace of routes and pools [default: all]
    #[arg(long, value_name = "NAME", requires = "context")]
    namespace: Option<String>,
    #[command(flatten)]
    access: AccessArgs,
}

pub(super) async fn init(args: Args) -> Result<Exit, Failure> {
    let to_file = args.output != Path::new("-");
    if to_file && !args.force && args.output.exists() {
        let file = args.output.display();
        return Err(Failure::usage(anyhow!(
            "{file} exists: --force overwrites it, -o names another file"
        )));
    }
    let (target, notes) = match (&args.context, &args.url) {
        (Some(context), url) => {
            of_cluster(context, args.namespace.as_deref(), url.as_ref()).await?
        }
        (None, Some(url)) => of_gateway(url, &args).await?,
        (None, None) => {
            let nothing = "name the URL of a gateway, or a cluster with --context NAME";
            return Err(Failure::usage(anyhow!(nothing)));
        }
    };
    let text = target.to_file(&notes)?;
    if !to_file {
        print_line(text.trim_end());
        return Ok(Exit::Passed);
    }
    let what = || format!("-o {}", args.output.display());
    let written = std::fs::write(&args.output, &text).with_context(what);
    written.map_err(Failure::usage)?;
    let file = args.output.display();
    print_line(&format!(
        "target file: {file}\n  poolproof run --target {file}\n  poolproof load steady-chat --target {file}"
    ));
    Ok(Exit::Passed)
}

/// Asks a gateway. Sends one chat of one token.
async fn of_gateway(url: &Url, args: &Args) -> Result<(Target, Vec<String>), Failure> {
    let question = Question {
        url,
        model: args.model.as_deref(),
        access: &args.access,
        may_chat: true,
    };
    let mut target = found::find(question).await?;
    args.access.name_in(&mut target);
    let versions = match speaks_http2(&target, discover::TIMEOUT).await? {
        true => "HTTP/1.1 and HTTP/2 (in a workload: http = \"2\")",
        false => "HTTP/1.1",
    };
    let named = match &target.served_by_header {
        Some(header) => format!("answers name their endpoint in {header}"),
        None => "answers name their endpoint in no header that is known".to_owned(),
    };
    let notes = vec![
        format!("Found by asking {}: it speaks {versions}; {named}.", target.name),
        "Each model has a pool of its own here. Name the real pools and endpoints, so that more cases can run.".to_owned(),
    ];
    Ok((target, notes))
}

/// Reads a cluster. Addresses that only a forward of this process has are left out.
async fn of_cluster(
    context: &str,
    namespace: Option<&str>,
    url: Option<&Url>,
) -> Result<(Target, Vec<String>), Failure> {
    let options = stack::of_existing_cluster(context, namespace, url).map_err(Failure::usage)?;
    let stop = stop_on_signal()?;
    let mut note = |step: &str| eprintln!("{step}");
    let stack = tokio::select! {
        started = Stack::start(&options, &mut note) => started?,
        () = stop.cancelled() => {
            return Err(Failure {
                exit: Exit::Interrupted,
                error: anyhow!("the cluster was not read to its end"),
            });
        }
    };
    let mut target = stack.target.clone();
    stack.stop().await;
    let mut notes = vec![format!("Read from the cluster of context {context}.")];
    let is_forward = |url: &Url| match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        _ => false,
    };
    if url.is_none() && is_forward(&target.url) {
        notes.push(
            "`url`: the Gateway has no address outside of the cluster. Forward a port to it (kubectl port-forward), and write its address here."
                .to_owned(),
        );
    }
    let mut left_out = 0;
    for pool in target.models.iter_mut().flat_map(|model| &mut model.pools) {
        let endpoints = pool.endpoints.iter_mut();
        let urls = endpoints.flat_map(|endpoint| [&mut endpoint.url, &mut endpoint.control]);
        for url in urls.chain([&mut pool.epp_metrics]) {
            if url.take_if(|url| is_forward(url)).is_some() {
                left_out += 1;
            }
        }
    }
    if left_out > 0 {
        notes.push(format!(
            "{left_out} addresses of pods are left out, since they are reached by forwards that end with `init`: `poolproof run --stack cluster --existing --context {context}` makes them itself."
        ));
    }
    let checked = check(&target).map_err(Failure::usage);
    checked.map(|()| (target, notes))
}

/// Fails on a target that a file cannot describe.
fn check(target: &Target) -> Result<()> {
    ensure!(!target.models.is_empty(), "no model was found");
    Ok(())
}
