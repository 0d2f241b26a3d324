//! Custom resource definitions: missing ones are applied, conflicting versions refused.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures_util::FutureExt;
use serde_json::Value;

use super::cluster::{Cluster, text};
use super::ready::{State, conditions, wait};

const SERVED_TIMEOUT: Duration = Duration::from_secs(30);
const API_VERSION: &str = "apiextensions.k8s.io/v1";
const KIND: &str = "CustomResourceDefinition";

/// Applies those definitions of a file that the cluster lacks. An existing definition must serve every version that the
/// file's serves.
pub(crate) async fn apply(cluster: &Cluster, file: &Path) -> Result<()> {
    let yaml =
        std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    let objects: Vec<Value> = serde_saphyr::from_multiple(&yaml)
        .with_context(|| format!("{} is not YAML", file.display()))?;
    let definitions = || objects.iter().filter(|object| object["kind"] == KIND);
    for object in definitions() {
        let name = text(object, "/metadata/name");
        match cluster.get(API_VERSION, KIND, "", name).await? {
            None => cluster.apply(object).await?,
            Some(found) => {
                let served = versions(&found);
                if let Some(missing) = versions(object)
                    .iter()
                    .find(|version| !served.contains(version))
                {
                    bail!(
                        "the cluster serves {name} in version {}, not in {missing}, which {} has: remove or update it first",
                        served.join(", "),
                        file.display()
                    );
                }
            }
        }
    }
    for object in definitions() {
        let name = text(object, "/metadata/name");
        let is_served = || served(cluster, object, name).boxed();
        wait(&format!("definition of {name}"), SERVED_TIMEOUT, &is_served).await?;
    }
    Ok(())
}

/// Whether a definition is established and its kind is served in all versions; the second follows shortly after the
/// first.
async fn served(cluster: &Cluster, definition: &Value, name: &str) -> Result<State> {
    let found = cluster.get(API_VERSION, KIND, "", name).await?;
    let state = conditions(found.as_ref(), "/status/conditions", &["Established"]);
    if let State::NotYet(_) = state {
        return Ok(state);
    }
    let group = text(definition, "/spec/group");
    for version in versions(definition) {
        let api_version = format!("{group}/{version}");
        if !cluster
            .serves(&api_version, text(definition, "/spec/names/kind"))
            .await
        {
            return Ok(State::NotYet(format!("{api_version} is not served")));
        }
    }
    Ok(State::Ready)
}

/// The versions that a definition serves.
fn versions(definition: &Value) -> Vec<&str> {
    let versions = definition["spec"]["versions"].as_array();
    let served = versions
        .into_iter()
        .flatten()
        .filter(|version| version["served"] == true);
    served
        .filter_map(|version| version["name"].as_str())
        .collect()
}
