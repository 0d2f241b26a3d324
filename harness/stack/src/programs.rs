//! The programs of a stack, as local files or in images, and how to get the missing ones.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::artifacts::{Artifacts, Wanted};
use super::containers::{self, Image};
use super::own_image;
use super::process::{Launch, ProcessGroup};
use super::tools::{self, Missing};
use crate::versions;
use poolproof_records::folders;

/// The CRDs of the Gateway API Inference Extension, by their name in `kind/versions.toml`.
const DEFINITIONS: &str = "inference-extension";

/// Where programs come from.
#[derive(Clone, Debug)]
pub(crate) enum Programs {
    /// Files of this machine.
    Files {
        own: PathBuf,
        bin_dir: Option<PathBuf>,
    },
    /// Images, by the names of their programs.
    Images {
        images: BTreeMap<&'static str, Image>,
        definitions: Vec<PathBuf>,
    },
}

impl Programs {
    /// Local files. Fails if needed ones are missing, with a remedy for each.
    pub(crate) fn files(own: &Path, bin_dir: Option<&Path>, needed: &[Program]) -> Result<Self> {
        tools::none_missing("the local stack", &missing(bin_dir, needed))?;
        Ok(Self::Files {
            own: own.to_owned(),
            bin_dir: bin_dir.map(Path::to_owned),
        })
    }

    /// Images of the needed programs; those that the engine lacks are loaded.
    pub(crate) async fn images(
        group: &ProcessGroup,
        own: &Path,
        artifacts: Option<&Path>,
        needed: &[Program],
    ) -> Result<Self> {
        let docker = tools::missing(&[tools::DOCKER]).await;
        tools::none_missing("stack containers", &docker)?;
        containers::remove_strays().await?;
        let artifacts = Artifacts::open(artifacts)?;
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
        let mut images = containers::load(group, &artifacts, &names).await?;
        images.insert(OWN.name, containers::load_own(group, own).await?);
        Ok(Self::Images {
            images,
            definitions,
        })
    }

    /// How to start a program; the caller adds its arguments.
    pub(crate) fn launch(&self, program: &Program) -> Result<Launch> {
        let name = program.name;
        let (image, path) = match self {
            Self::Files { own, .. } if name == OWN.name => (None, own.clone()),
            Self::Files { bin_dir, .. } => (None, find(bin_dir.as_deref(), name)?),
            Self::Images { images, .. } => {
                let image = images.get(name);
                let image = image.with_context(|| format!("no image of {name}"))?;
                (Some(image.name.clone()), program.in_image.into())
            }
        };
        Ok(Launch {
            image,
            command: Command::new(path),
        })
    }

    /// The version that a program prints for this argument, after a space; empty for a program in an image.
    pub(crate) fn version(&self, program: &Program, argument: &str) -> Result<String> {
        let mut launch = self.launch(program)?;
        if launch.image.is_some() {
            return Ok(String::new());
        }
        let output = launch.command.arg(argument).output();
        let output = output.with_context(|| format!("{} {argument}", program.name))?;
        let output = String::from_utf8_lossy(&output.stdout);
        Ok(format!(" {}", output.trim()))
    }

    /// The image of a program, as a suffix of its description; empty for local files.
    pub(crate) fn origin(&self, program: &Program) -> String {
        match self {
            Self::Files { .. } => String::new(),
            Self::Images { images, .. } => match images.get(program.name) {
                Some(image) => format!(" in {} ({})", image.name, image.digest),
                None => String::new(),
            },
        }
    }

    /// The CRD files of the Gateway API Inference Extension.
    pub(crate) fn definitions(&self) -> Result<Vec<PathBuf>> {
        match self {
            Self::Files { bin_dir, .. } => {
                let folder = find(bin_dir.as_deref(), CRDS.name)?;
                let entries = std::fs::read_dir(&folder);
                let entries = entries.with_context(|| format!("reading {}", folder.display()))?;
                entries.map(|entry| Ok(entry?.path())).collect()
            }
            Self::Images { definitions, .. } => Ok(definitions.clone()),
        }
    }
}

/// A program, and the report if it is missing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Program {
    pub(crate) name: &'static str,
    /// Its path in its image.
    pub(crate) in_image: &'static str,
    pub(crate) needed_for: &'static str,
    pub(crate) get: Get,
}

/// How to get a program.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Get {
    /// By this command; after `, or` follows what makes it unnecessary.
    By(&'static str),
    /// Built by the user from its public sources; or as this text describes.
    BuildOr(&'static str),
}

/// poolproof itself; its parts are subcommands.
pub(crate) const OWN: Program = Program {
    name: "poolproof",
    in_image: own_image::PROGRAM,
    needed_for: "every stack",
    get: Get::By("cargo build"),
};
/// The CRDs of the Gateway API Inference Extension: a folder that comes with the programs.
pub(crate) const CRDS: Program = Program {
    name: "crds",
    in_image: "",
    needed_for: "--kube-api real: the CRDs of the Gateway API Inference Extension",
    get: Get::By("ci/upstream/build --kube-api, or --kube-api stand-in"),
};

/// The missing ones among the needed programs.
pub(crate) fn missing(bin_dir: Option<&Path>, needed: &[Program]) -> Vec<Missing> {
    let missing = needed.iter();
    let missing = missing.filter(|program| find(bin_dir, program.name).is_err());
    missing.map(Program::missing).collect()
}

impl Program {
    pub(crate) fn missing(&self) -> Missing {
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
        let (mend, _) = how.split_once(", or ").unwrap_or((&how, ""));
        Missing {
            name: self.name.into(),
            why: self.needed_for.to_owned(),
            mend: mend.to_owned(),
            how,
        }
    }
}

/// The path of a program (or of a folder that comes with them): in their folder, otherwise in `PATH`.
fn find(bin_dir: Option<&Path>, name: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = folder(bin_dir)
        .into_iter()
        .chain(std::env::split_paths(&path));
    let mut candidates = folders.map(|folder| folder.join(name));
    candidates
        .find(|candidate| candidate.exists())
        .with_context(|| format!("{name} is missing"))
}

/// The folder that `ci/upstream/build` fills.
fn folder(bin_dir: Option<&Path>) -> Option<PathBuf> {
    match bin_dir {
        Some(folder) => Some(folder.to_owned()),
        None => Some(folders::cache().ok()?.join("bin")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const EPP: Program = Program {
        name: "epp",
        in_image: "/epp",
        needed_for: "tests",
        get: Get::By("tests"),
    };

    #[test]
    fn a_program_of_an_image_is_started_by_its_path_there() {
        let image = |name: &str| Image {
            name: name.to_owned(),
            digest: "sha256:0".to_owned(),
        };
        let programs = Programs::Images {
            images: [("epp", image("example/epp:v1")), (OWN.name, image("own:1"))].into(),
            definitions: Vec::new(),
        };
        for (program, image, path) in [
            (EPP, "example/epp:v1", "/epp"),
            (OWN, "own:1", own_image::PROGRAM),
        ] {
            let launch = programs.launch(&program).unwrap();
            assert_eq!(launch.image.as_deref(), Some(image));
            assert_eq!(launch.command.get_program(), path);
        }
        assert_eq!(programs.origin(&EPP), " in example/epp:v1 (sha256:0)");
        let missing = programs.launch(&CRDS).unwrap_err().to_string();
        assert_eq!(missing, "no image of crds");
    }

    #[test]
    fn the_command_that_gets_a_program_is_apart_from_what_makes_it_unnecessary() {
        let program = Program {
            get: Get::By("ci/get it, or --without it"),
            ..EPP
        };
        let missing = program.missing();
        assert_eq!(missing.mend, "ci/get it");
        assert_eq!(missing.how, "ci/get it, or --without it");
    }

    #[test]
    fn a_missing_program_that_must_be_built_is_named_with_its_source_and_version() {
        for name in ["agentgateway", "llm-d-inference-sim"] {
            let program = Program {
                name,
                get: Get::BuildOr("tests"),
                ..EPP
            };
            let how = program.missing().how;
            assert!(
                how.contains("https://github.com/") && how.contains(" at v"),
                "{how}"
            );
        }
    }
}
