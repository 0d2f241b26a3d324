//! The programs that a stack is made of: files of this machine, or what images have; and how to get those that are missing.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use super::super::artifacts::{Artifacts, Wanted};
use super::super::containers::{self, Image};
use super::super::own_image;
use super::super::parts::{EndpointPicker, Gateway, ModelServer};
use super::super::process::{Launch, Nursery};
use super::super::tools::{self, Missing};
use super::{KubeApi, Options};
use crate::stack::StackKind;
use crate::{stack, versions};

/// The name of poolproof's own program.
pub(super) const OWN: &str = "poolproof";
/// The definitions of the Gateway API Inference Extension, by the name that `kind/versions.toml` has for them.
const DEFINITIONS: &str = "inference-extension";

/// Where programs come from.
#[derive(Clone, Debug)]
pub(super) enum Programs {
    /// Files of this machine.
    Files { own: PathBuf, options: Options },
    /// Images, by the names of their programs.
    Images {
        images: BTreeMap<&'static str, Image>,
        definitions: Vec<PathBuf>,
    },
}

impl Programs {
    /// Those that these options need. Fails, and says how to get them, if some are missing.
    pub(super) async fn of(options: &stack::Options, nursery: &Nursery) -> Result<Self> {
        if options.kind != StackKind::Containers {
            tools::none_missing("the local stack", &missing(options))?;
            return Ok(Self::Files {
                own: options.program.clone(),
                options: options.local.clone(),
            });
        }
        let docker = tools::missing(&[tools::DOCKER]).await;
        tools::none_missing("stack containers", &docker)?;
        containers::remove_strays().await?;
        let artifacts = Artifacts::open(options.local.artifacts.as_deref())?;
        let needed = needed(options);
        let mut names: Vec<_> = needed.iter().map(|program| program.name).collect();
        let (mut definitions, mut wanted) = (Vec::new(), Wanted::default());
        if let Some(place) = names.iter().position(|name| *name == CRDS.name) {
            names.remove(place);
            wanted.crds.push(DEFINITIONS);
        }
        wanted.images = names.clone();
        tools::none_missing("stack containers", &artifacts.missing(&wanted)?)?;
        for name in &wanted.crds {
            definitions.push(artifacts.crds(name).await?);
        }
        let mut images = containers::load(nursery, &artifacts, &names).await?;
        images.insert(OWN, containers::load_own(nursery, &options.program).await?);
        Ok(Self::Images {
            images,
            definitions,
        })
    }

    /// How a program is started; its arguments are for the caller to add.
    pub(super) fn launch(&self, name: &str) -> Result<Launch> {
        let (image, program) = match self {
            Self::Files { own, .. } if name == OWN => (None, own.clone()),
            Self::Files { options, .. } => (None, find(options, name)?),
            Self::Images { images, .. } => {
                let image = images
                    .get(name)
                    .with_context(|| format!("no image of {name}"))?;
                let known = ALL.iter().find(|program| program.name == name);
                let path = known.map_or(own_image::PROGRAM, |program| program.in_image);
                (Some(image.name.clone()), path.into())
            }
        };
        Ok(Launch {
            image,
            command: Command::new(program),
        })
    }

    /// What a program says of its version when it is asked by this argument, behind a blank; nothing of one that is in an image.
    pub(super) fn version(&self, name: &str, argument: &str) -> Result<String> {
        let mut launch = self.launch(name)?;
        if launch.image.is_some() {
            return Ok(String::new());
        }
        let said = launch.command.arg(argument).output();
        let said = said.with_context(|| format!("{name} {argument}"))?;
        let said = String::from_utf8_lossy(&said.stdout);
        Ok(format!(" {}", said.trim()))
    }

    /// The image that a program is in, to be added to what it is; of files nothing.
    pub(super) fn origin(&self, name: &str) -> String {
        match self {
            Self::Files { .. } => String::new(),
            Self::Images { images, .. } => match images.get(name) {
                Some(image) => format!(" in {} ({})", image.name, image.digest),
                None => String::new(),
            },
        }
    }

    /// The files of the definitions of the Gateway API Inference Extension.
    pub(super) fn definitions(&self) -> Result<Vec<PathBuf>> {
        match self {
            Self::Files { options, .. } => {
                let folder = find(options, CRDS.name)?;
                let entries = std::fs::read_dir(&folder);
                let entries = entries.with_context(|| format!("reading {}", folder.display()))?;
                entries.map(|entry| Ok(entry?.path())).collect()
            }
            Self::Images { definitions, .. } => Ok(definitions.clone()),
        }
    }
}

/// An upstream program, and what there is to say where it is missing.
#[derive(Clone, Copy)]
struct Program {
    name: &'static str,
    /// Where its image has it.
    in_image: &'static str,
    needed_for: &'static str,
    get: Get,
}

/// How a program is had.
#[derive(Clone, Copy)]
enum Get {
    /// In these words.
    By(&'static str),
    /// Built from its public sources, by whoever wants it; or these words.
    BuildOr(&'static str),
}

const EPP: Program = Program {
    name: "epp",
    in_image: "/epp",
    needed_for: "the endpoint picker of every pool",
    get: Get::By("ci/upstream/build"),
};
const BBR: Program = Program {
    name: "bbr",
    in_image: "/bbr",
    needed_for: "--gateway envoy: lifts the model name into a header",
    get: Get::By("ci/upstream/build, or --gateway poolproof"),
};
const ENVOY: Program = Program {
    name: "envoy",
    in_image: "/usr/local/bin/envoy",
    needed_for: "--gateway envoy",
    get: Get::By("ci/upstream/build, or --gateway poolproof"),
};
const AGENTGATEWAY: Program = Program {
    name: "agentgateway",
    in_image: "/app/agentgateway",
    needed_for: "--gateway agentgateway",
    get: Get::BuildOr("--gateway poolproof"),
};
const SIM: Program = Program {
    name: "llm-d-inference-sim",
    in_image: "/app/llm-d-inference-sim",
    needed_for: "--model-server llm-d-inference-sim",
    get: Get::BuildOr("--model-server poolproof"),
};
const KUBE_APISERVER: Program = Program {
    name: "kube-apiserver",
    in_image: "/usr/local/bin/kube-apiserver",
    needed_for: "--kube-api real",
    get: Get::By("ci/upstream/build --kube-api, or --kube-api stand-in"),
};
const ETCD: Program = Program {
    name: "etcd",
    in_image: "/usr/local/bin/etcd",
    needed_for: "--kube-api real",
    get: Get::By("the package etcd-server of Debian and Ubuntu, or --kube-api stand-in"),
};
const CRDS: Program = Program {
    name: "crds",
    in_image: "",
    needed_for: "--kube-api real: the CRDs of the Gateway API Inference Extension",
    get: Get::By("ci/upstream/build --kube-api, or --kube-api stand-in"),
};

const ALL: [Program; 8] = [
    EPP,
    BBR,
    ENVOY,
    AGENTGATEWAY,
    SIM,
    KUBE_APISERVER,
    ETCD,
    CRDS,
];

/// The programs that these options need and that are not there.
pub fn missing(options: &stack::Options) -> Vec<Missing> {
    let mut needed = needed(options);
    needed.retain(|program| find(&options.local, program.name).is_err());
    needed.iter().map(Program::missing).collect()
}

/// The upstream programs that these options need.
fn needed(options: &stack::Options) -> Vec<Program> {
    let mut needed = Vec::new();
    if options.parts.epp == EndpointPicker::Gie {
        needed.push(EPP);
    }
    match options.parts.gateway {
        Gateway::Agentgateway => needed.push(AGENTGATEWAY),
        Gateway::Envoy => needed.extend([BBR, ENVOY]),
        Gateway::Poolproof => {}
    }
    if options.parts.model_server == ModelServer::LlmDInferenceSim {
        needed.push(SIM);
    }
    if options.local.kube_api == KubeApi::Real {
        needed.extend([KUBE_APISERVER, ETCD, CRDS]);
    }
    needed
}

impl Program {
    fn missing(&self) -> Missing {
        let how = match self.get {
            Get::By(words) => words.to_owned(),
            Get::BuildOr(words) => {
                let from = match versions::source(self.name) {
                    Ok(source) => format!("{} at {}", source.repository, source.version),
                    Err(_) => "its public sources".to_owned(),
                };
                format!(
                    "build it from {from} and put it into the folder of --bin-dir or into PATH; or {words}"
                )
            }
        };
        Missing {
            name: self.name.into(),
            why: self.needed_for.to_owned(),
            how,
        }
    }
}

/// Where a program (or a folder that comes with them) is: in the folder for them, else in `PATH`.
fn find(options: &Options, name: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = folder(options)
        .into_iter()
        .chain(std::env::split_paths(&path));
    let mut candidates = folders.map(|folder| folder.join(name));
    candidates
        .find(|candidate| candidate.exists())
        .with_context(|| format!("{name} is not there"))
}

/// The folder that `ci/upstream/build` fills.
fn folder(options: &Options) -> Option<PathBuf> {
    match &options.bin_dir {
        Some(folder) => Some(folder.clone()),
        None => Some(crate::folders::cache().ok()?.join("bin")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_program_of_an_image_is_started_by_its_path_there() {
        let image = |name: &str| Image {
            name: name.to_owned(),
            digest: "sha256:0".to_owned(),
        };
        let programs = Programs::Images {
            images: [("epp", image("example/epp:v1")), (OWN, image("own:1"))].into(),
            definitions: Vec::new(),
        };
        for (name, image, path) in [
            ("epp", "example/epp:v1", "/epp"),
            (OWN, "own:1", own_image::PROGRAM),
        ] {
            let launch = programs.launch(name).unwrap();
            assert_eq!(launch.image.as_deref(), Some(image));
            assert_eq!(launch.command.get_program(), path);
        }
        assert_eq!(programs.origin("epp"), " in example/epp:v1 (sha256:0)");
        let missing = programs.launch("envoy").unwrap_err().to_string();
        assert_eq!(missing, "no image of envoy");
    }

    #[test]
    fn what_is_to_be_built_is_said_with_its_version() {
        for program in [AGENTGATEWAY, SIM] {
            let how = program.missing().how;
            assert!(
                how.contains("https://github.com/") && how.contains(" at v"),
                "{how}"
            );
        }
    }
}
