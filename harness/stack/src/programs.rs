//! The programs of a stack, as local files or in images, and how to get the missing ones.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::artifacts::{Artifacts, Wanted};
use super::containers::{self, Image};
use super::own_image;
use super::process::{Launch, ProcessGroup};
use super::tools::{self, Missing};
use crate::options::Options;
use crate::{parts, versions};
use poolproof_model::build::Build;
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
        chosen: Chosen,
    },
    /// Images, by the names of their programs.
    Images {
        images: BTreeMap<&'static str, Image>,
        definitions: Vec<PathBuf>,
    },
}

/// The builds of programs that are not of the default version, by the name of the program: the name of the part, and the build.
pub(crate) type Chosen = BTreeMap<&'static str, (&'static str, Build)>;

impl Programs {
    /// Local files of a stack with these options. Fails if needed ones are missing, with a remedy for each.
    pub(crate) fn files(options: &Options, needed: &[Program]) -> Result<Self> {
        tools::none_missing("the local stack", &missing(options, needed))?;
        Ok(Self::Files {
            own: options.program.clone(),
            bin_dir: options.processes.bin_dir.clone(),
            chosen: parts::chosen(options.parts, &options.builds),
        })
    }

    /// This program alone: parts of poolproof's own need no other.
    pub(crate) fn own(program: &Path) -> Self {
        Self::Files {
            own: program.to_owned(),
            bin_dir: None,
            chosen: Chosen::new(),
        }
    }

    /// Images of the needed programs; those that the engine lacks are loaded.
    pub(crate) async fn images(
        group: &ProcessGroup,
        options: &Options,
        needed: &[Program],
    ) -> Result<Self> {
        let docker = tools::missing(&[tools::DOCKER]).await;
        tools::none_missing("stack containers", &docker)?;
        containers::remove_strays().await?;
        let artifacts = Artifacts::of(options)?;
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
        let own = containers::load_own(group, &options.program).await?;
        images.insert(OWN.name, own);
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
            Self::Files {
                bin_dir, chosen, ..
            } => (None, file(bin_dir.as_deref(), chosen, name)?),
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

    /// The wanted version of a part that does not report its own; `None` for a file of the user.
    pub(crate) fn wanted(&self, part: &str, program: &Program) -> Result<Option<String>> {
        if let Self::Files { chosen, .. } = self
            && let Some((_, build)) = chosen.get(program.name)
        {
            match build {
                Build::File(_) => return Ok(None),
                Build::Version(version) => return Ok(Some(version.clone())),
                Build::Default => {}
            }
        }
        Ok(versions::part(part)?.map(|part| part.version))
    }

    /// The image of a program, as a suffix of its description; empty for local files that are not the user's own.
    pub(crate) fn origin(&self, program: &Program) -> String {
        match self {
            Self::Files { chosen, .. } => match chosen.get(program.name) {
                Some((_, Build::File(_))) => " (a file of the user)".to_owned(),
                _ => String::new(),
            },
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

/// The missing ones among the programs that a stack with these options needs.
pub(crate) fn missing(options: &Options, needed: &[Program]) -> Vec<Missing> {
    let bin_dir = options.processes.bin_dir.as_deref();
    let chosen = parts::chosen(options.parts, &options.builds);
    let missing = needed.iter();
    let missing = missing.filter(|program| file(bin_dir, &chosen, program.name).is_err());
    missing
        .map(|program| program.missing(chosen.get(program.name)))
        .collect()
}

impl Program {
    fn missing(&self, chosen: Option<&(&str, Build)>) -> Missing {
        let (name, how) = match (chosen, self.get) {
            (Some((_, Build::File(path))), _) => (
                path.display().to_string(),
                "give the path of a program that exists".to_owned(),
            ),
            (Some((part, Build::Version(version))), Get::By(_)) => (
                format!("{}@{version}", self.name),
                format!("ci/upstream/build {part}@{version}"),
            ),
            (_, Get::By(words)) => (self.name.to_owned(), words.to_owned()),
            (chosen, Get::BuildOr(words)) => {
                let version = match chosen {
                    Some((_, Build::Version(version))) => Some(version.as_str()),
                    _ => None,
                };
                let name = version.map_or_else(
                    || self.name.to_owned(),
                    |version| format!("{}@{version}", self.name),
                );
                let part = versions::part(self.name).ok().flatten();
                let from = part.and_then(|part| {
                    let version = version.unwrap_or(&part.version);
                    Some(format!("{} at {version}", part.repository.as_ref()?))
                });
                let from = from.unwrap_or_else(|| "its public sources".to_owned());
                let how = format!(
                    "build it from {from} and put it as {name} into the folder of --bin-dir or into PATH; or {words}"
                );
                (name, how)
            }
        };
        let (mend, _) = how.split_once(", or ").unwrap_or((&how, ""));
        Missing {
            name: name.into(),
            why: self.needed_for.to_owned(),
            mend: mend.to_owned(),
            how,
        }
    }
}

/// The path of a program: of its chosen build, otherwise of the default version.
fn file(bin_dir: Option<&Path>, chosen: &Chosen, name: &str) -> Result<PathBuf> {
    match chosen.get(name) {
        Some((_, Build::File(path))) => {
            ensure!(path.is_file(), "{} is missing", path.display());
            Ok(std::path::absolute(path)?)
        }
        Some((_, Build::Version(version))) => find(bin_dir, &format!("{name}@{version}")),
        Some((_, Build::Default)) | None => find(bin_dir, name),
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
        let missing = program.missing(None);
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
            let how = program.missing(None).how;
            assert!(
                how.contains("https://github.com/") && how.contains(" at v"),
                "{how}"
            );
            let chosen = Build::Version("v9".to_owned());
            let missing = program.missing(Some(&(name, chosen)));
            assert!(missing.how.contains(" at v9 "), "{}", missing.how);
            assert_eq!(missing.name, format!("{name}@v9"));
        }
    }

    #[test]
    fn a_chosen_build_is_never_taken_from_a_program_without_a_version() {
        let folder = tempfile::tempdir().unwrap();
        let there = |name: &str| std::fs::write(folder.path().join(name), "").unwrap();
        let path = |build| {
            let chosen = [("epp", ("gie", build))].into();
            file(Some(folder.path()), &chosen, "epp")
        };
        there("epp");
        let chosen = || Build::Version("v9".to_owned());
        assert!(path(chosen()).is_err());
        assert_eq!(path(Build::Default).unwrap(), folder.path().join("epp"));
        there("epp@v9");
        assert_eq!(path(chosen()).unwrap(), folder.path().join("epp@v9"));
        let own = folder.path().join("own");
        assert!(path(Build::File(own.clone())).is_err());
        there("own");
        assert_eq!(path(Build::File(own.clone())).unwrap(), own);
    }
}
