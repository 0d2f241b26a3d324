//! Snapshots of every rendering of every record under `reports/`. To update them: `INSTA_UPDATE=always cargo test renderings`.

use std::path::{Path, PathBuf};

use super::format::{FORMATS, Format};
use super::terminal::TableStyle;
use poolproof_records::any::AnyRecord;
use poolproof_records::environment::Environment;
use poolproof_records::file::Kind;
use poolproof_records::samples::{picker_load, rate_search, rate_sweep, with_expectations};

const PLAIN: TableStyle = TableStyle {
    width: 120,
    colour: false,
};

/// The folder `reports` of the repository.
fn reports() -> PathBuf {
    let mut above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let found = above.find_map(|folder| {
        let reports = folder.join("reports");
        reports.join("schema.json").exists().then_some(reports)
    });
    found.unwrap()
}

/// All committed records, named after their folder and file.
fn committed() -> Vec<(String, AnyRecord)> {
    let mut records = Vec::new();
    for folder in std::fs::read_dir(reports()).unwrap() {
        let folder = folder.unwrap().path();
        for kind in Kind::ALL {
            let path = folder.join(kind.file_name());
            if path.exists() {
                let name = folder.file_name().unwrap().to_string_lossy();
                let stem = path.file_stem().unwrap().to_string_lossy();
                let record = AnyRecord::read(&path).unwrap();
                records.push((format!("{name}.{stem}"), record));
            }
        }
    }
    records
}

/// A hash that is the same on every machine and version of Rust (FNV-1a, 64 bits).
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Replaces the body of each such element by a hash.
fn with_hashes(text: &str, element: &str) -> String {
    let (open, close) = (format!("<{element}"), format!("</{element}>"));
    let mut parts = text.split(&open);
    let mut short = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (body, rest) = part.split_once(&close).unwrap();
        short += &format!("{open} hash=\"{:016x}\"/>{rest}", hash(body));
    }
    short
}

/// The elements of a page that begin a line of its snapshot.
const BLOCKS: [&str; 17] = [
    "article", "body", "dd", "details", "dl", "dt", "figure", "h1", "h2", "h3", "head", "li", "p",
    "section", "table", "tr", "ul",
];

fn check(name: &str, format: &Format, record: &AnyRecord, style: TableStyle) {
    let Some(rendered) = format.render(record, style) else {
        return;
    };
    let rendered = rendered.unwrap();
    let mut text = rendered.text;
    if format.extension == "html" {
        text = with_hashes(&with_hashes(&text, "svg"), "style");
        // One line per block, such as a row of a table, keeps differences readable.
        for block in BLOCKS {
            text = text.replace(&format!("><{block}"), &format!(">\n<{block}"));
        }
    }
    for line in rendered.left_out {
        text += &format!("\nleft out: {line}");
    }
    insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!(name, text);
    });
}

#[test]
fn every_rendering_of_every_committed_record_matches_its_snapshot() {
    let records = committed();
    for kind in [Kind::Run, Kind::Load, Kind::Overhead] {
        assert!(records.iter().any(|(_, record)| record.kind() == kind));
    }
    for (name, record) in &records {
        for format in FORMATS {
            check(&format!("{name}.{}", format.name), format, record, PLAIN);
        }
    }
}

/// The same machine wherever the tests run.
const ANYWHERE: Environment = Environment {
    cores: 2,
    memory_bytes: None,
    memory_limit_bytes: None,
    open_files: None,
    ephemeral_ports: None,
    kernel: None,
    clock_source: None,
    container: false,
    virtual_machine: false,
    load_average: None,
};

#[test]
fn every_rendering_of_a_search_matches_its_snapshot() {
    let mut search = rate_search();
    search.environment = ANYWHERE;
    let record = AnyRecord::Search(Box::new(search));
    for format in FORMATS {
        check(&format!("search.{}", format.name), format, &record, PLAIN);
    }
}

#[test]
fn every_rendering_of_a_sweep_matches_its_snapshot() {
    let mut sweep = rate_sweep();
    sweep.environment = ANYWHERE;
    let record = AnyRecord::Sweep(Box::new(sweep));
    for format in FORMATS {
        check(&format!("sweep.{}", format.name), format, &record, PLAIN);
    }
}

#[test]
fn every_rendering_of_load_on_a_picker_matches_its_snapshot() {
    let mut picker = picker_load();
    picker.environment = ANYWHERE;
    let record = AnyRecord::Picker(Box::new(picker));
    for format in FORMATS {
        check(&format!("picker.{}", format.name), format, &record, PLAIN);
    }
}

#[test]
fn every_rendering_of_expected_failures_matches_its_snapshot() {
    let record = AnyRecord::Run(Box::new(with_expectations()));
    for format in FORMATS {
        check(&format!("expected.{}", format.name), format, &record, PLAIN);
    }
}

#[test]
fn verdicts_are_coloured_on_a_terminal_with_colour() {
    let path = reports().join("kind-agentgateway/run.json");
    let record = AnyRecord::read(&path).unwrap();
    let style = TableStyle {
        colour: true,
        ..PLAIN
    };
    let format = Format::named("terminal").unwrap();
    check("coloured.terminal", format, &record, style);
    let text = format.render(&record, style).unwrap().unwrap().text;
    assert!(text.contains('\u{1b}'));
    // Colour changes no character of the text itself.
    let plain = format.render(&record, PLAIN).unwrap().unwrap().text;
    assert_eq!(console::strip_ansi_codes(&text), plain);
}
