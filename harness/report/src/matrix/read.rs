//! Finds the records of a matrix in files and folders.

use std::fs;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::{Evidence, LeftOut, Matrix, Source};
use poolproof_records::any::AnyRecord;
use poolproof_records::file::Kind;
use poolproof_records::not_started::{self, NotStarted};

/// How deep folders are searched.
const DEPTH_MAX: usize = 4;
/// The page that a run writes next to its record; cells link to it where it exists.
const PAGE: &str = "report.html";

/// Reads the records of runs in these files and folders. Links are relative to the folder `base`. A run with a flaw is left out, unless
/// `flaws` asks for it; so is a file that cannot be read. Fails if a path does not exist, or if no record is left.
pub fn read(paths: &[PathBuf], base: &Path, flaws: bool) -> Result<Matrix> {
    let base = absolute(base)?;
    let mut sources: Vec<Source> = Vec::new();
    let mut left_out = Vec::new();
    for root in paths {
        for file in files(root)? {
            let name = name(root, &file, paths.len() > 1);
            let mut leave = |reason: String| {
                left_out.push(LeftOut {
                    file: name.clone(),
                    reason,
                });
            };
            let evidence = match evidence(&file) {
                Ok(Some(evidence)) => evidence,
                Ok(None) => continue,
                Err(error) => {
                    leave(format!("{error:#}"));
                    continue;
                }
            };
            let flaw = match &evidence {
                Evidence::Ran(record) => record.flaw.as_deref(),
                Evidence::NotStarted(_) => None,
            };
            if let Some(flaw) = flaw.filter(|_| !flaws) {
                leave(format!(
                    "made with the flaw {flaw}, so it shows no real stack; --with-flaws includes it"
                ));
            } else if sources.iter().any(|source| source.name == name) {
                leave("another record has the same name: give each file or folder once".to_owned());
            } else {
                sources.push(Source {
                    link: link(&base, &file)?,
                    name,
                    evidence,
                });
            }
        }
    }
    if sources.is_empty() {
        let paths: Vec<String> = paths
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        let reasons = left_out
            .iter()
            .map(|out| format!("\n  {}: {}", out.file, out.reason));
        bail!(
            "{}: no record of a run ({} in a folder, or below it){}",
            paths.join(", "),
            Kind::Run.file_name(),
            reasons.collect::<String>()
        );
    }
    Ok(Matrix::of(sources, left_out))
}

/// The evidence in a file. `None`: it is a record of another kind.
fn evidence(file: &Path) -> Result<Option<Evidence>> {
    if file
        .file_name()
        .is_some_and(|name| name == not_started::FILE)
    {
        return Ok(Some(Evidence::NotStarted(NotStarted::read(file)?)));
    }
    Ok(match AnyRecord::read(file)? {
        AnyRecord::Run(record) => Some(Evidence::Ran(record)),
        _ => None,
    })
}

/// The file itself, or the files of records in and below a folder, in the order of their names.
fn files(root: &Path) -> Result<Vec<PathBuf>> {
    let what = || format!("cannot read {}", root.display());
    if !fs::metadata(root).with_context(what)?.is_dir() {
        return Ok(vec![root.to_owned()]);
    }
    let mut found = Vec::new();
    search(root, DEPTH_MAX, &mut found).with_context(what)?;
    Ok(found)
}

fn search(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    // The newer of the two: an attempt that starts removes it.
    let names = [not_started::FILE, Kind::Run.file_name()];
    let mut candidates = names.iter().map(|name| folder.join(name));
    found.extend(candidates.find(|file| file.is_file()));
    if depth == 0 {
        return Ok(());
    }
    let mut below = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // Links are not followed: a folder of nights has one to its baseline.
        if entry.file_type()?.is_dir() {
            below.push(entry.path());
        }
    }
    below.sort();
    below
        .iter()
        .try_for_each(|folder| search(folder, depth - 1, found))
}

/// The name of a column: the path of the record's folder below the root, or the name of the root.
fn name(root: &Path, file: &Path, with_root: bool) -> String {
    let folder = file.parent().unwrap_or(file);
    let below = folder.strip_prefix(root).unwrap_or(Path::new(""));
    let own = || {
        let is_run = file
            .file_name()
            .is_some_and(|name| name == Kind::Run.file_name());
        let named = if root == file && is_run { folder } else { root };
        let full = fs::canonicalize(named).unwrap_or_else(|_| named.to_owned());
        // A folder named after a version has a dot, but no extension.
        let name = if full.is_dir() {
            full.file_name()
        } else {
            full.file_stem()
        };
        name.unwrap_or(full.as_os_str())
            .to_string_lossy()
            .into_owned()
    };
    let below_text = below.to_string_lossy();
    if below_text.is_empty() {
        own()
    } else if with_root {
        format!("{}/{below_text}", own())
    } else {
        below_text.into_owned()
    }
}

/// The way from a folder to the page of a record, or to the record.
fn link(base: &Path, file: &Path) -> Result<String> {
    let page = file.with_file_name(PAGE);
    let is_run = file
        .file_name()
        .is_some_and(|name| name == Kind::Run.file_name());
    let target = absolute(if is_run && page.is_file() {
        &page
    } else {
        file
    })?;
    let shared = base
        .components()
        .zip(target.components())
        .take_while(|(left, right)| left == right)
        .count();
    let up = base.components().skip(shared).map(|_| Component::ParentDir);
    let way: PathBuf = up.chain(target.components().skip(shared)).collect();
    Ok(way.to_string_lossy().replace('\\', "/"))
}

fn absolute(path: &Path) -> Result<PathBuf> {
    let path = if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    };
    fs::canonicalize(path).with_context(|| format!("cannot read {}", path.display()))
}
