//! The records in a run's folder: cases, load run, comparison with round robin, load on a picker.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;

use super::peers::{Peer, TOOLS};
use poolproof_records::any::AnyRecord;
use poolproof_records::file::Kind;
use poolproof_records::load;
use poolproof_records::load::overhead::Overhead;
use poolproof_records::load::picker::PickerLoad;
use poolproof_records::run::Record;

/// The file names of the records.
pub const FILES: [&str; 4] = ["run.json", "load.json", "overhead.json", "picker.json"];

/// The records in one folder, at least one.
#[derive(Clone, Debug, Default)]
pub struct Records {
    /// The record of the cases.
    pub run: Option<Record>,
    /// The record of the load run.
    pub load: Option<load::Record>,
    /// The comparison of the gateway with round robin.
    pub overhead: Option<Overhead>,
    /// The load on a picker by itself.
    pub picker: Option<PickerLoad>,
    /// The result of another load generator, instead of the others.
    pub peer: Option<Peer>,
}

impl Records {
    /// Reads all records in a folder, or the one in a file, or the result of another load generator. Fails if a record
    /// cannot be read or none exists.
    pub fn read(path: &Path) -> Result<Self> {
        if path.is_file() {
            return Self::read_file(path);
        }
        let find = |name: &str| Some(path.join(name)).filter(|it| it.exists());
        let records = Self {
            run: find(FILES[0]).map(|path| Record::read(&path)).transpose()?,
            load: find(FILES[1])
                .map(|path| load::Record::read(&path))
                .transpose()?,
            overhead: find(FILES[2])
                .map(|path| Overhead::read(&path))
                .transpose()?,
            picker: find(FILES[3])
                .map(|path| PickerLoad::read(&path))
                .transpose()?,
            peer: None,
        };
        ensure!(
            records.started().is_some(),
            "{}: must be a folder with {}, one of these files, or a result of {TOOLS}",
            path.display(),
            FILES.join(", ")
        );
        Ok(records)
    }

    /// Reads one file. The name of a record does not matter.
    fn read_file(path: &Path) -> Result<Self> {
        let no_peer = match Peer::read(path) {
            Ok(peer) => {
                return Ok(Self {
                    peer: Some(peer),
                    ..Self::default()
                });
            }
            Err(error) => error,
        };
        let record = AnyRecord::read(path).context(no_peer)?;
        let kind = record.kind().describe();
        Self::of(record)
            .with_context(|| format!("{}: holds {kind}, which cannot be compared", path.display()))
    }

    /// This one record, without those beside it. `None` for a kind that is not compared.
    pub fn of(record: AnyRecord) -> Option<Self> {
        let mut records = Self::default();
        match record {
            AnyRecord::Run(run) => records.run = Some(*run),
            AnyRecord::Load(load) => records.load = Some(*load),
            AnyRecord::Overhead(overhead) => records.overhead = Some(*overhead),
            AnyRecord::Picker(picker) => records.picker = Some(*picker),
            _ => return None,
        }
        Some(records)
    }

    /// Only the record of this kind, or the result of another load generator.
    pub fn only(mut self, kind: Kind) -> Self {
        self.run = self.run.filter(|_| kind == Kind::Run);
        self.load = self.load.filter(|_| kind == Kind::Load);
        self.overhead = self.overhead.filter(|_| kind == Kind::Overhead);
        self.picker = self.picker.filter(|_| kind == Kind::Picker);
        self
    }

    /// Reads the records in all subfolders, sorted by start. The second list names those that could not be read.
    pub fn read_all(folder: &Path) -> Result<(Vec<Self>, Vec<String>)> {
        let (mut all, mut unread) = (Vec::new(), Vec::new());
        let entries = std::fs::read_dir(folder);
        let entries = entries.map_err(|error| anyhow::anyhow!("{}: {error}", folder.display()))?;
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() && FILES.iter().any(|file| path.join(file).exists()) {
                match Self::read(&path) {
                    Ok(records) => all.push(records),
                    Err(error) => unread.push(format!("left out: {error:#}")),
                }
            }
        }
        all.sort_by_key(Self::started);
        Ok((all, unread))
    }

    /// The start of the earliest record.
    pub fn started(&self) -> Option<Timestamp> {
        let run = self.run.as_ref().map(|record| record.started);
        let load = self.load.as_ref().map(|record| record.started);
        let overhead = self.overhead.as_ref().map(|record| record.started);
        let picker = self.picker.as_ref().map(|record| record.started);
        let all = [run, load, overhead, picker];
        all.into_iter().flatten().min()
    }
}
