//! Images of the node: loaded from archives, never pulled by the node.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::ResourceExt;
use serde::Deserialize;

use super::create::{CLUSTER, kind};
use crate::artifacts::{Artifacts, image_digest};
use crate::kubernetes::Cluster;
use crate::own_image;
use crate::process::ProcessGroup;

/// vLLM's image has ten gigabytes.
const LOAD_TIMEOUT: Duration = Duration::from_secs(900);
const LIST_TIMEOUT: Duration = Duration::from_secs(20);

/// Loads an upstream image unless the node already has the archive's image. Returns whether it was loaded.
pub(super) async fn load(
    group: &ProcessGroup,
    artifacts: &Artifacts,
    name: &str,
    on_node: &BTreeMap<String, String>,
) -> Result<bool> {
    let image = artifacts.versions().image(name)?;
    if on_node.contains_key(image) && !artifacts.has_image(name)? {
        return Ok(false);
    }
    let archive = artifacts.image(group, name).await?;
    let read = archive.clone();
    let digest = tokio::task::spawn_blocking(move || image_digest(&read)).await??;
    if on_node.get(image) == Some(&digest) {
        return Ok(false);
    }
    let mut command = kind(&["load", "image-archive"]);
    let loading = group.start("kind-load", command.arg(&archive))?;
    let loaded = loading.finish(LOAD_TIMEOUT).await;
    loaded.with_context(|| format!("loading image {image} from {}", archive.display()))?;
    Ok(true)
}

/// Maps the names of the node's images to their digests, as its container runtime lists them.
pub(super) async fn on_node(group: &ProcessGroup) -> Result<BTreeMap<String, String>> {
    let node = format!("{CLUSTER}-control-plane");
    let mut list = Command::new("docker");
    list.args(["exec", &node, "crictl", "images", "--output", "json"]);
    let listed = group.start("crictl-images", &list)?;
    let listed = listed.finish(LIST_TIMEOUT).await;
    digests(&listed.context("listing the images of the node")?)
}

/// Maps image names to digests, parsed from the output of `crictl images --output json`.
fn digests(listed: &str) -> Result<BTreeMap<String, String>> {
    #[derive(Deserialize)]
    struct List {
        images: Vec<Image>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Image {
        id: String,
        #[serde(default)]
        repo_tags: Vec<String>,
    }
    let list: List =
        serde_json::from_str(listed).context("crictl images: not the JSON of a list")?;
    let images = list.images.into_iter();
    Ok(images
        .flat_map(|image| {
            let id = image.id;
            image
                .repo_tags
                .into_iter()
                .map(move |tag| (tag, id.clone()))
        })
        .collect())
}

/// Deletes the pods that run an image of this name, so that their controllers restart them with the new image.
pub(super) async fn restart_pods(cluster: &Cluster, image: &str) -> Result<()> {
    for pod in cluster.read_all::<Pod>("", "").await? {
        if runs(&pod, image) {
            let namespace = pod.namespace().unwrap_or_default();
            cluster.kill_pod(&namespace, &pod.name_any()).await?;
        }
    }
    Ok(())
}

fn runs(pod: &Pod, image: &str) -> bool {
    let containers = pod.spec.iter().flat_map(|spec| {
        let first = spec.init_containers.iter().flatten();
        first.chain(&spec.containers)
    });
    let mut images = containers.filter_map(|container| container.image.as_deref());
    images.any(|used| used == image)
}

/// Builds and loads the image with the poolproof program, unless the node has it. Returns its name.
pub(super) async fn load_own(
    group: &ProcessGroup,
    program: &Path,
    there: &BTreeSet<&str>,
) -> Result<String> {
    let image = own_image::name(program)?;
    if !there.contains(image.as_str()) {
        let archive = own_image::archive(group, program, &image).await?;
        let mut command = kind(&["load", "image-archive"]);
        let loading = group.start("kind-load", command.arg(&archive))?;
        let loaded = loading.finish(LOAD_TIMEOUT).await;
        loaded.with_context(|| format!("loading image {image}"))?;
        std::fs::remove_file(&archive)
            .with_context(|| format!("removing {}", archive.display()))?;
    }
    Ok(image)
}

/// The images that nodes report.
pub(super) fn names(nodes: &[Node]) -> BTreeSet<&str> {
    let statuses = nodes.iter().filter_map(|node| node.status.as_ref());
    let images = statuses.flat_map(|status| status.images.iter().flatten());
    let names = images.flat_map(|image| image.names.iter().flatten());
    names.map(String::as_str).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_of_crictl_gives_digests_by_name() {
        let listed = r#"{"images": [
            {"id": "sha256:aa", "repoTags": ["docker.io/a/b:1", "b:1"], "repoDigests": [], "size": "5"},
            {"id": "sha256:bb", "repoDigests": ["c@sha256:dd"]}
        ]}"#;
        let digests = digests(listed).unwrap();
        assert_eq!(digests["docker.io/a/b:1"], "sha256:aa");
        assert_eq!(digests["b:1"], "sha256:aa");
        assert_eq!(digests.len(), 2);
        assert!(super::digests("no images").is_err());
    }
}
