//! Expected failures: `--expect FILE`.

use tempfile::TempDir;

use super::{record, run};

/// The arguments of a run of one case with the flaw that makes it fail.
const FAILS: [&str; 4] = ["run", "canary/split-keep-alive", "--flaw", "split-87-13"];
/// The arguments of a run of a case that passes.
const PASSES: [&str; 2] = ["run", "routing/unknown-model"];

/// Writes an entry to a file, and runs with it.
fn with_entry(folder: &TempDir, arguments: &[&str], case: &str, on: &str) -> (i32, String, String) {
    let entry = format!(
        "[[expected]]\ncase = \"{case}\"\n{on}\nreason = \"the split is off\"\nlink = \"https://example.invalid/1\"\n"
    );
    std::fs::write(folder.path().join("known.toml"), entry).unwrap();
    run(folder, &[arguments, &["--expect", "known.toml"]].concat())
}

#[test]
fn a_listed_failure_does_not_fail_the_run_and_the_record_has_it() {
    let folder = TempDir::new().unwrap();
    let (code, table, _) = with_entry(&folder, &FAILS, FAILS[1], "stack = \"embed*\"");
    assert_eq!(code, 0, "{table}");
    for words in [
        "known failure: the split is off",
        "except for known failures",
        "1 known-failure",
    ] {
        assert!(table.contains(words), "{words}: {table}");
    }
    let record = record(&folder);
    let case = &record["cases"][0];
    assert_eq!(case["verdict"], "fail");
    assert_eq!(case["known"]["line"], 2);
    let junit = std::fs::read_to_string(folder.path().join("poolproof-out/junit.xml")).unwrap();
    assert!(
        junit.contains("skipped=\"1\"") && junit.contains("failures=\"0\""),
        "{junit}"
    );
}

#[test]
fn an_entry_for_another_stack_or_version_does_not_apply() {
    let folder = TempDir::new().unwrap();
    for on in ["stack = \"local (*)\"", "version = \"*:v1.2.1\""] {
        let (code, table, _) = with_entry(&folder, &FAILS, FAILS[1], on);
        assert_eq!(code, 1, "{table}");
        assert!(table.contains("does not conform"), "{table}");
    }
    let by_version = "version = \"poolproof fixture *\"";
    assert_eq!(with_entry(&folder, &FAILS, FAILS[1], by_version).0, 0);
}

#[test]
fn a_listed_case_that_passes_fails_the_run_and_names_the_line() {
    let folder = TempDir::new().unwrap();
    let (code, table, _) = with_entry(&folder, &PASSES, PASSES[1], "stack = \"embedded\"");
    assert_eq!(code, 1, "{table}");
    let words: String = table.split_whitespace().collect::<Vec<_>>().join(" ");
    for wanted in [
        "known.toml:2: routing/unknown-model is listed as an expected failure",
        "remove this line",
        "1 unexpected-pass",
    ] {
        assert!(words.contains(wanted), "{wanted}: {table}");
    }
}

#[test]
fn a_wrong_file_is_a_usage_error_before_anything_starts() {
    let folder = TempDir::new().unwrap();
    let (code, _, error) = with_entry(&folder, &PASSES, "routing/no-such", "stack = \"*\"");
    assert_eq!(code, 2, "{error}");
    for wanted in ["known.toml", "line 2", "`case`", "poolproof list"] {
        assert!(error.contains(wanted), "{wanted}: {error}");
    }
    let (code, _, error) = run(
        &folder,
        &[&PASSES[..], &["--expect", "missing.toml"]].concat(),
    );
    assert_eq!(code, 2, "{error}");
    assert!(error.contains("missing.toml"), "{error}");
    assert!(!folder.path().join("poolproof-out/run.json").exists());
}
