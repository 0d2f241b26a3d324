//! Record files: JSON objects whose `schema` field determines their kind and version.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// A kind of record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A run of cases against a stack.
    Run,
    /// A load run.
    Load,
    /// A search for the highest rate that meets every objective.
    Search,
    /// The gateway against round robin over the same endpoints.
    Overhead,
    /// A sweep of rates from idle to beyond saturation.
    Sweep,
    /// Load on an endpoint picker by itself.
    Picker,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 6] = [
        Self::Run,
        Self::Load,
        Self::Search,
        Self::Overhead,
        Self::Sweep,
        Self::Picker,
    ];

    /// The default file name.
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Run => "run.json",
            Self::Load => "load.json",
            Self::Search => "limit.json",
            Self::Overhead => "overhead.json",
            Self::Sweep => "sweep.json",
            Self::Picker => "picker.json",
        }
    }

    /// The value of its `schema` field.
    pub const fn schema(self) -> &'static str {
        match self {
            Self::Run => "poolproof/run/1",
            Self::Load => "poolproof/load/1",
            Self::Search => "poolproof/limit/1",
            Self::Overhead => "poolproof/overhead/1",
            Self::Sweep => "poolproof/sweep/1",
            Self::Picker => "poolproof/picker/1",
        }
    }

    /// The description of the kind in messages.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Run => "a run of cases",
            Self::Load => "a load run",
            Self::Search => "a search for the limit",
            Self::Overhead => "a comparison with round robin",
            Self::Sweep => "a sweep of rates",
            Self::Picker => "load on a picker",
        }
    }
}

/// Reads a record of one kind. Fails if the file holds another kind.
pub(crate) fn read_as<T: DeserializeOwned>(path: &Path, schema: &str) -> Result<T> {
    let (kind, text) = read_kind(path)?;
    if kind.schema() != schema {
        bail!(
            "{}: holds {} (schema {:?}); expected schema {schema:?}",
            path.display(),
            kind.describe(),
            kind.schema()
        );
    }
    parse(path, kind, &text)
}

/// Saves a record atomically, as [`save_text`] does.
pub fn save(record: &impl Serialize, path: &Path) -> Result<()> {
    save_text(&as_json(record)?, path)
}

/// Saves a record as [`save`] does, and keeps the one that it replaces beside it, as [`last_of`] its path. The one that was kept
/// before is dropped, unless the replaced one was interrupted: that one cannot be compared with anything.
///
/// After a crash or an error, the replaced and the new record are both in the folder. An error names the file of the new one.
pub fn save_and_keep_last(record: &impl Serialize, path: &Path) -> Result<()> {
    let last = last_of(path);
    if !path.is_file() || (last.is_file() && was_interrupted(path)) {
        return save(record, path);
    }
    let partial = write_partial(&as_json(record)?, path)?;
    let renamed = fs::rename(path, &last).and_then(|()| fs::rename(&partial, path));
    renamed.with_context(|| {
        format!(
            "saving {} and keeping the last record as {}: the new record is in {}",
            path.display(),
            last.display(),
            partial.display()
        )
    })
}

/// The path under which the record before this one is kept: `load.last.json` for `load.json`.
pub fn last_of(path: &Path) -> PathBuf {
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push(".last");
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}

/// Whether the record of a run that was interrupted is there. A file that is no record is kept like any other.
fn was_interrupted(path: &Path) -> bool {
    #[derive(Deserialize)]
    struct Ended {
        interrupted: bool,
    }
    let text = fs::read(path).unwrap_or_default();
    serde_json::from_slice(&text).is_ok_and(|ended: Ended| ended.interrupted)
}

/// Saves a text atomically: readers find the complete old or new file, even after a crash or on a full disk. The text is written to a
/// temporary file in the same folder, synced, and renamed.
pub fn save_text(text: &str, path: &Path) -> Result<()> {
    let partial = write_partial(text, path)?;
    fs::rename(&partial, path).map_err(|error| without(&partial, path, error))
}

fn as_json(record: &impl Serialize) -> Result<String> {
    let text = serde_json::to_string_pretty(record).context("writing a record as JSON")?;
    Ok(text + "\n")
}

/// Writes a text to the temporary file beside its path, and syncs it. Returns the path of that file.
fn write_partial(text: &str, path: &Path) -> Result<PathBuf> {
    let partial = partial_of(path);
    let written = File::create(&partial).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    match written {
        Ok(()) => Ok(partial),
        Err(error) => Err(without(&partial, path, error)),
    }
}

/// Removes the temporary file of a record that cannot be saved.
fn without(partial: &Path, path: &Path, error: std::io::Error) -> anyhow::Error {
    // The first error matters; a failure to remove the incomplete file adds nothing to it.
    let _ = fs::remove_file(partial);
    anyhow::Error::from(error).context(format!("saving {}", path.display()))
}

/// The path of the temporary file beside a record. It is unique, because several processes may save to the same folder.
fn partial_of(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}{PARTIAL}", std::process::id()));
    path.with_file_name(name)
}

/// The end of the name of a temporary file, behind the id of its process.
const PARTIAL: &str = ".partial";
/// What a run saves, its page included, about.
const ROOM_BYTES: usize = 1 << 20;

/// Checks that records can be saved in a folder, before anything is measured, and removes the temporary files of processes that were
/// killed while they saved.
pub fn check_folder(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)?.flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(pid_of_partial);
        // No signal is sent: kill(2) only checks. An own one may be in use by another thread.
        if pid.is_some_and(|pid| kill(Pid::from_raw(pid), None) == Err(Errno::ESRCH)) {
            let _ = fs::remove_file(entry.path());
        }
    }
    let probe = partial_of(&folder.join("room"));
    let written = fs::write(&probe, vec![b' '; ROOM_BYTES]);
    let _ = fs::remove_file(&probe);
    written
}

/// The process that a temporary file is of.
fn pid_of_partial(name: &str) -> Option<i32> {
    let (_, pid) = name.strip_suffix(PARTIAL)?.rsplit_once('.')?;
    pid.parse().ok().filter(|pid| *pid > 0)
}

/// The longest record, in bytes. The longest of [reports](../../../reports) has less than 1 MB.
const RECORD_LIMIT_BYTES: u64 = 64 << 20;

/// The bytes of a file that may be a record.
fn read_text(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    let file = File::open(path)?;
    file.take(RECORD_LIMIT_BYTES + 1).read_to_end(&mut text)?;
    if text.len() as u64 > RECORD_LIMIT_BYTES {
        let why = format!("it is longer than {RECORD_LIMIT_BYTES} bytes, which no record is");
        return Err(io::Error::other(why));
    }
    Ok(text)
}

pub(crate) fn read_kind(path: &Path) -> Result<(Kind, Vec<u8>)> {
    #[derive(Deserialize)]
    struct Head {
        schema: String,
    }
    let file = path.display();
    let text = read_text(path).with_context(|| format!("cannot read {file}"))?;
    let head: Head = serde_json::from_slice(&text)
        .with_context(|| format!("{file} is not the whole record of a run"))?;
    let mut kinds = Kind::ALL.into_iter();
    let kind = kinds.find(|kind| kind.schema() == head.schema);
    let kind = kind.with_context(|| {
        format!(
            "{file}: schema is {:?}, which another version of poolproof wrote; this one reads {}",
            head.schema,
            Kind::ALL
                .map(|kind| format!("{:?}", kind.schema()))
                .join(", ")
        )
    })?;
    Ok((kind, text))
}

pub(crate) fn parse<T: DeserializeOwned>(path: &Path, kind: Kind, text: &[u8]) -> Result<T> {
    serde_json::from_slice(text)
        .with_context(|| format!("{} is not a valid {} record", path.display(), kind.schema()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn temporary_files_of_killed_processes_are_removed_and_those_of_others_stay() {
        let folder = tempfile::tempdir().unwrap();
        let mut ended = std::process::Command::new("true").spawn().unwrap();
        let ended_pid = ended.id();
        ended.wait().unwrap();
        let path = |name: &str| folder.path().join(name);
        let left = path(&format!("run.json.{ended_pid}.partial"));
        let stay = [
            partial_of(&path("run.json")),
            path("run.json"),
            path("notes.partial"),
            path("notes.0.partial"),
        ];
        for file in stay.iter().chain([&left]) {
            fs::write(file, "").unwrap();
        }
        check_folder(folder.path()).unwrap();
        assert!(!left.exists());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), stay.len());
        assert!(check_folder(&path("run.json")).is_err());
        assert!(check_folder(&path("absent")).is_err());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_file_without_end_is_no_record() {
        let error = read_kind(Path::new("/dev/zero")).unwrap_err();
        assert!(format!("{error:#}").contains("longer than"), "{error:#}");
    }

    const LAST: &str = "load.last.json";

    fn content(folder: &Path) -> Vec<(String, String)> {
        let entries = fs::read_dir(folder).unwrap().map(|entry| {
            let entry = entry.unwrap();
            let text = fs::read_to_string(entry.path()).unwrap_or_default();
            (entry.file_name().into_string().unwrap(), text)
        });
        let mut all: Vec<_> = entries.collect();
        all.sort();
        all
    }

    #[test]
    fn the_record_before_is_kept_and_no_other_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("load.json");
        for number in 1..=3 {
            save_and_keep_last(&number, &path).unwrap();
        }
        let named = |name: &str, text: &str| (name.to_owned(), text.to_owned());
        let all = [named("load.json", "3\n"), named(LAST, "2\n")];
        assert_eq!(content(folder.path()), all);
    }

    #[test]
    fn an_interrupted_record_does_not_replace_the_kept_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("load.json");
        let record = |number: u8, interrupted: bool| serde_json::json!({"number": number, "interrupted": interrupted});
        let kept = || -> serde_json::Value {
            serde_json::from_slice(&fs::read(last_of(&path)).unwrap()).unwrap()
        };
        // Without another one, it is kept.
        save_and_keep_last(&record(1, true), &path).unwrap();
        save_and_keep_last(&record(2, false), &path).unwrap();
        assert_eq!(kept(), record(1, true));
        save_and_keep_last(&record(3, true), &path).unwrap();
        assert_eq!(kept(), record(2, false));
        save_and_keep_last(&record(4, false), &path).unwrap();
        assert_eq!(kept(), record(2, false));
        // What is no record is not lost either.
        fs::write(&path, "no record").unwrap();
        save_and_keep_last(&record(5, false), &path).unwrap();
        assert_eq!(fs::read_to_string(last_of(&path)).unwrap(), "no record");
    }

    #[test]
    fn a_record_that_cannot_be_kept_and_the_new_one_both_remain() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("load.json");
        save(&"old", &path).unwrap();
        // A file cannot take the place of a folder that is not empty.
        fs::create_dir_all(last_of(&path).join("x")).unwrap();
        let error = format!("{:#}", save_and_keep_last(&"new", &path).unwrap_err());
        let all = content(folder.path());
        let (partial, _) = all.iter().find(|(_, text)| text == "\"new\"\n").unwrap();
        assert!(
            error.contains(partial.as_str()) && error.contains(LAST),
            "{error}"
        );
        assert_eq!(fs::read_to_string(&path).unwrap(), "\"old\"\n");
    }
}
