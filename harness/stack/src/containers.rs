//! The Docker engine of a stack of containers: loading images, and removing leftover containers.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::artifacts::Artifacts;
use super::own_image;
use super::process::{PID_LABEL, ProcessGroup, RUN_LABEL, is_alive};

const LOAD_TIMEOUT: Duration = Duration::from_secs(120);
const PROGRAM_TIMEOUT: Duration = Duration::from_secs(20);

/// An image in the engine.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    /// Its name for containers.
    pub(crate) name: String,
    /// Its digest if it was pulled, otherwise its id.
    pub(crate) digest: String,
}

/// Loads those images of `kind/versions.toml` that the engine lacks. The engine never pulls.
pub(crate) async fn load(
    group: &ProcessGroup,
    artifacts: &Artifacts,
    names: &[&'static str],
) -> Result<BTreeMap<&'static str, Image>> {
    let mut images = BTreeMap::new();
    for name in names {
        let image = artifacts.versions().image(name)?;
        let loaded = have(group, image, async || {
            let archive = artifacts.image(group, name).await?;
            let mut load = docker(&["load", "--input"]);
            let loading = group.start("docker-load", load.arg(&archive))?;
            let loaded = loading.finish(LOAD_TIMEOUT).await;
            loaded.with_context(|| format!("loading image {image} from {}", archive.display()))?;
            Ok(())
        });
        images.insert(*name, loaded.await?);
    }
    Ok(images)
}

/// Loads the image of this program if the engine lacks it, and removes unused images of other builds.
pub(crate) async fn load_own(group: &ProcessGroup, program: &Path) -> Result<Image> {
    let image = own_image::name(program)?;
    have(group, &image, async || {
        own_image::load(group, program, &image).await
    })
    .await
}

/// The image of this name, which is loaded first if the engine lacks it.
async fn have(
    group: &ProcessGroup,
    image: &str,
    bring: impl AsyncFnOnce() -> Result<()>,
) -> Result<Image> {
    let digest = match digest(group, image).await {
        Ok(digest) => digest,
        Err(_) => {
            bring().await?;
            let brought = digest(group, image).await;
            brought.with_context(|| format!("image {image}"))?
        }
    };
    Ok(Image {
        name: image.to_owned(),
        digest,
    })
}

async fn digest(group: &ProcessGroup, image: &str) -> Result<String> {
    const FORMAT: &str = "{{if .RepoDigests}}{{index .RepoDigests 0}}{{else}}{{.Id}}{{end}}";
    let inspect = docker(&["image", "inspect", "--format", FORMAT, image]);
    let output = group.start("docker-image", &inspect)?;
    let output = output.finish(PROGRAM_TIMEOUT).await?;
    let (_, digest) = output.trim().rsplit_once("sha256:").context("no digest")?;
    Ok(format!("sha256:{digest}"))
}

/// The containers of a run. Dropping it removes the remaining ones, including one whose start was abandoned half-way.
#[derive(Debug)]
pub(crate) struct Containers {
    run: String,
}

impl Containers {
    /// The containers of this group's run.
    pub(crate) fn of(group: &ProcessGroup) -> Result<Self> {
        let run = group.run()?.to_owned();
        Ok(Self { run })
    }
}

impl Drop for Containers {
    fn drop(&mut self) {
        let filter = format!("label={RUN_LABEL}={}", self.run);
        let removed = list(&filter, "{{.ID}}").and_then(|ids| remove(&ids));
        if let Err(error) = removed {
            tracing::error!("removing the containers of this run: {error:#}");
        }
    }
}

/// Removes the containers of killed runs. Returns their number.
pub async fn remove_strays() -> Result<usize> {
    // The docker program is slow, and the calls block: `Drop` shares them and may run without a runtime.
    tokio::task::spawn_blocking(remove_strays_now)
        .await
        .context("removing containers of runs that were killed")?
}

fn remove_strays_now() -> Result<usize> {
    let format = format!("{{{{.ID}}}} {{{{.Label \"{PID_LABEL}\"}}}}");
    let lines = list(&format!("label={PID_LABEL}"), &format)?;
    let strays = lines.iter().filter_map(|line| {
        let (id, pid) = line.split_once(' ')?;
        let lives = pid.parse().is_ok_and(is_alive);
        (!lives).then(|| id.to_owned())
    });
    let strays: Vec<String> = strays.collect();
    remove(&strays)?;
    Ok(strays.len())
}

fn list(filter: &str, format: &str) -> Result<Vec<String>> {
    let mut list = docker(&["ps", "--all", "--filter", filter, "--format", format]);
    // Without an engine there are no containers.
    let Ok(output) = list.output() else {
        return Ok(Vec::new());
    };
    let output = String::from_utf8_lossy(&output.stdout);
    Ok(output.lines().map(str::to_owned).collect())
}

fn remove(ids: &[String]) -> Result<()> {
    if !ids.is_empty() {
        let mut remove = docker(&["rm", "--force", "--volumes"]);
        remove.args(ids).output().context("docker rm")?;
    }
    Ok(())
}

fn docker(args: &[&str]) -> Command {
    let mut command = Command::new("docker");
    command.args(args);
    command
}
