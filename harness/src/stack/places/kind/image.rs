//! Images of the node: loaded into it from archives, never pulled by it.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use super::create::kind;
use crate::stack::artifacts::Artifacts;
use crate::stack::own_image;
use crate::stack::process::Nursery;

/// vLLM's image has ten gigabytes.
const LOAD_TIMEOUT: Duration = Duration::from_secs(900);

/// Loads an upstream image, unless it is there.
pub(super) async fn load(
    nursery: &Nursery,
    artifacts: &Artifacts,
    name: &str,
    there: &BTreeSet<&str>,
) -> Result<()> {
    let image = artifacts.versions().image(name)?;
    if there.contains(image) {
        return Ok(());
    }
    let archive = artifacts.image(nursery, name).await?;
    let mut command = kind(&["load", "image-archive"]);
    let loading = nursery.start("kind-load", command.arg(&archive))?;
    let loaded = loading.finish(LOAD_TIMEOUT).await;
    loaded.with_context(|| format!("loading image {image} from {}", archive.display()))?;
    Ok(())
}

/// Makes the image with the poolproof program and loads it, unless it is there. Gives its name.
pub(super) async fn load_own(
    nursery: &Nursery,
    program: &Path,
    there: &BTreeSet<&str>,
) -> Result<String> {
    let image = own_image::name(program)?;
    if !there.contains(image.as_str()) {
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

/// The images that nodes say they have.
pub(super) fn names(nodes: &[Value]) -> BTreeSet<&str> {
    let images = nodes
        .iter()
        .filter_map(|node| node["status"]["images"].as_array());
    let names = images
        .flatten()
        .filter_map(|it| it["names"].as_array())
        .flatten();
    names.filter_map(Value::as_str).collect()
}
