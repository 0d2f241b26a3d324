//! The versions that `kind/versions.toml` asks for, for programs that are built by whoever wants them.

use anyhow::{Context, Result};
use serde::Deserialize;

const FILE: &str = include_str!("../../../../kind/versions.toml");

/// A program that is built from its repository.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Source {
    pub(super) repository: String,
    pub(super) version: String,
}

/// Where a program comes from, by the name of its section.
pub(super) fn source(program: &str) -> Result<Source> {
    let file: toml::Table = FILE.parse().context("kind/versions.toml")?;
    let section = file.get(program).context("no such section");
    let source = section.and_then(|it| it.clone().try_into::<Source>().map_err(Into::into));
    source.with_context(|| format!("kind/versions.toml: [{program}]"))
}
