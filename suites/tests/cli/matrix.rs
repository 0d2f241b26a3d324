//! The matrix from a plan and from records, and what serves as evidence.

use std::fs;

use tempfile::TempDir;

use super::run;

/// A stack of a plan that ends with a record, and one whose command ends at once.
const PLAN: &str = "[[stack]]
name = 'ours'
place = 'embedded'
cases = ['routing/known-model']

[[stack]]
name = 'broken-2.1'
place = 'url'
target = 'target.toml'
gateway = 'broken@2.1'
start_command = ['sh', '-c', 'echo no config >&2; exit 3']
wait_ready = '1s'
cases = ['routing/known-model']
";

/// An address at which nothing listens.
const TARGET: &str = "name = 'broken'
url = 'http://127.0.0.1:1'
[[models]]
name = 'm'
[[models.pools]]
name = 'm'
weight = 1
";

#[test]
fn a_plan_runs_each_stack_once_and_one_that_does_not_start_ends_no_other() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("plan.toml"), PLAN).unwrap();
    fs::write(folder.path().join("target.toml"), TARGET).unwrap();
    let (code, table, log) = run(&folder, &["matrix", "plan.toml"]);
    assert_eq!(code, 4, "{log}");
    assert!(table.contains("gateway broken@2.1"), "{table}");
    assert!(
        table.contains("did not start: gateway ended: exit status: 3; its output: no config"),
        "{table}"
    );
    assert!(
        table.contains("no start") && table.contains("pass"),
        "{table}"
    );

    // What has ended is kept; what did not start is tried again.
    let (code, _, log) = run(&folder, &["matrix", "plan.toml"]);
    assert_eq!(code, 4, "{log}");
    assert!(
        log.contains("stack ours (1 of 2): ") && log.contains("; kept"),
        "{log}"
    );
    assert!(log.contains("stack broken-2.1 (2 of 2): running"), "{log}");
    let (_, _, log) = run(&folder, &["matrix", "plan.toml", "--again"]);
    assert!(log.contains("stack ours (1 of 2): running"), "{log}");

    // A changed entry is another stack.
    let changed = PLAN.replace(
        "['routing/known-model']\n\n",
        "['routing/unknown-model']\n\n",
    );
    fs::write(folder.path().join("plan.toml"), changed).unwrap();
    let (_, table, log) = run(&folder, &["matrix", "plan.toml"]);
    assert!(log.contains("stack ours (1 of 2): running"), "{log}");
    assert!(table.contains("routing/unknown-model"), "{table}");

    // An interrupted run is no finished one.
    let record = folder.path().join("poolproof-matrix/ours/run.json");
    let text = fs::read_to_string(&record).unwrap();
    fs::write(
        &record,
        text.replace("\"interrupted\": false", "\"interrupted\": true"),
    )
    .unwrap();
    let (_, _, log) = run(&folder, &["matrix", "plan.toml"]);
    assert!(log.contains("stack ours (1 of 2): running"), "{log}");
}

#[test]
fn a_wrong_plan_starts_nothing_and_its_error_names_file_stack_and_field() {
    let folder = TempDir::new().unwrap();
    let wrong = PLAN.replace(
        "'embedded'\ncases = ['routing/known-model']",
        "'embedded'\ncases = ['rooting']",
    );
    fs::write(folder.path().join("plan.toml"), wrong).unwrap();
    fs::write(folder.path().join("target.toml"), TARGET).unwrap();
    let (code, _, log) = run(&folder, &["matrix", "plan.toml"]);
    assert_eq!(code, 2, "{log}");
    assert!(
        log.contains("plan plan.toml: stack \"ours\": ") && log.contains("rooting"),
        "{log}"
    );
    assert!(!folder.path().join("poolproof-matrix").exists());
}

#[test]
fn a_run_with_a_flaw_is_no_evidence_unless_asked_for() {
    let folder = TempDir::new().unwrap();
    let flawed = [
        "run",
        "routing/unknown-model",
        "--flaw",
        "unknown-200",
        "--out",
        "runs/flawed",
    ];
    assert_ne!(
        run(
            &folder,
            &["run", "routing/unknown-model", "--out", "runs/good"]
        )
        .0,
        2
    );
    let (code, _, log) = run(&folder, &flawed);
    assert_ne!(code, 2, "{log}");
    let (code, table, log) = run(&folder, &["matrix", "runs"]);
    assert_eq!(code, 0, "{log}");
    assert!(
        log.contains("left out: flawed: made with the flaw"),
        "{log}"
    );
    assert!(!table.contains("FLAW"), "{table}");
    let (_, table, _) = run(&folder, &["matrix", "runs", "--with-flaws"]);
    assert!(table.contains("FLAW unknown-200"), "{table}");

    let (code, said, _) = run(&folder, &["report", "--verify", "runs/flawed"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("made with the flaw unknown-200"), "{said}");
    let (code, said, _) = run(&folder, &["report", "--verify", "runs/good"]);
    assert_eq!(code, 0, "{said}");
    assert!(
        said.starts_with("verified: runs/good/run.json: embedded"),
        "{said}"
    );

    let record = folder.path().join("runs/good/run.json");
    let text = fs::read_to_string(&record).unwrap();
    fs::write(&record, text.replacen("\"seed\": 1", "\"seed\": 2", 1)).unwrap();
    let (code, said, _) = run(&folder, &["report", "--verify", "runs/good"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("edited"), "{said}");
    let (code, badge, _) = run(&folder, &["report", "runs/good", "--badge"]);
    assert_eq!(code, 0);
    assert!(
        badge.starts_with("<svg") && badge.contains("1 Must pass"),
        "{badge}"
    );
}
