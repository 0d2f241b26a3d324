//! The arguments that select a stack, shared by all commands that need one.

use std::ffi::OsStr;
use std::marker::PhantomData;
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow};
use clap::builder::{PossibleValue, PossibleValuesParser, StringValueParser, TypedValueParser};
use clap::{Args, Parser};
use poolproof_fixtures::flaw::Flaw;
use url::Url;

use super::access::AccessArgs;
use poolproof_model::build::{Build, Builds, Choice};
use poolproof_model::parts::{
    Asked, EndpointPicker, Gateway, KubeApi, ModelServer, Named, StackKind,
};
use poolproof_model::target::Target;
use poolproof_model::topology::Topology;
use poolproof_stack::parts::flaws::topology_showing;
use poolproof_stack::parts::{builds, choose};
use poolproof_stack::{ClusterOptions, KindOptions, Options, ProcessOptions};

/// The stack and its parts.
#[derive(Clone, Debug, Args)]
pub(super) struct StackArgs {
    /// The stack
    #[arg(
        help_heading = "Stack",
        long,
        value_parser = named::<StackKind>(),
        default_value = "embedded",
        env = "POOLPROOF_STACK"
    )]
    pub(super) stack: StackKind,
    /// The target file of stack `url`
    #[arg(
        help_heading = "Stack",
        long,
        value_name = "FILE",
        env = "POOLPROOF_TARGET"
    )]
    pub(super) target: Option<PathBuf>,
    #[command(flatten)]
    pub(super) access: AccessArgs,
    /// Topology to start [default: the built-in one]
    #[arg(help_heading = "Stack", long, value_name = "FILE")]
    topology: Option<PathBuf>,
    /// The topology to start if the command line names none.
    #[arg(skip)]
    pub(super) own_topology: Option<Topology>,
    /// The target that was found by asking a URL.
    #[arg(skip)]
    pub(super) found: Option<Target>,
    /// Defect to enable; `poolproof list --flaws` lists them
    #[arg(help_heading = "Stack", long, value_name = "NAME")]
    pub(super) flaw: Option<Flaw>,
    /// Seed of all random choices
    #[arg(help_heading = "Stack", long, value_name = "N", default_value_t = 1)]
    pub(super) seed: u64,
    /// The gateway [default: envoy for stack `local`, agentgateway for containers and clusters]
    #[arg(help_heading = "Parts", long, value_name = "NAME[@VERSION]", value_parser = Built::<Gateway>::new(), env = "POOLPROOF_GATEWAY")]
    gateway: Option<Choice<Gateway>>,
    /// The endpoint picker of each pool [default: gie, except on stack `embedded`]
    #[arg(help_heading = "Parts", long, value_name = "NAME[@VERSION]", value_parser = Built::<EndpointPicker>::new(), env = "POOLPROOF_EPP")]
    epp: Option<Choice<EndpointPicker>>,
    /// The model servers [default: poolproof for stack `local`, llm-d-inference-sim for containers and clusters]
    #[arg(
        help_heading = "Parts",
        long,
        value_name = "NAME[@VERSION]",
        value_parser = Built::<ModelServer>::new(),
        env = "POOLPROOF_MODEL_SERVER"
    )]
    model_server: Option<Choice<ModelServer>>,
    /// Stacks `local` and `containers`: the Kubernetes API that endpoint pickers watch [default: stand-in for `local`, real for `containers`]
    #[arg(help_heading = "Parts", long, value_parser = named::<KubeApi>(), env = "POOLPROOF_KUBE_API")]
    kube_api: Option<KubeApi>,
    /// Stack `local`: folder of the upstream programs [default: the cache that ci/upstream/build fills, then PATH]
    #[arg(
        help_heading = "Parts",
        long,
        value_name = "DIR",
        env = "POOLPROOF_BIN_DIR"
    )]
    bin_dir: Option<PathBuf>,
    /// Stack `kind`: the node image [default: from kind/versions.toml]
    #[arg(
        help_heading = "Cluster",
        long,
        value_name = "IMAGE",
        env = "POOLPROOF_NODE_IMAGE"
    )]
    node_image: Option<String>,
    /// Stack `cluster`: the context in your kubeconfig
    #[arg(
        help_heading = "Cluster",
        long,
        value_name = "NAME",
        env = "POOLPROOF_CONTEXT"
    )]
    context: Option<String>,
    /// Stack `cluster`: namespace of the Gateway, and prefix of the pools' namespaces [default: poolproof; with --existing: all]
    #[arg(
        help_heading = "Cluster",
        long,
        value_name = "NAME",
        env = "POOLPROOF_NAMESPACE"
    )]
    namespace: Option<String>,
    /// Stack `cluster`: use the existing resources and change nothing
    #[arg(help_heading = "Cluster", long, env = "POOLPROOF_EXISTING")]
    existing: bool,
    /// Stack `cluster`: URL of the gateway as seen from here [default: the address in its Gateway, else through the cluster's API]
    #[arg(
        help_heading = "Cluster",
        long,
        value_name = "URL",
        env = "POOLPROOF_GATEWAY_URL"
    )]
    gateway_url: Option<Url>,
    /// Stack `cluster`: a poolproof image that the cluster can pull, for poolproof's own parts
    #[arg(
        help_heading = "Cluster",
        long,
        value_name = "IMAGE",
        env = "POOLPROOF_IMAGE"
    )]
    own_image: Option<String>,
    /// Stacks `containers`, `kind` and `cluster`: folder filled by `poolproof artifacts pull`; charts, definitions and images come only from it
    #[arg(
        help_heading = "Cluster",
        long,
        value_name = "DIR",
        env = "POOLPROOF_ARTIFACTS"
    )]
    artifacts: Option<PathBuf>,
    /// Stack `kind`: keep the cluster for the next run; `poolproof down` removes it
    #[arg(help_heading = "Cluster", long, env = "POOLPROOF_KEEP")]
    keep: bool,
}

impl StackArgs {
    /// Converts the arguments to options. With a target file or a target that was found, the stack is `url`.
    pub(super) fn options(&self) -> Result<Options> {
        let is_url = self.target.is_some() || self.found.is_some();
        self.options_of(match self.stack {
            StackKind::Embedded if is_url => StackKind::Url,
            stack => stack,
        })
    }

    /// Whether the command line names neither a stack nor a target file.
    pub(super) fn is_default(&self) -> bool {
        self.target.is_none() && self.stack == StackKind::Embedded
    }

    /// Takes back the target file and the parts that the environment named. `named` decides by the id of an argument.
    pub(super) fn forget(&mut self, named: impl Fn(&str) -> bool) {
        self.target.take_if(|_| named("target"));
        self.gateway.take_if(|_| named("gateway"));
        self.epp.take_if(|_| named("epp"));
        self.model_server.take_if(|_| named("model_server"));
    }

    /// The same arguments with the default parts.
    pub(super) fn with_default_parts(self) -> Self {
        Self {
            gateway: None,
            epp: None,
            model_server: None,
            ..self
        }
    }

    /// Converts the arguments to options for a stack of this kind.
    pub(super) fn options_of(&self, kind: StackKind) -> Result<Options> {
        let topology = match (&self.topology, &self.own_topology) {
            (Some(file), _) => Topology::load(file)?,
            (None, Some(own)) => own.clone(),
            (None, None) => topology_showing(self.flaw),
        };
        let asked = Asked {
            gateway: self.gateway.as_ref().map(|choice| choice.part),
            epp: self.epp.as_ref().map(|choice| choice.part),
            model_server: self.model_server.as_ref().map(|choice| choice.part),
        };
        let parts = choose(kind, &asked)?;
        let asked = Builds {
            gateway: build_of(&self.gateway),
            epp: build_of(&self.epp),
            model_server: build_of(&self.model_server),
        };
        Ok(Options {
            kind,
            topology,
            target_file: self.target.clone(),
            target: self.found.clone(),
            private: None,
            flaw: self.flaw,
            seed: self.seed,
            access: self.access.read()?,
            wait_ready: self.access.wait_ready(),
            parts,
            builds: builds(kind, parts, &asked)?,
            program: std::env::current_exe().context("finding the poolproof program")?,
            artifacts: self.artifacts.clone(),
            processes: ProcessOptions {
                bin_dir: self.bin_dir.clone(),
                kube_api: self.kube_api.unwrap_or(match kind {
                    StackKind::Containers => KubeApi::Real,
                    _ => KubeApi::StandIn,
                }),
            },
            kind_cluster: KindOptions {
                node_image: self.node_image.clone(),
                keep: self.keep,
            },
            cluster: ClusterOptions {
                context: self.context.clone(),
                namespace: self.namespace.clone(),
                existing: self.existing,
                gateway_url: self.gateway_url.clone(),
                own_image: self.own_image.clone(),
            },
        })
    }
}

/// The options for reading an existing cluster, with the gateway at this URL if there is one.
pub(super) fn of_existing_cluster(
    context: &str,
    namespace: Option<&str>,
    gateway: Option<&Url>,
) -> Result<Options> {
    let mut options = from_env(std::env::current_exe().context("finding the poolproof program")?)?;
    options.kind = StackKind::Cluster;
    options.cluster = ClusterOptions {
        context: Some(context.to_owned()),
        namespace: namespace.map(str::to_owned),
        existing: true,
        gateway_url: gateway.cloned(),
        own_image: None,
    };
    Ok(options)
}

fn build_of<T>(choice: &Option<Choice<T>>) -> Build {
    let build = choice.as_ref().map(|choice| choice.build.clone());
    build.unwrap_or_default()
}

/// Parses `NAME`, `NAME@VERSION` or `NAME@file:PATH`; help lists all names.
#[derive(Clone)]
struct Built<T>(PhantomData<T>);

impl<T> Built<T> {
    fn new() -> Self {
        Self(PhantomData)
    }
}

impl<T: Named + Send + Sync> TypedValueParser for Built<T> {
    type Value = Choice<T>;

    fn parse_ref(
        &self,
        command: &clap::Command,
        argument: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<Choice<T>, clap::Error> {
        let parser = StringValueParser::new().try_map(|text| text.parse::<Choice<T>>());
        parser.parse_ref(command, argument, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let values = T::ALL.iter();
        let values = values.map(|value| PossibleValue::new(value.name()).help(value.summary()));
        Some(Box::new(values))
    }
}

/// Parses a value by name; help lists all values.
fn named<T: Named + Send + Sync>() -> impl TypedValueParser<Value = T> {
    let values = T::ALL.iter();
    let values = values.map(|value| PossibleValue::new(value.name()).help(value.summary()));
    PossibleValuesParser::new(values.collect::<Vec<_>>()).try_map(|name| name.parse::<T>())
}

/// Reads the stack from the environment variables that `--help` lists. Tests use it, since they have no command line.
/// `program` is the poolproof program; a local stack starts its components.
pub fn from_env(program: PathBuf) -> Result<Options> {
    #[derive(Parser)]
    struct Environment {
        #[command(flatten)]
        stack: StackArgs,
    }
    let parsed = Environment::try_parse_from(["poolproof"]).map_err(|error| {
        let text = error.to_string();
        let (message, _usage) = text.split_once("\n\n").unwrap_or((&text, ""));
        anyhow!(message.trim_start_matches("error: ").to_owned()).context("a POOLPROOF_ variable")
    });
    let mut options = parsed?.stack.options()?;
    options.program = program;
    Ok(options)
}
