//! The program from outside: exit codes, messages, and what it leaves behind.
#![allow(clippy::unwrap_used)]

mod compare;
mod expect;
mod load;
mod workers;

use std::collections::BTreeSet;
use std::fs::Permissions;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use poolproof_model::target::Target;
use serde_json::Value;
use tempfile::TempDir;

/// A bound on every wait of a test.
const LIMIT: Duration = Duration::from_secs(60);
/// The time between two checks of a condition.
const POLL: Duration = Duration::from_millis(5);

fn poolproof(folder: &TempDir, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_poolproof"));
    command
        .current_dir(folder)
        .env("XDG_STATE_HOME", folder.path())
        .env_remove("POOLPROOF_STACK")
        .env_remove("POOLPROOF_EXPECT")
        .env_remove("GITHUB_ACTIONS")
        .env_remove("GITHUB_STEP_SUMMARY")
        .args(arguments);
    command
}

/// Runs it to its end: exit code, standard output, standard error.
fn run(folder: &TempDir, arguments: &[&str]) -> (i32, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = poolproof(folder, arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

fn record(folder: &TempDir) -> Value {
    let text = std::fs::read_to_string(folder.path().join("poolproof-out/run.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Whether the record of a load run states why it is not decided.
fn states_why(record: &Value) -> bool {
    let mut slos = record["slos"].as_array().unwrap().iter();
    let doubts = record["doubts"].as_array().unwrap();
    !doubts.is_empty() || slos.any(|slo| slo["verdict"] == "inconclusive")
}

fn wait_for(what: &str, check: impl Fn() -> bool) {
    let started = Instant::now();
    while !check() {
        assert!(started.elapsed() < LIMIT, "{what}: not in time");
        std::thread::sleep(POLL);
    }
}

#[test]
fn a_record_is_rendered_again_and_what_is_none_is_wrong_use() {
    let folder = TempDir::new().unwrap();
    let (_, table, _) = run(&folder, &["run", "routing/unknown-model"]);
    let (code, again, _) = run(&folder, &["report", "poolproof-out"]);
    assert_eq!(code, 0);
    assert!(table.starts_with(again.trim_end()), "{again}");
    let rendered = |format| {
        run(
            &folder,
            &["report", "poolproof-out/run.json", "--format", format],
        )
        .1
    };
    assert!(rendered("markdown").contains("| pass | routing/unknown-model | must |"));
    assert!(rendered("junit").contains("tests=\"1\""));
    let ctrf: Value = serde_json::from_str(&rendered("ctrf")).unwrap();
    assert_eq!(ctrf["results"]["summary"]["passed"], 1);

    let path = folder.path().join("poolproof-out/run.json");
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let (code, _, message) = run(&folder, &["report", "poolproof-out"]);
    assert_eq!(code, 2);
    assert!(message.contains("run.json"), "{message}");
}

#[test]
fn the_verdict_is_the_exit_code_and_the_record_says_why() {
    let folder = TempDir::new().unwrap();
    let (code, table, _) = run(&folder, &["run", "routing/unknown-model"]);
    assert_eq!(code, 0, "{table}");
    assert!(table.contains("routing/unknown-model") && table.contains("pass"));
    assert_eq!(record(&folder)["cases"][0]["verdict"], "pass");
    assert!(folder.path().join("poolproof-out/junit.xml").exists());

    let flawed = ["run", "routing/unknown-model", "--flaw", "catch-all-route"];
    let (code, table, _) = run(&folder, &flawed);
    assert_eq!(code, 1, "{table}");
    assert!(
        table.contains("expected routed nowhere, got endpoint"),
        "{table}"
    );
    let record = record(&folder);
    assert_eq!(record["flaw"], "catch-all-route");
    assert_eq!(record["cases"][0]["verdict"], "fail");
    let mismatch = &record["cases"][0]["mismatches"][0];
    assert_eq!(mismatch["expected"], "routed nowhere");
}

#[test]
fn a_record_that_cannot_be_saved_is_an_internal_error_and_not_an_undecided_run() {
    let folder = TempDir::new().unwrap();
    std::fs::create_dir_all(folder.path().join("poolproof-out/run.json")).unwrap();
    let (code, _, error) = run(&folder, &["run", "routing/unknown-model"]);
    assert_eq!(code, 70, "{error}");
    assert!(error.contains("run.json"), "{error}");
    std::fs::write(folder.path().join("file"), "").unwrap();
    let (code, _, error) = run(&folder, &["run", "routing/unknown-model", "--out", "file"]);
    assert_eq!(code, 2, "{error}");
}

#[test]
fn a_record_under_another_name_is_rendered_by_its_schema() {
    let folder = TempDir::new().unwrap();
    let reports = concat!(env!("CARGO_MANIFEST_DIR"), "/../reports");
    for (name, part) in [
        ("load-local-envoy/load.json", "every objective was met"),
        ("load-url-h200/overhead.json", "round robin"),
        ("url-h200/run.json", "seed"),
    ] {
        let renamed = folder.path().join("load-before.json");
        std::fs::copy(format!("{reports}/{name}"), &renamed).unwrap();
        let (code, table, error) = run(&folder, &["report", "load-before.json"]);
        assert_eq!(code, 0, "{name}: {error}");
        assert!(table.contains(part), "{name}: {table}");
    }
    let (code, _, error) = run(&folder, &["report", "load-before.json", "--format", "vllm"]);
    assert_eq!(code, 2);
    assert!(
        error.contains("not supported for a run of cases"),
        "{error}"
    );
}

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
fn adapters_are_judged_where_there_are_some() {
    let folder = TempDir::new().unwrap();
    let adapters = "name = \"t\"\n[[models]]\nname = \"m\"\nadapters = [\"m-lora\"]\n\
                    [[models.pools]]\nname = \"p\"\nweight = 1\nendpoints = 1\n";
    std::fs::write(folder.path().join("topology.toml"), adapters).unwrap();
    let (code, table, _) = run(
        &folder,
        &["run", "routing/adapter", "--topology", "topology.toml"],
    );
    assert_eq!(code, 0, "{table}");
    assert_eq!(record(&folder)["cases"][0]["verdict"], "pass");
    let (_, table, _) = run(&folder, &["run", "routing/adapter"]);
    assert!(table.contains("a model with adapters"), "{table}");
}

#[test]
fn a_job_of_github_actions_gets_annotations_and_a_summary() {
    let folder = TempDir::new().unwrap();
    let summary = folder.path().join("summary.md");
    std::fs::write(&summary, "before\n").unwrap();
    let arguments = ["run", "routing/unknown-model", "--flaw", "unknown-503"];
    let mut command = poolproof(&folder, &arguments);
    command
        .env("GITHUB_ACTIONS", "true")
        .env("GITHUB_STEP_SUMMARY", &summary);
    let done = command.output().unwrap();
    let errors = String::from_utf8(done.stderr).unwrap();
    assert!(
        errors.contains("::error title=routing/unknown-model::fail: "),
        "{errors}"
    );
    let summary = std::fs::read_to_string(&summary).unwrap();
    assert!(
        summary.starts_with("before\n## poolproof on embedded: does not conform"),
        "{summary}"
    );
}

#[test]
fn wrong_use_is_2_and_says_what_would_be_right() {
    let folder = TempDir::new().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let model = "[[models]]\nname = \"m\"\n";
    let head = "name = \"g\"\nurl = \"http://127.0.0.1:1\"\n";
    write("no-pools.toml", &format!("{head}{model}"));
    write(
        "unknown.toml",
        &format!("{head}{model}[[models.pools]]\nname = \"p\"\nwait = 1\n"),
    );
    write(
        "topology.toml",
        &format!(
            "name = \"t\"\n{model}[[models.pools]]\nname = \"p\"\nweight = 0\nendpoints = 1\n"
        ),
    );
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    for (arguments, why) in [
        (
            &["run", "--target", "no-pools.toml"][..],
            "no-pools.toml: model \"m\": `pools`",
        ),
        (&["run", "--target", "unknown.toml"], "unknown field `wait`"),
        (&["run", "--target", "absent.toml"], "absent.toml"),
        (
            &["run", "--topology", "topology.toml"],
            "topology.toml: model \"m\"",
        ),
        (&["run", "rooting"], "suites: routing"),
        (&["run", "--stack", "url"], "--target FILE"),
        (&["run", "--inside"], "only stacks kind and cluster"),
        (&["run", "--flaw", "none-such"], "list --flaws"),
        (&["selftest", "none-such"], "list --flaws"),
        (&["run", "--tolerance", "77"], "--tolerance 77"),
        (&["run", "--tolerance", "10"], "below the smallest share"),
        (&["run", "--alpha", "0"], "--alpha 0"),
        (&["plan", "--all", "--power", "1"], "--power 1"),
        (&["plan", "canary", "--weights", "0,0"], "sum to 0"),
        (
            &["plan", "canary", "--weights", "7"],
            "one pool gets everything",
        ),
        (
            &["plan", "canary", "--tolerance", "10"],
            "below the lightest share",
        ),
        (
            &["run", "--stack", "local", "--flaw", "round-robin"],
            "--stack embedded",
        ),
        (
            &["serve", "model-server", "--model", "m", "--listen", &taken],
            "Address already in use",
        ),
        (
            &["serve", "gateway", "--route", "m=p"],
            "POOL[:WEIGHT]@HOST:PORT",
        ),
    ] {
        let (code, _, error) = run(&folder, arguments);
        assert_eq!(code, 2, "{arguments:?}: {error}");
        assert!(error.contains(why), "{arguments:?}: {error}");
    }
}

#[test]
fn a_stack_that_cannot_be_had_is_4_and_says_what_is_missing() {
    let folder = TempDir::new().unwrap();
    let text = "name = \"g\"\nurl = \"http://127.0.0.1:1\"\n[[models]]\nname = \"m\"\n[[models.pools]]\nname = \"p\"\nweight = 1\n";
    std::fs::write(folder.path().join("dead.toml"), text).unwrap();
    let (code, _, error) = run(&folder, &["run", "--target", "dead.toml"]);
    assert_eq!(code, 4, "{error}");
    assert!(error.contains("`url` http://127.0.0.1:1"), "{error}");

    for arguments in [
        &["run", "--stack", "local"][..],
        &["doctor", "--stack", "local"],
    ] {
        let output = poolproof(&folder, arguments)
            .env("PATH", "")
            .env("POOLPROOF_BIN_DIR", folder.path())
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8(said).unwrap();
        assert_eq!(output.status.code(), Some(4), "{said}");
        assert!(
            said.contains("epp") && said.contains("ci/upstream/build"),
            "{said}"
        );
    }
}

#[test]
fn an_interrupted_run_writes_what_is_known() {
    let folder = TempDir::new().unwrap();
    let mut child = poolproof(&folder, &["run", "routing/unknown-model", "distribution"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let path = folder.path().join("poolproof-out/run.json");
    wait_for("a first record", || path.exists());
    kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let record = record(&folder);
    assert_eq!(record["interrupted"], true);
    assert_eq!(record["cases"][0]["verdict"], "pass");
}

/// The ids of all requests of ours that the endpoints of a target have logged.
fn logged_ids(target: &Path) -> Vec<String> {
    let target = Target::load(target).unwrap();
    let mut ids = Vec::new();
    for control in target.endpoints().filter_map(|it| it.control.as_ref()) {
        let mut socket = TcpStream::connect(&*control.socket_addrs(|| None).unwrap()).unwrap();
        let path = control.path();
        write!(socket, "GET {path}/requests HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let log: Value = serde_json::from_str(body).unwrap();
        for request in log["requests"].as_array().unwrap() {
            ids.extend(request["id"].as_str().map(str::to_owned));
        }
    }
    ids
}

#[test]
fn a_kept_stack_is_a_target_until_it_is_taken_down() {
    let folder = TempDir::new().unwrap();
    let mut kept = poolproof(&folder, &["up", "--print-target"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut target = String::new();
    let mut lines = BufReader::new(kept.stdout.take().unwrap()).lines();
    // The objectives stand last.
    while !target.contains("interactive =") {
        target.push_str(&lines.next().unwrap().unwrap());
        target.push('\n');
    }
    let file = folder.path().join("target.toml");
    std::fs::write(&file, target).unwrap();
    // Twice with one seed: the second run is not to be taken for the first. The stack takes changes from another process.
    for case in [
        "routing/known-model",
        "routing/known-model",
        "faults/picker-down",
    ] {
        let arguments = ["run", "--target", "target.toml", case];
        let (code, table, error) = run(&folder, &arguments);
        assert_eq!(code, 0, "{table}{error}");
    }
    let ids = logged_ids(&file);
    let distinct: BTreeSet<&String> = ids.iter().collect();
    assert!(!ids.is_empty() && distinct.len() == ids.len(), "{ids:?}");
    let is_noted = |folder: &Path| {
        std::fs::read_dir(folder.join("poolproof/stacks")).is_ok_and(|mut it| it.next().is_some())
    };
    wait_for("the note of the stack", || is_noted(folder.path()));
    let (code, said, _) = run(&folder, &["down"]);
    assert_eq!((code, said.trim()), (0, "1 stack stopped"));
    assert_eq!(kept.wait().unwrap().code(), Some(0));
    assert!(!is_noted(folder.path()));
}

#[test]
fn a_start_that_is_interrupted_is_130_and_what_it_made_is_taken_back() {
    let folder = TempDir::new().unwrap();
    let note = |name: &str| folder.path().join(name);
    let (made, deleted) = (note("made"), note("deleted"));
    // They answer, but a cluster is never ready.
    let script = format!(
        "#!/bin/sh\ncase $1 in\ncreate) : > {}; exec sleep 60;;\ndelete) : > {};;\nesac\n",
        made.display(),
        deleted.display()
    );
    for tool in ["docker", "kind", "helm"] {
        std::fs::write(note(tool), &script).unwrap();
        std::fs::set_permissions(note(tool), Permissions::from_mode(0o755)).unwrap();
    }
    let path = std::env::var("PATH").unwrap();
    let up = poolproof(&folder, &["up", "--stack", "kind"])
        .env("PATH", format!("{}:{path}", folder.path().display()))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for("the creation of a cluster", || made.exists());
    kill(Pid::from_raw(up.id() as i32), Signal::SIGINT).unwrap();
    let ended = up.wait_with_output().unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(130), "{said}");
    assert!(said.contains("before the stack was up"), "{said}");
    assert!(deleted.exists());
}

#[test]
fn plans_are_for_people_and_for_programs() {
    let folder = TempDir::new().unwrap();
    let asked = ["plan", "canary", "--weights", "90,10", "--have", "60"];
    let (code, text, _) = run(&folder, &asked);
    assert!(code == 0 && text.contains("4278 requests"), "{text}");
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
    ] {
        let (code, table, _) = run(&folder, arguments);
        assert!(code == 0 && table.contains(name), "{table}");
        let (_, json, _) = run(&folder, &[arguments, &["--json"]].concat());
        let rows: Vec<Value> = serde_json::from_str(&json).unwrap();
        assert!(
            rows.iter()
                .any(|row| row["id"] == name || row["name"] == name)
        );
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
