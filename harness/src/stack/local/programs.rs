//! The upstream programs: where they are, and how to get those that are missing.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use super::super::parts::{Gateway, ModelServer};
use super::{KubeApi, Options};
use crate::{stack, versions};

/// An upstream program that is not there.
#[derive(Clone, Debug)]
pub struct Missing {
    /// Its name.
    pub name: &'static str,
    /// What needs it.
    pub needed_for: &'static str,
    /// How to get it.
    pub how: String,
}

/// An upstream program, and what there is to say where it is missing.
#[derive(Clone, Copy)]
struct Program {
    name: &'static str,
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
    needed_for: "the endpoint picker of every pool",
    get: Get::By("ci/upstream/build"),
};
const BBR: Program = Program {
    name: "bbr",
    needed_for: "--gateway envoy: lifts the model name into a header",
    get: Get::By("ci/upstream/build, or --gateway poolproof"),
};
const ENVOY: Program = Program {
    name: "envoy",
    needed_for: "--gateway envoy",
    get: Get::By("ci/upstream/build, or --gateway poolproof"),
};
const AGENTGATEWAY: Program = Program {
    name: "agentgateway",
    needed_for: "--gateway agentgateway",
    get: Get::BuildOr("--gateway poolproof"),
};
const SIM: Program = Program {
    name: "llm-d-inference-sim",
    needed_for: "--model-server llm-d-inference-sim",
    get: Get::BuildOr("--model-server poolproof"),
};
const KUBE_APISERVER: Program = Program {
    name: "kube-apiserver",
    needed_for: "--kube-api real",
    get: Get::By("ci/upstream/build --kube-api, or --kube-api stand-in"),
};
const ETCD: Program = Program {
    name: "etcd",
    needed_for: "--kube-api real",
    get: Get::By("the package etcd-server of Debian and Ubuntu, or --kube-api stand-in"),
};
const CRDS: Program = Program {
    name: "crds",
    needed_for: "--kube-api real: the CRDs of the Gateway API Inference Extension",
    get: Get::By("ci/upstream/build --kube-api, or --kube-api stand-in"),
};

/// The programs that these options need and that are not there.
pub fn missing(options: &stack::Options) -> Vec<Missing> {
    let mut needed = vec![EPP];
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
    needed.retain(|program| find(&options.local, program.name).is_err());
    needed.iter().map(Program::missing).collect()
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
            name: self.name,
            needed_for: self.needed_for,
            how,
        }
    }
}

/// Fails, and says how to get them, if programs are missing.
pub(super) fn check(options: &stack::Options) -> Result<()> {
    let missing = missing(options);
    if missing.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = missing
        .iter()
        .map(|it| format!("{} ({}): {}", it.name, it.needed_for, it.how))
        .collect();
    bail!(
        "programs of the local stack are missing:\n  {}",
        lines.join("\n  ")
    )
}

/// Where a program (or a folder that comes with them) is: in the folder for them, else in `PATH`.
pub(super) fn find(options: &Options, name: &str) -> Result<PathBuf> {
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
mod tests {
    use super::*;

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
