//! Custom resource definitions: applied where they are missing, refused where the cluster serves another version.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::cluster::Cluster;
use super::ready::{State, conditions, wait};

const ESTABLISHED_TIMEOUT: Duration = Duration::from_secs(30);
const API_VERSION: &str = "apiextensions.k8s.io/v1";
const KIND: &str = "CustomResourceDefinition";

/// Applies the definitions of a file that the cluster lacks. One that it has must serve every version that the file's serves.
pub(super) async fn apply(cluster: &Cluster, file: &Path) -> Result<()> {
    let text =
        std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    let objects: Vec<Value> = serde_saphyr::from_multiple(&text)
        .with_context(|| format!("{} is not YAML", file.display()))?;
    for object in objects.iter().filter(|it| it["kind"] == KIND) {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        match cluster.get(API_VERSION, KIND, "", name).await? {
            None => cluster.apply(object).await?,
            Some(found) => {
                let served = versions(&found);
                if let Some(missing) = versions(object).iter().find(|it| !served.contains(it)) {
                    bail!(
                        "the cluster serves {name} in version {}, not in {missing}, which {} has: remove or update it first",
                        served.join(", "),
                        file.display()
                    );
                }
            }
        }
    }
    for object in objects.iter().filter(|it| it["kind"] == KIND) {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        wait(
            &format!("definition of {name}"),
            ESTABLISHED_TIMEOUT,
            || async {
                let found = cluster.get(API_VERSION, KIND, "", name).await?;
                Ok(match &found {
                    Some(found) => conditions(Some(found), "/status/conditions", &["Established"]),
                    None => State::NotYet("it is not there".to_owned()),
                })
            },
        )
        .await?;
    }
    Ok(())
}

/// The versions that a definition serves.
fn versions(definition: &Value) -> Vec<&str> {
    let versions = definition["spec"]["versions"].as_array();
    let served = versions
        .into_iter()
        .flatten()
        .filter(|it| it["served"] == true);
    served.filter_map(|it| it["name"].as_str()).collect()
}
