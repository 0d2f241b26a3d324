//! Every version that a stack depends on: `kind/versions.toml` at build time.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::Deserialize;

const FILE: &str = include_str!("../../../kind/versions.toml");

/// The content of `kind/versions.toml` about clusters and containers.
#[derive(Clone, Debug, Deserialize)]
pub struct Versions {
    /// The kind cluster.
    pub kind: Kind,
    /// Files of custom resource definitions, by name.
    pub crds: BTreeMap<String, Published>,
    /// Helm charts, by name.
    pub charts: BTreeMap<String, Published>,
    /// Images, by name, as containers name them.
    pub images: BTreeMap<String, String>,
}

/// The kind cluster.
#[derive(Clone, Debug, Deserialize)]
pub struct Kind {
    /// The version of the program.
    pub version: String,
    /// The default node image.
    pub node_image: String,
}

/// A published artifact with a version.
#[derive(Clone, Debug, Deserialize)]
pub struct Published {
    /// Its version.
    pub version: String,
    /// Its URL.
    pub url: String,
}

/// A program that is built from its repository.
#[derive(Clone, Debug, Deserialize)]
pub struct Source {
    /// Its URL.
    pub repository: String,
    /// The required version.
    pub version: String,
}

/// The source of a program, by the name of its section.
pub fn source(program: &str) -> Result<Source> {
    let file: toml::Table = FILE.parse().context("kind/versions.toml")?;
    let section = file.get(program).context("no such section");
    let source =
        section.and_then(|section| section.clone().try_into::<Source>().map_err(Into::into));
    source.with_context(|| format!("kind/versions.toml: [{program}]"))
}

impl Versions {
    /// Parses the embedded file.
    pub fn load() -> Result<Self> {
        toml::from_str(FILE).context("kind/versions.toml")
    }

    /// The image of this name.
    pub fn image(&self, name: &str) -> Result<&str> {
        let image = self.images.get(name);
        Ok(image.with_context(|| format!("kind/versions.toml: [images] has no {name}"))?)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn images_and_charts_name_the_versions_of_their_sections() {
        let text: toml::Table = toml::from_str(FILE).unwrap();
        let versions = Versions::load().unwrap();
        let gie = text["gateway-api-inference-extension"]["version"].as_str();
        for image in ["epp", "bbr"] {
            let (_, tag) = versions.image(image).unwrap().rsplit_once(':').unwrap();
            assert_eq!(Some(tag), gie);
        }
        assert_eq!(Some(versions.charts["inferencepool"].version.as_str()), gie);
        assert_eq!(
            Some(versions.crds["inference-extension"].version.as_str()),
            gie
        );
    }
}
