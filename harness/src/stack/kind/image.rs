//! Images of the node: loaded into it from archives, never pulled by it.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use super::create::kind;
use crate::stack::artifacts::Artifacts;
use crate::stack::kubernetes::Cluster;
use crate::stack::own_image;
use crate::stack::process::Nursery;

/// vLLM's image has ten gigabytes.
const LOAD_TIMEOUT: Duration = Duration::from_secs(900);

/// Loads an upstream image, unless the node has it.
pub(super) async fn load(
    nursery: &Nursery,
    artifacts: &Artifacts,
    name: &str,
    cluster: &Cluster,
) -> Result<()> {
    let image = artifacts.versions().image(name)?;
    if has(cluster, image).await? {
        return Ok(());
    }
    let archive = artifacts.image(nursery, name).await?;
    let mut command = kind(&["load", "image-archive"]);
    let loading = nursery.start("kind-load", command.arg(&archive))?;
    let loaded = loading.finish(LOAD_TIMEOUT).await;
    loaded.with_context(|| format!("loading image {image} from {}", archive.display()))?;
    Ok(())
}

/// Makes the image with the poolproof program and loads it, unless the node has it. Gives its name.
pub(super) async fn load_own(
    nursery: &Nursery,
    program: &Path,
    cluster: &Cluster,
) -> Result<String> {
    let image = own_image::name(program)?;
    if !has(cluster, &image).await? {
        own_image::make(nursery, program, &image).await?;
        let mut command = kind(&["load", "docker-image"]);
        let loading = nursery.start("kind-load", command.arg(&image))?;
        let loaded = loading.finish(LOAD_TIMEOUT).await;
        let removed = nursery.start("docker-rmi", Command::new("docker").args(["rmi", &image]))?;
        loaded.with_context(|| format!("loading image {image}"))?;
        removed.finish(LOAD_TIMEOUT).await?;
    }
    Ok(image)
}

/// Whether a node says that it has an image.
async fn has(cluster: &Cluster, image: &str) -> Result<bool> {
    let nodes = cluster.list("v1", "Node", "", "").await?;
    let images = nodes
        .iter()
        .filter_map(|node| node["status"]["images"].as_array());
    let names = images
        .flatten()
        .filter_map(|it| it["names"].as_array())
        .flatten();
    let names: BTreeSet<&str> = names.filter_map(Value::as_str).collect();
    Ok(names.contains(image))
}
