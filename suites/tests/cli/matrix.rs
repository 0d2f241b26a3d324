//! The matrix from a plan and from records, and what serves as evidence.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

use super::{LIMIT, poolproof, run, wait_for};

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
wait_ready = '10m'
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
    let began = Instant::now();
    let (code, table, log) = run(&folder, &["matrix", "plan.toml"]);
    assert_eq!(code, 4, "{log}");
    // Not the ten minutes that it may take to be ready.
    assert!(began.elapsed() < LIMIT);
    assert!(table.contains("gateway broken@2.1"), "{table}");
    assert!(
        table.contains("gateway ended: exit status: 3; its output: no config"),
        "{table}"
    );
    assert!(table.contains("`start_command` ended before"), "{table}");
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

/// Free ports of this machine.
fn ports<const N: usize>() -> [u16; N] {
    let listeners = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

fn listens(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

/// A target whose gateway and only endpoint have these ports.
fn target(gateway: u16, endpoint: u16) -> String {
    format!(
        "name = 'mine'\nurl = 'http://127.0.0.1:{gateway}'\n[[models]]\nname = 'm'\n[[models.pools]]\nname = 'm'\nendpoints = [{{ name = 'm-0', url = 'http://127.0.0.1:{endpoint}' }}]\n"
    )
}

/// A picker in the background, and a gateway in place of the shell.
const GATEWAY: &str = "\"$PROOF\" serve epp --listen 127.0.0.1:$EPP --metrics-listen 127.0.0.1:0 --pool m --endpoint m-0=127.0.0.1:$ENDPOINT &
exec \"$PROOF\" serve gateway --listen 127.0.0.1:$GATEWAY --management-listen 127.0.0.1:0 --route m=m@127.0.0.1:$EPP
";

#[test]
fn a_gateway_is_started_by_its_command_with_model_servers_and_all_of_it_ends_with_the_run() {
    let folder = TempDir::new().unwrap();
    let [gateway, epp, endpoint] = ports();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    fs::create_dir(folder.path().join("mine")).unwrap();
    write("mine/target.toml", &target(gateway, endpoint));
    write("mine/start", GATEWAY);
    let plan = format!(
        "[[stack]]
name = 'mine-1.0'
target = 'mine/target.toml'
start_command = ['sh', './start']
cwd = 'mine'
env = {{ PROOF = {{ env = 'PROOF_PROGRAM' }}, GATEWAY = '{gateway}', EPP = '{epp}', ENDPOINT = '{endpoint}' }}
start_endpoints = true
gateway = 'mine@1.0'
cases = ['routing/unknown-model', 'routing/chunked-body']

[[stack]]
name = 'ours'
place = 'embedded'
cases = ['routing/unknown-model']
"
    );
    write("plan.toml", &plan);
    // What the environment names is for other commands.
    let matrix = |folder: &TempDir| {
        let mut matrix = poolproof(folder, &["matrix", "plan.toml"]);
        matrix.env("PROOF_PROGRAM", env!("CARGO_BIN_EXE_poolproof"));
        matrix.env("POOLPROOF_TARGET", "mine/target.toml");
        matrix.env("POOLPROOF_GATEWAY", "envoy");
        let output = matrix.output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).unwrap())
    };
    let (code, said) = matrix(&folder);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("gateway mine@1.0"), "{said}");
    let read = |name: &str| {
        let path = folder.path().join("poolproof-matrix").join(name);
        fs::read_to_string(path).unwrap()
    };
    let record: Value = serde_json::from_str(&read("mine-1.0/run.json")).unwrap();
    assert_eq!(record["stack"], "mine");
    assert_eq!(record["cases"][1]["verdict"], "pass");
    let components = record["components"].to_string();
    assert!(components.contains("poolproof fixture"), "{components}");
    let ours: Value = serde_json::from_str(&read("ours/run.json")).unwrap();
    assert_eq!(ours["stack"], "embedded");
    assert!(read("mine-1.0/gateway.out").contains("listening on"));
    assert!(read("mine-1.0/logs/m-0.out").contains("listening on"));
    wait_for("the end of all servers", || {
        ![gateway, epp, endpoint].into_iter().any(listens)
    });
    let (_, said) = matrix(&folder);
    assert!(
        said.contains("stack mine-1.0 (1 of 2): ") && said.contains("; kept"),
        "{said}"
    );
}

/// A command that starts a server at another port than its target's, as a child of its own.
fn never_ready(folder: &TempDir, wait: &str) -> u16 {
    let [gateway, endpoint, other] = ports();
    fs::write(folder.path().join("target.toml"), target(gateway, endpoint)).unwrap();
    let plan = format!(
        "[[stack]]
name = 'late'
target = 'target.toml'
start_command = ['sh', '-c', 'echo at the wrong port; \"$0\" serve stub --listen 127.0.0.1:{other} & wait', '{}']
wait_ready = '{wait}'
cases = ['routing/unknown-model']
",
        env!("CARGO_BIN_EXE_poolproof")
    );
    fs::write(folder.path().join("plan.toml"), plan).unwrap();
    other
}

#[test]
fn a_command_that_never_becomes_ready_ends_in_time_with_its_children() {
    let folder = TempDir::new().unwrap();
    let port = never_ready(&folder, "2s");
    let (code, table, log) = run(&folder, &["matrix", "plan.toml"]);
    assert_eq!(code, 4, "{log}");
    assert!(log.contains("was not served within 2s"), "{log}");
    assert!(log.contains("raise `wait_ready`"), "{log}");
    assert!(
        log.contains("listening on") || log.contains("at the wrong port"),
        "{log}"
    );
    assert!(table.contains("did not start"), "{table}");
    wait_for("the end of the child", || !listens(port));
}

#[test]
fn an_interrupted_start_ends_the_command_with_its_children() {
    let folder = TempDir::new().unwrap();
    let port = never_ready(&folder, "10m");
    let mut matrix = poolproof(&folder, &["matrix", "plan.toml"]);
    let mut matrix = matrix.stderr(Stdio::null()).spawn().unwrap();
    wait_for("the child of the command", || listens(port));
    kill(Pid::from_raw(matrix.id() as i32), Signal::SIGINT).unwrap();
    assert_eq!(matrix.wait().unwrap().code(), Some(130));
    wait_for("the end of the child", || !listens(port));
}

#[test]
fn a_gateway_that_listens_before_its_command_runs_is_not_tested_in_its_place() {
    let folder = TempDir::new().unwrap();
    never_ready(&folder, "10m");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let [endpoint] = ports();
    let text = target(taken.local_addr().unwrap().port(), endpoint);
    fs::write(folder.path().join("target.toml"), text).unwrap();
    let (code, _, log) = run(&folder, &["matrix", "plan.toml"]);
    assert_eq!(code, 4, "{log}");
    assert!(
        log.contains("before `start_command` runs: stop it"),
        "{log}"
    );
}
