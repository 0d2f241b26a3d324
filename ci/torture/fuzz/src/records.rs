//! Records, damaged ones included, and the results of other load generators.

use std::sync::LazyLock;

use poolproof_model::verdict::{Level, Outcome};
use poolproof_records::any::AnyRecord;
use poolproof_records::digest;
use poolproof_records::samples;
use poolproof_report::compare::records::Records;
use poolproof_report::compare::{MARGIN_PERCENT, compare};
use poolproof_report::format::FORMATS;
use poolproof_report::terminal::TableStyle;
use serde_json::Value;

use crate::files::file;

const STYLE: TableStyle = TableStyle {
    width: 100,
    colour: false,
};

/// Whole records of each kind, as JSON.
static WHOLE: LazyLock<Vec<Value>> = LazyLock::new(|| {
    let run = samples::record(&[
        (Level::Must, Outcome::pass("fine")),
        (Level::Should, samples::fail()),
        (Level::May, Outcome::skip("absent")),
    ]);
    let committed = ["load-local-envoy/load.json", "load-url-h200/overhead.json"];
    let committed = committed.map(|name| {
        let path = format!("{}/../../../reports/{name}", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        serde_json::from_slice(&text)
    });
    let made = [
        serde_json::to_value(run),
        serde_json::to_value(samples::rate_search()),
        serde_json::to_value(samples::rate_sweep()),
    ];
    let all = made.into_iter().chain(committed);
    all.map(|record| record.unwrap_or_else(|error| panic!("a record: {error}")))
        .collect()
});

/// Renders a record in every format, and compares it with itself.
fn read(data: &[u8]) {
    let path = file("record.json", data);
    let _ = digest::verify(&path);
    let Ok(record) = AnyRecord::read(&path) else {
        return;
    };
    for format in FORMATS {
        if let Some(Ok(rendered)) = format.render(&record, STYLE) {
            // A page is some times as long as its record, but not without end.
            assert!(
                rendered.text.len() < (8 << 20) + 64 * data.len(),
                "{}",
                format.name
            );
        }
    }
    if let Some(records) = Records::of(record) {
        let _ = compare(&records.clone(), &records, MARGIN_PERCENT / 100.0);
    }
}

pub fn record(data: &[u8]) {
    read(data);
}

/// Replaces values of a whole record, by three bytes each: which value, and by what.
pub fn damaged(data: &[u8]) {
    let Some((which, changes)) = data.split_first() else {
        return;
    };
    let mut record = WHOLE[usize::from(*which) % WHOLE.len()].clone();
    for change in changes.chunks_exact(3).take(32) {
        let mut leaves = Vec::new();
        collect(&mut record, &mut leaves);
        let number = usize::from(u16::from_le_bytes([change[0], change[1]]));
        let count = leaves.len();
        if let Some(leaf) = leaves.into_iter().nth(number % count.max(1)) {
            *leaf = replacement(change[2], leaf);
        }
    }
    read(record.to_string().as_bytes());
}

/// All values of a record that hold no others.
fn collect<'a>(value: &'a mut Value, leaves: &mut Vec<&'a mut Value>) {
    let holds_others = match &*value {
        Value::Array(values) => !values.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        _ => false,
    };
    if !holds_others {
        return leaves.push(value);
    }
    match value {
        Value::Array(values) => values.iter_mut().for_each(|value| collect(value, leaves)),
        Value::Object(fields) => fields.values_mut().for_each(|value| collect(value, leaves)),
        _ => {}
    }
}

fn replacement(by: u8, old: &Value) -> Value {
    match by % 20 {
        0 => Value::Null,
        1 => 0.into(),
        2 => (-1).into(),
        3 => 1e308.into(),
        4 => (-1e308).into(),
        5 => 5e-324.into(),
        6 => u64::MAX.into(),
        7 => i64::MIN.into(),
        8 => (1_u64 << 53).into(),
        9 => 0.5.into(),
        10 => "".into(),
        11 => "\u{1b}[2J<script>\n::error::|`\u{202e}".into(),
        12 => "x".repeat(5000).into(),
        13 => Value::Array(Vec::new()),
        14 => Value::Array(vec![old.clone(); 300]),
        15 => true.into(),
        16 => 100.into(),
        17 => 1e18.into(),
        18 => (-0.0).into(),
        _ => u64::from(by).into(),
    }
}

pub fn others(data: &[u8]) {
    let path = file("others.json", data);
    if let Ok(records) = Records::read(&path) {
        let _ = compare(&records, &records, MARGIN_PERCENT / 100.0);
    }
}
