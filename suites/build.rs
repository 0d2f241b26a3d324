//! Composes what `poolproof --version` prints: version, commit and date.
//!
//! Only release builds name a commit. They are compiled again when `HEAD` moves, which is then this package alone: the cases, whose
//! incremental state is still right, and the program. Debug builds do not follow `HEAD`, so that a commit compiles no test again.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The sources of the program, relative to the root of the repository; crates of `harness` are added.
const SOURCES: &[&str] = &[
    "Cargo.lock",
    "Cargo.toml",
    "fixtures/src",
    "kind/versions.toml",
    "suites/src",
];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=SOURCE_DATE_EPOCH");
    let version = env::var("CARGO_PKG_VERSION").unwrap_or_default();
    let built_from = match env::var("PROFILE").as_deref() {
        Ok("release") => release(),
        _ => "debug build".to_owned(),
    };
    let version = match built_from.as_str() {
        "" => version,
        built_from => format!("{version} ({built_from})"),
    };
    println!("cargo::rustc-env=POOLPROOF_VERSION={version}");
}

/// The commit and its date, as far as they are known. `SOURCE_DATE_EPOCH` replaces the date (reproducible-builds.org, "SOURCE_DATE_EPOCH
/// Specification").
fn release() -> String {
    let package = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let (commit, committed) = of_repository(&package).unwrap_or((of_archive(&package), None));
    let given = env::var("SOURCE_DATE_EPOCH").ok();
    let given = given.map(|text| text.parse::<i64>());
    if let Some(Err(error)) = &given {
        println!("cargo::error=SOURCE_DATE_EPOCH: {error}: must be a number of seconds");
    }
    let seconds = given.and_then(Result::ok).or(committed);
    let known = [commit, seconds.map(date)];
    known.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// The commit of the repository that the package is in, and its time in seconds since 1970. `None` without git, or if the package was
/// put into a repository of something else.
fn of_repository(package: &Path) -> Option<(Option<String>, Option<i64>)> {
    let root = package.parent()?.canonicalize().ok()?;
    let top = PathBuf::from(git(&root, &["rev-parse", "--show-toplevel"])?);
    if top.canonicalize().ok()? != root {
        return None;
    }
    let mut sources: Vec<String> = SOURCES.iter().map(|path| (*path).to_owned()).collect();
    for entry in root.join("harness").read_dir().ok()?.flatten() {
        let name = entry.file_name().into_string().ok()?;
        if entry.path().join("src").is_dir() {
            sources.push(format!("harness/{name}/src"));
        }
    }
    for path in sources.iter().map(|path| root.join(path)) {
        follow(&path);
    }
    // Every commit, checkout and reset adds a line to the log. Without a log, the branch is followed; a branch without a file of its own
    // runs this script at every build.
    let log = git_path(&root, "logs/HEAD")?;
    follow(&git_path(&root, "HEAD")?);
    if log.exists() {
        follow(&log);
    } else if let Some(branch) = git(&root, &["symbolic-ref", "--quiet", "HEAD"]) {
        follow(&git_path(&root, &branch)?);
    }
    let commit = git(&root, &["rev-parse", "--short=12", "HEAD"])?;
    let committed = git(&root, &["show", "--no-patch", "--format=%ct", "HEAD"])?;
    let mut status = vec!["status", "--porcelain", "--"];
    status.extend(sources.iter().map(String::as_str));
    let changes = match git(&root, &status)?.as_str() {
        "" => "",
        _ => "+changes",
    };
    Some((Some(format!("{commit}{changes}")), committed.parse().ok()))
}

/// Runs this script again when a file or anything in a folder changes.
fn follow(path: &Path) {
    println!("cargo::rerun-if-changed={}", path.display());
}

/// The commit that `cargo package` notes in an archive: `{"git": {"sha1": "..."}}`.
fn of_archive(package: &Path) -> Option<String> {
    let note = std::fs::read_to_string(package.join(".cargo_vcs_info.json")).ok()?;
    let (_, after) = note.split_once("\"sha1\"")?;
    let commit: String = after
        .chars()
        .skip_while(|digit| !digit.is_ascii_hexdigit())
        .take_while(char::is_ascii_hexdigit)
        .take(12)
        .collect();
    (commit.len() == 12).then_some(commit)
}

fn git_path(root: &Path, name: &str) -> Option<PathBuf> {
    Some(root.join(git(root, &["rev-parse", "--git-path", name])?))
}

/// What git prints, without white space around it; `None` if it fails or is not there.
fn git(root: &Path, arguments: &[&str]) -> Option<String> {
    let mut git = Command::new("git");
    // Two builds at once must not wait for each other's lock of the index.
    git.arg("--no-optional-locks").arg("-C").arg(root);
    let output = git.args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// The date of a time in seconds since 1970, in UTC. Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`.
fn date(seconds: i64) -> String {
    let days = seconds.div_euclid(86_400) + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = month_from_march + if month_from_march < 10 { 3 } else { -9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}
