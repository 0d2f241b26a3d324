//! What the program prints without a run: help, plans, lists, the matrix of the self-test.

use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use super::run;

#[test]
fn help_groups_the_options_of_a_run() {
    let folder = TempDir::new().unwrap();
    let (code, help, _) = run(&folder, &["--help"]);
    assert_eq!(code, 0);
    let headings = ["Stack:", "Parts:", "Cluster:", "Judging:", "Output:"];
    let places = headings.map(|heading| help.find(&format!("\n{heading}\n")));
    assert!(places.iter().all(Option::is_some), "{help}");
    assert!(places.is_sorted(), "{places:?}");
    // What is left without a heading is what every program has.
    let options = help.split("\nOptions:\n").nth(1).unwrap();
    let options = options.split("\n\nStack:").next().unwrap();
    assert_eq!(options.matches("--").count(), 2, "{options}");
    assert!(
        help.contains("70") && help.contains("internal error"),
        "{help}"
    );
}

#[test]
fn the_version_names_the_build() {
    let folder = TempDir::new().unwrap();
    let (code, version, _) = run(&folder, &["--version"]);
    let expected = concat!("poolproof ", env!("POOLPROOF_VERSION"));
    assert_eq!((code, version.trim()), (0, expected));
    let number = concat!("poolproof ", env!("CARGO_PKG_VERSION"));
    assert_eq!(version.split(" (").next().map(str::trim), Some(number));
    assert_eq!(
        version.contains("(debug build)"),
        cfg!(debug_assertions),
        "{version}"
    );
}

#[test]
fn plans_are_for_people_and_for_programs() {
    let folder = TempDir::new().unwrap();
    let asked = ["plan", "canary", "--weights", "90,10", "--have", "60"];
    let (code, text, _) = run(&folder, &asked);
    assert!(code == 0 && text.contains("4375 requests"), "{text}");
    assert!(text.contains("60 requests: passes with 0 to 17"), "{text}");
    let (_, json, _) = run(&folder, &["plan", "--all", "--json"]);
    let plan: Value = serde_json::from_str(&json).unwrap();
    assert!(plan["total"]["requests_mean"].as_f64() > Some(1000.0));
    assert!(plan["total"]["alpha"].as_f64() <= Some(0.001));
}

#[test]
fn lists_are_for_people_and_for_programs() {
    let folder = TempDir::new().unwrap();
    for (arguments, name) in [
        (&["list", "canary"][..], "canary/windows"),
        (&["list", "--flaws"], "split-80-20"),
        (&["list", "--coverage"], "BackendRef.weight"),
    ] {
        let (code, table, _) = run(&folder, arguments);
        assert!(code == 0 && table.contains(name), "{table}");
        let (_, json, _) = run(&folder, &[arguments, &["--json"]].concat());
        let rows: Vec<Value> = serde_json::from_str(&json).unwrap();
        let has_name = |row: &Value| {
            let mut rules = row["rules"].as_array().into_iter().flatten();
            row["id"] == name || row["name"] == name || rules.any(|rule| rule["place"] == name)
        };
        assert!(rows.iter().any(has_name));
    }
}

#[test]
fn a_selftest_is_a_matrix_for_people_documents_and_programs() {
    let folder = TempDir::new().unwrap();
    let arguments = ["selftest", "unknown-503", "escaped-model-name"];
    let (code, matrix, errors) = run(&folder, &arguments);
    assert_eq!((code, errors.as_str()), (0, ""), "{matrix}");
    assert!(
        matrix.contains("2 of 2 flaws caught every time, runs of each: 1; the table holds"),
        "{matrix}"
    );
    let (_, markdown, _) = run(&folder, &[&arguments[..], &["--markdown"]].concat());
    let row = markdown.lines().find(|line| line.contains("unknown-503"));
    let row = row.unwrap().replace(' ', "");
    assert!(row.starts_with("|unknown-503|F|F|1/1|"), "{markdown}");
    let (_, json, _) = run(&folder, &["selftest", "unknown-503", "--json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["holds"], true);
    assert_eq!(json["rows"][0]["cells"][0]["expected"], "fail");
    assert_eq!(
        json["rows"][0]["cells"][0]["outcomes"][0]["verdict"],
        "fail"
    );
}

/// Holds the committed file against what the program prints, behind a heading. `POOLPROOF_WRITE_CASES` writes it.
fn committed(file: &str, heading: &str, arguments: &str) {
    let folder = TempDir::new().unwrap();
    let arguments: Vec<&str> = arguments.split(' ').collect();
    let (code, list, _) = run(&folder, &arguments);
    assert_eq!(code, 0);
    let text = format!(
        "# {heading}\n\nPrinted by `poolproof {}`. To write it again: `POOLPROOF_WRITE_CASES=1 cargo test --test cli committed_list`.\n\n{list}",
        arguments.join(" ")
    );
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    if std::env::var_os("POOLPROOF_WRITE_CASES").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    assert!(
        std::fs::read_to_string(path).unwrap_or_default() == text,
        "suites/{file} is not what the program lists: run this test with POOLPROOF_WRITE_CASES=1"
    );
}

#[test]
fn the_committed_list_of_cases_is_what_the_program_prints() {
    let heading = "Cases and the sources of their requirements";
    committed("cases.md", heading, "list --format markdown");
}

#[test]
fn the_committed_list_of_rules_is_what_the_program_prints() {
    let heading = "Rules of the specifications and the cases that check them";
    committed("coverage.md", heading, "list --coverage --format markdown");
}
