//! Every version that a stack depends on: `kind/versions.toml` at build time.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use poolproof_model::build::{Build, Builds};
use poolproof_model::parts::{Named, Parts};
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

/// A part that has several versions.
#[derive(Clone, Debug, Deserialize)]
pub struct Part {
    /// The default version.
    pub version: String,
    /// All versions. What belongs to one is read by `ci/upstream/build`.
    versions: BTreeMap<String, toml::Table>,
    /// The URL of its source, if it is built from its repository.
    pub repository: Option<String>,
    /// Its images and charts, whose versions are its own.
    #[serde(default)]
    images: Vec<String>,
    #[serde(default)]
    charts: Vec<String>,
}

/// A part by its name on the command line; `None` if it has no versions.
pub fn part(name: &str) -> Result<Option<Part>> {
    let mut file: toml::Table = FILE.parse().context("kind/versions.toml")?;
    let section = file.remove(name);
    let section = section.filter(|section| section.get("versions").is_some());
    let part = section.map(toml::Value::try_into).transpose();
    part.with_context(|| format!("kind/versions.toml: [{name}]"))
}

/// The build that a flag asks for, where the default version is [`Build::Default`]. Fails for an unknown version, with those known.
pub(crate) fn known(flag: &str, name: &str, build: &Build) -> Result<Build> {
    let (part, version) = match (part(name)?, build) {
        (_, Build::Default) => return Ok(Build::Default),
        (Some(_), Build::File(_)) => return Ok(build.clone()),
        (Some(part), Build::Version(version)) => (part, version),
        (None, Build::File(_) | Build::Version(_)) => {
            bail!("{flag} {name}: it has no builds to choose from: give its name alone")
        }
    };
    if *version == part.version {
        return Ok(Build::Default);
    }
    if part.versions.contains_key(version) {
        return Ok(build.clone());
    }
    let all = part.versions.keys().map(|known| {
        if *known == part.version {
            format!("{known} (default)")
        } else {
            known.clone()
        }
    });
    bail!(
        "{flag} {name}@{version}: kind/versions.toml has no such version of {name}: it has {}; {name}@file:PATH takes a program of yours on stack local",
        all.collect::<Vec<_>>().join(", ")
    )
}

impl Versions {
    /// Parses the embedded file.
    pub fn load() -> Result<Self> {
        toml::from_str(FILE).context("kind/versions.toml")
    }

    /// Those of a stack with these parts and builds: the versions of their images and charts replace the default ones.
    pub fn with(parts: Parts, builds: &Builds) -> Result<Self> {
        let mut versions = Self::load()?;
        for (name, build) in [
            (parts.gateway.name(), &builds.gateway),
            (parts.epp.name(), &builds.epp),
            (parts.model_server.name(), &builds.model_server),
        ] {
            if let Build::Version(version) = build {
                let part = part(name)?.with_context(|| format!("{name} has no versions"))?;
                versions.choose(&part, version)?;
            }
        }
        Ok(versions)
    }

    fn choose(&mut self, part: &Part, version: &str) -> Result<()> {
        for name in &part.images {
            let image = self.images.get_mut(name);
            let image =
                image.with_context(|| format!("kind/versions.toml: [images] has no {name}"))?;
            let (repository, tag) = image.rsplit_once(':').context("an image without a tag")?;
            *image = format!("{repository}:{}", tag.replace(&part.version, version));
        }
        for name in &part.charts {
            let chart = self.charts.get_mut(name);
            let chart =
                chart.with_context(|| format!("kind/versions.toml: [charts] has no {name}"))?;
            chart.version = chart.version.replace(&part.version, version);
        }
        Ok(())
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
    use poolproof_model::parts::{EndpointPicker, Gateway, ModelServer, StackKind};

    fn parts() -> BTreeMap<&'static str, Part> {
        let names = Gateway::ALL.iter().map(|it| it.name());
        let names = names.chain(EndpointPicker::ALL.iter().map(|it| it.name()));
        let names = names.chain(ModelServer::ALL.iter().map(|it| it.name()));
        let parts = names.filter_map(|name| Some((name, part(name).unwrap()?)));
        parts.collect()
    }

    #[test]
    fn images_and_charts_have_the_default_versions_of_their_parts() {
        let versions = Versions::load().unwrap();
        for (name, part) in parts() {
            assert!(part.versions.contains_key(&part.version), "{name}");
            for image in &part.images {
                let (_, tag) = versions.image(image).unwrap().rsplit_once(':').unwrap();
                assert!(tag.ends_with(&part.version), "{name}: {image}");
            }
            for chart in &part.charts {
                assert_eq!(versions.charts[chart].version, part.version, "{name}");
            }
        }
        let gie = part("gie").unwrap().unwrap().version;
        assert!(versions.image("bbr").unwrap().ends_with(&gie));
        assert_eq!(versions.crds["inference-extension"].version, gie);
    }

    #[test]
    fn an_unknown_version_is_refused_with_those_known() {
        let asked = Build::Version("1.2.3".to_owned());
        let message = known("--gateway", "envoy", &asked).unwrap_err().to_string();
        for text in ["--gateway envoy@1.2.3", "1.38.3, 1.39.3 (default), 1.40.0"] {
            assert!(message.contains(text), "{message}");
        }
        let message = known("--gateway", "poolproof", &asked).unwrap_err();
        assert!(message.to_string().contains("no builds"), "{message}");
    }

    #[test]
    fn the_default_version_is_the_same_as_none() {
        for (name, part) in parts() {
            let asked = Build::Version(part.version);
            assert_eq!(known("--epp", name, &asked).unwrap(), Build::Default);
        }
    }

    #[test]
    fn a_chosen_version_replaces_that_of_its_images_alone() {
        let of = Parts {
            gateway: Gateway::Envoy,
            ..Parts::default_of(StackKind::Kind)
        };
        let builds = Builds {
            gateway: Build::Version("1.40.0".to_owned()),
            ..Builds::default()
        };
        let (chosen, default) = (
            Versions::with(of, &builds).unwrap(),
            Versions::load().unwrap(),
        );
        let envoy = chosen.image("envoy").unwrap();
        assert_eq!(envoy, "docker.io/envoyproxy/envoy:v1.40.0");
        for image in ["epp", "bbr", "agentgateway"] {
            assert_eq!(chosen.image(image).unwrap(), default.image(image).unwrap());
        }
    }
}
