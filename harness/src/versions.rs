//! Every version that a stack depends on: `kind/versions.toml`, as it was when this program was built.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::Deserialize;

/// What `kind/versions.toml` says about clusters and containers.
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
    /// The node image, where no other is asked for.
    pub node_image: String,
}

/// Something that is published in a version.
#[derive(Clone, Debug, Deserialize)]
pub struct Published {
    /// Its version.
    pub version: String,
    /// Where it is.
    pub url: String,
}

impl Versions {
    /// Reads what was compiled in.
    pub fn load() -> Result<Self> {
        toml::from_str(include_str!("../../kind/versions.toml")).context("kind/versions.toml")
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
        let text: toml::Table = toml::from_str(include_str!("../../kind/versions.toml")).unwrap();
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
