//! The program from outside: exit codes, messages, and what it leaves behind.
#![allow(clippy::unwrap_used)]

mod compare;
mod expect;
mod first_run;
mod listings;
mod load;
mod matrix;
mod records;
mod secrets;
mod stacks;
mod torture;
mod workers;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

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

/// Waits until the record of a run has a case.
fn wait_for_a_case(folder: &TempDir) {
    let path = folder.path().join("poolproof-out/run.json");
    wait_for("a first case", || {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let record = serde_json::from_str::<Value>(&text).unwrap_or_default();
        !record["cases"][0].is_null()
    });
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
fn the_verdict_is_the_exit_code_and_the_record_says_why() {
    let folder = TempDir::new().unwrap();
    let (code, table, _) = run(&folder, &["run", "routing/unknown-model"]);
    assert_eq!(code, 0, "{table}");
    assert!(table.contains("routing/unknown-model") && table.contains("pass"));
    assert!(
        !table.contains("next:"),
        "only a terminal shows the next steps: {table}"
    );
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
fn an_image_is_written_without_an_engine() {
    let folder = TempDir::new().unwrap();
    let (code, file, error) = run(&folder, &["artifacts", "image", "made/image.tar"]);
    assert_eq!((code, file.trim()), (0, "made/image.tar"), "{error}");
    let image = std::fs::metadata(folder.path().join(file.trim())).unwrap();
    let program = std::fs::metadata(env!("CARGO_BIN_EXE_poolproof")).unwrap();
    assert!(image.len() > program.len());
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
        (
            &["run", "--stack", "local", "--jobs", "2"],
            "--jobs: only stack embedded",
        ),
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
