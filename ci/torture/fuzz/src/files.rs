//! Files that users write, or get from elsewhere.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use poolproof_model::target::Target;
use poolproof_model::topology::Topology;
use poolproof_model::workload::Workload;
use poolproof_model::workload::dataset::Dataset;
use poolproof_model::workload::trace::Trace;
use poolproof_records::expect::Expectations;
use poolproof_report::compare::gate::Gate;

/// A folder in memory, one for each process.
static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = Path::new("/dev/shm").join(format!("poolproof-fuzz-{}", std::process::id()));
    let made = std::fs::create_dir_all(&folder);
    made.unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    folder
});

/// A file with these bytes.
pub fn file(name: &str, data: &[u8]) -> PathBuf {
    let path = FOLDER.join(name);
    let written = std::fs::write(&path, data);
    written.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    path
}

pub fn target(data: &[u8]) {
    // Files that it names would be read: those of devices never end, which is no fault of the reader.
    if !data.windows(4).any(|four| four == b"file") {
        let _ = Target::load(&file("target.toml", data));
    }
}

pub fn topology(data: &[u8]) {
    if let Ok(topology) = Topology::load(&file("topology.toml", data)) {
        let _ = Target::planned(&topology);
    }
}

pub fn workload(data: &[u8]) {
    if data
        .windows(4)
        .any(|four| four == b"file" || four == b"fold")
    {
        return;
    }
    if let Ok((workload, _)) = Workload::load(&file("workload.toml", data).display().to_string()) {
        let _ = workload.outline();
        let _ = workload.end_s(None);
    }
}

pub fn trace(data: &[u8]) {
    if let Ok(trace) = Trace::load(&file("trace", data)) {
        assert!(trace.rows.iter().all(|row| row.at_ms >= 0.0));
    }
}

pub fn dataset(data: &[u8]) {
    let path = file("dataset", data);
    let dataset = Dataset {
        file: path,
        answer_lengths: true,
    };
    let _ = dataset.load(Path::new(""));
}

pub fn gate(data: &[u8]) {
    let _ = Gate::load(&file("gate.toml", data));
}

pub fn expect(data: &[u8]) {
    let path = file("expect.toml", data);
    let _ = Expectations::read([path.as_path()], |_| true);
}
