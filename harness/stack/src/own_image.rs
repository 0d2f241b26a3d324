//! The image with the poolproof program: the program, its shared libraries and trusted certificates, without pulling anything. Stacks of
//! containers and clusters use it, and so do users who run poolproof in a container.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::image_archive::{self, Contents};
use super::platform::SYSTEM;
use super::process::ProcessGroup;

const LOAD_TIMEOUT: Duration = Duration::from_secs(120);
const LIBRARIES_TIMEOUT: Duration = Duration::from_secs(20);
/// The path of the program in the image.
pub(crate) const PROGRAM: &str = "/usr/local/bin/poolproof";
/// The label of images that stacks load into the engine, and remove again.
const LABEL: &str = "poolproof.dev/own";
/// The name of the image without a tag.
const REPOSITORY: &str = "docker.io/library/poolproof";
/// The files in which distributions keep the certificates that they trust; in the image, it is the first one.
const TRUSTED: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The name of the image, unique for this build of the program.
pub(crate) fn name(program: &Path) -> Result<String> {
    let describe = || format!("reading {}", program.display());
    let metadata = std::fs::metadata(program).with_context(describe)?;
    let mut start = [0; 4096];
    let read = File::open(program)
        .and_then(|mut it| it.read(&mut start))
        .with_context(describe)?;
    // The linker's build id is in the first page.
    let text = format!(
        "{:?} {} {}",
        &start[..read],
        metadata.len(),
        metadata.mtime_nsec()
    );
    Ok(format!("{REPOSITORY}:{:016x}", super::hash::fnv(&text)))
}

/// Loads the image into the Docker engine. Unused images of other builds are removed.
pub(crate) async fn load(group: &ProcessGroup, program: &Path, image: &str) -> Result<()> {
    let mut prune = Command::new("docker");
    prune.args(["image", "prune", "--all", "--force", "--filter"]);
    prune.arg(format!("label={LABEL}"));
    let pruned = group
        .start("docker-prune", &prune)?
        .finish(LOAD_TIMEOUT)
        .await;
    pruned.context("removing images of poolproof that nothing uses")?;
    let archive = archive(group, program, image).await?;
    let mut load = Command::new("docker");
    load.args(["load", "--input"]).arg(&archive);
    let loaded = group
        .start("docker-load", &load)?
        .finish(LOAD_TIMEOUT)
        .await;
    loaded.context("loading the image of poolproof")?;
    std::fs::remove_file(&archive).with_context(|| format!("removing {}", archive.display()))
}

/// Writes the image for a stack to an archive in the group's folder.
pub(crate) async fn archive(group: &ProcessGroup, program: &Path, image: &str) -> Result<PathBuf> {
    let archive = group.logs.join("image.tar");
    let labels = [(LABEL, "true".to_owned())].into();
    let contents = contents(group, program, labels).await?;
    image_archive::write(&contents, &[image.to_owned()], &archive)?;
    Ok(archive)
}

/// Writes the image of this program to an archive, to be loaded or pushed by the user. It is named after the version and `latest`.
pub async fn write(version: &str, archive: &Path) -> Result<()> {
    ensure!(
        SYSTEM == "linux",
        "the image holds this program, which is for {SYSTEM}: write it on Linux"
    );
    let program = std::env::current_exe().context("finding the poolproof program")?;
    let (group, _folder) = ProcessGroup::in_new_folder(program.clone())?;
    let labels = [
        ("org.opencontainers.image.title", "poolproof".to_owned()),
        ("org.opencontainers.image.version", version.to_owned()),
        ("org.opencontainers.image.licenses", "Apache-2.0".to_owned()),
    ];
    let contents = contents(&group, &program, labels.into()).await?;
    let names = [version, "latest"].map(|tag| format!("{REPOSITORY}:{tag}"));
    if let Some(folder) = archive.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    }
    image_archive::write(&contents, &names, archive)
}

/// The program with its shared libraries, and the certificates that this machine trusts.
async fn contents(
    group: &ProcessGroup,
    program: &Path,
    labels: BTreeMap<&'static str, String>,
) -> Result<Contents> {
    let mut files: BTreeMap<PathBuf, PathBuf> = BTreeMap::new();
    for library in libraries(group, program).await? {
        files.insert(library.strip_prefix("/")?.to_owned(), library);
    }
    files.insert(PROGRAM.trim_start_matches('/').into(), program.to_owned());
    let trusted = TRUSTED.iter().map(Path::new).find(|file| file.exists());
    if let Some(trusted) = trusted {
        files.insert(TRUSTED[0].trim_start_matches('/').into(), trusted.into());
    }
    Ok(Contents {
        folders: vec!["tmp", "work"],
        files,
        entry_point: PROGRAM,
        working_folder: "/work",
        environment: vec!["HOME=/tmp", "PATH=/usr/local/bin"],
        user: "65532",
        labels,
    })
}

/// The shared libraries of a program, including its loader.
async fn libraries(group: &ProcessGroup, program: &Path) -> Result<BTreeSet<PathBuf>> {
    let ldd = group.start("ldd", Command::new("ldd").arg(program))?;
    let output = ldd.finish(LIBRARIES_TIMEOUT).await;
    let output = output.context("asking for the libraries of poolproof")?;
    let words = output.split_whitespace();
    Ok(words
        .filter(|word| word.starts_with('/'))
        .map(PathBuf::from)
        .collect())
}
