//! The upstream programs: where they are, and how to get those that are missing.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use super::super::parts::Gateway;
use super::{KubeApi, Options};
use crate::stack;

/// An upstream program that is not there.
#[derive(Clone, Debug)]
pub struct Missing {
    /// Its name.
    pub name: &'static str,
    /// What needs it.
    pub needed_for: &'static str,
    /// How to get it.
    pub how: &'static str,
}

const EPP: Missing = Missing {
    name: "epp",
    needed_for: "the endpoint picker of every pool",
    how: "ci/upstream/build",
};
const BBR: Missing = Missing {
    name: "bbr",
    needed_for: "--gateway envoy: lifts the model name into a header",
    how: "ci/upstream/build, or --gateway poolproof",
};
const ENVOY: Missing = Missing {
    name: "envoy",
    needed_for: "--gateway envoy",
    how: "ci/upstream/build, or --gateway poolproof",
};
const KUBE_APISERVER: Missing = Missing {
    name: "kube-apiserver",
    needed_for: "--kube-api real",
    how: "ci/upstream/build --kube-api, or --kube-api stand-in",
};
const ETCD: Missing = Missing {
    name: "etcd",
    needed_for: "--kube-api real",
    how: "the package etcd-server of Debian and Ubuntu, or --kube-api stand-in",
};
const CRDS: Missing = Missing {
    name: "crds",
    needed_for: "--kube-api real: the CRDs of the Gateway API Inference Extension",
    how: "ci/upstream/build --kube-api, or --kube-api stand-in",
};

/// The programs that these options need and that are not there.
pub fn missing(options: &stack::Options) -> Vec<Missing> {
    let mut needed = vec![EPP];
    if options.parts.gateway == Gateway::Envoy {
        needed.extend([BBR, ENVOY]);
    }
    if options.local.kube_api == KubeApi::Real {
        needed.extend([KUBE_APISERVER, ETCD, CRDS]);
    }
    needed.retain(|program| find(&options.local, program.name).is_err());
    needed
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
