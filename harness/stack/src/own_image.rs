//! The image with the poolproof program, built from the program and its shared libraries without pulling anything.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::process::ProcessGroup;

const IMPORT_TIMEOUT: Duration = Duration::from_secs(120);
/// The path of the program in the image.
pub(crate) const PROGRAM: &str = "/usr/local/bin/poolproof";
/// The label of our images in the engine.
const LABEL: &str = "poolproof.dev/own";
/// A numeric user: clusters that forbid root cannot verify a name.
const USER: &str = "65532";

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
    Ok(format!(
        "docker.io/library/poolproof:{:016x}",
        super::hash::fnv(&text)
    ))
}

/// Imports the image into the Docker engine. Unused images of other builds are removed.
pub(crate) async fn make(group: &ProcessGroup, program: &Path, image: &str) -> Result<()> {
    let mut prune = Command::new("docker");
    prune.args(["image", "prune", "--all", "--force", "--filter"]);
    prune.arg(format!("label={LABEL}"));
    let pruned = group
        .start("docker-prune", &prune)?
        .finish(IMPORT_TIMEOUT)
        .await;
    pruned.context("removing images of poolproof that nothing uses")?;
    let archive = group.logs.join("image.tar");
    let libraries = libraries(group, program).await?;
    pack(program, &libraries, &archive)
        .with_context(|| format!("packing {}", program.display()))?;
    let entry_point = format!("ENTRYPOINT [\"{PROGRAM}\"]");
    let mut import = Command::new("docker");
    import
        .args([
            "import",
            "--change",
            &entry_point,
            "--change",
            &format!("LABEL {LABEL}=true"),
            "--change",
            &format!("USER {USER}"),
        ])
        .arg(&archive)
        .arg(image);
    let imported = group
        .start("docker-import", &import)?
        .finish(IMPORT_TIMEOUT)
        .await;
    imported.context("making the image of poolproof")?;
    std::fs::remove_file(&archive).with_context(|| format!("removing {}", archive.display()))
}

/// The shared libraries of a program, including its loader.
async fn libraries(group: &ProcessGroup, program: &Path) -> Result<BTreeSet<PathBuf>> {
    let ldd = group.start("ldd", Command::new("ldd").arg(program))?;
    let output = ldd.finish(IMPORT_TIMEOUT).await;
    let output = output.context("asking for the libraries of poolproof")?;
    let words = output.split_whitespace();
    Ok(words
        .filter(|word| word.starts_with('/'))
        .map(PathBuf::from)
        .collect())
}

/// Packs a file system: libraries at their paths here, and the program at its path in the image.
fn pack(program: &Path, libraries: &BTreeSet<PathBuf>, archive: &Path) -> Result<()> {
    let mut tar = tar::Builder::new(File::create(archive)?);
    // The Docker engine cannot read GNU sparse files.
    tar.sparse(false);
    tar.append_path_with_name(program, PROGRAM.trim_start_matches('/'))?;
    for library in libraries {
        // The library's path may be a symbolic link.
        let name = library.strip_prefix("/")?;
        tar.append_file(name, &mut File::open(library)?)?;
    }
    tar.into_inner()?;
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_holds_the_program_and_its_libraries() {
        let folder = tempfile::tempdir().unwrap();
        let (program, library) = (folder.path().join("it"), folder.path().join("lib.so.1"));
        std::fs::write(&program, "program").unwrap();
        std::fs::write(folder.path().join("lib.so.1.2"), "library").unwrap();
        std::os::unix::fs::symlink("lib.so.1.2", &library).unwrap();
        let archive = folder.path().join("it.tar");
        pack(&program, &[library.clone()].into(), &archive).unwrap();
        let mut tar = tar::Archive::new(File::open(&archive).unwrap());
        let files: Vec<_> = tar
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                (Path::new("/").join(entry.path().unwrap()), entry.size())
            })
            .collect();
        assert_eq!(files, [(PROGRAM.into(), 7), (library, 7)]);
    }
}
