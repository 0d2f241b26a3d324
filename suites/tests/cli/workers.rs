//! `poolproof load --workers` from outside: several processes send what one would send.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

use super::{logged_ids, poolproof, run, states_why, wait_for};

const CHAT: &str = r#"
shows = "an example"
duration_s = 1
arrival = { process = "poisson", rate_per_s = 120 }
[[mix]]
class = "chat"
input_tokens = { from = 10, to = 40 }
output_tokens = { from = 2, to = 9 }
[[slo]]
metric = "ttft"
percentile = 50
at_most_ms = 5000
[[slo]]
metric = "failed"
at_most = 0.5
"#;

/// A stack that is kept for several runs, in a folder with workloads.
struct Kept {
    folder: TempDir,
    up: Child,
}

impl Kept {
    fn start() -> Self {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("chat.toml"), CHAT).unwrap();
        let long = CHAT.replace("duration_s = 1", "duration_s = 600");
        fs::write(folder.path().join("long.toml"), long).unwrap();
        let target = folder.path().join("target.toml");
        let up = poolproof(&folder, &["up", "--print-target"])
            .stdout(File::create(&target).unwrap())
            .spawn();
        let kept = Self {
            folder,
            up: up.unwrap(),
        };
        wait_for("the target", || {
            fs::read_to_string(&target).is_ok_and(|text| text.contains("interactive ="))
        });
        kept
    }

    /// The requests that were seen by now: what marks the run of each, and its number.
    fn seen(&self) -> Vec<(String, u64)> {
        let ids = logged_ids(&self.folder.path().join("target.toml"));
        let of_load = ids.iter().filter_map(|id| id.split_once("-load-"));
        of_load
            .map(|(run, number)| (run.to_owned(), number.parse().unwrap()))
            .collect()
    }

    fn record(&self, out: &str) -> Value {
        let path = self.folder.path().join(out).join("load.json");
        serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
    }

    /// A run of the long workload by three workers, when its first requests have been seen.
    fn sending(&self) -> Child {
        let arguments = [
            "load",
            "long.toml",
            "--target",
            "target.toml",
            "--workers",
            "3",
        ];
        let child = poolproof(&self.folder, &arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        wait_for("requests", || self.seen().len() > 30);
        child.unwrap()
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = kill(Pid::from_raw(self.up.id() as i32), Signal::SIGINT);
        let _ = self.up.wait();
    }
}

/// The processes of the workers that a process has started.
fn workers_of(parent: u32) -> Vec<i32> {
    let mut workers = Vec::new();
    for entry in fs::read_dir("/proc").unwrap() {
        let path = entry.unwrap().path();
        let read = |name: &str| fs::read_to_string(path.join(name)).unwrap_or_default();
        // proc(5): the name of the program ends with the last parenthesis, the parent is the second field behind it.
        let stat = read("stat");
        let behind = stat.rsplit_once(')').map_or("", |(_, behind)| behind);
        let is_child = behind.split_whitespace().nth(1) == Some(&parent.to_string());
        if is_child && read("cmdline").contains("serve\0worker") {
            let pid = path.file_name().unwrap().to_string_lossy().parse();
            workers.push(pid.unwrap());
        }
    }
    workers
}

#[test]
fn three_workers_send_what_one_sends_and_their_figures_are_one() {
    let kept = Kept::start();
    let send = |workers: &str| {
        let arguments = [
            "load",
            "chat.toml",
            "--target",
            "target.toml",
            "--workers",
            workers,
            "--out",
            workers,
        ];
        let (code, table, error) = run(&kept.folder, &arguments);
        let record = kept.record(workers);
        // On a busy machine requests may leave late. The run is then undecided, and its record states the doubt.
        assert!(
            code == 0 || (code == 3 && states_why(&record)),
            "{code}: {table}{error}"
        );
        (record, table)
    };
    let (one, _) = send("1");
    let (three, table) = send("3");
    for figure in ["requests", "answered", "input_tokens", "output_tokens"] {
        assert_eq!(one["total"][figure], three["total"][figure], "{figure}");
    }
    let requests = three["total"]["requests"].as_u64().unwrap();
    let times = &three["classes"][0]["times"];
    for series in ["ttft", "e2e"] {
        let pairs = times[series]["histogram_us"].as_array().unwrap();
        let counted: u64 = pairs.iter().map(|pair| pair[1].as_u64().unwrap()).sum();
        assert_eq!(counted, requests, "{series}");
    }
    let workers = three["workers"].as_array().unwrap();
    assert_eq!(workers.len(), 3);
    let sent = workers.iter().map(|it| it["sent"].as_u64().unwrap());
    assert_eq!(sent.sum::<u64>(), requests);
    for worker in workers {
        assert_eq!(worker["sent"], worker["planned"], "{worker}");
        assert!(worker["cpu_ms"].as_f64().unwrap() > 0.0, "{worker}");
        // They have one clock.
        let offset_ms = worker["clock_offset_ms"].as_f64().unwrap().abs();
        assert!(offset_ms <= worker["clock_uncertainty_ms"].as_f64().unwrap());
    }
    assert!(table.contains("worker-2"), "{table}");

    // Each request was sent once in each run, by whichever worker; each run has a mark of its own.
    let seen = kept.seen();
    let runs: BTreeSet<&String> = seen.iter().map(|(run, _)| run).collect();
    assert_eq!(runs.len(), 2);
    for run in runs {
        let own = seen.iter().filter(|(of, _)| of == run);
        let mut numbers: Vec<u64> = own.map(|(_, number)| *number).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..requests).collect::<Vec<_>>());
    }
}

#[test]
fn a_worker_that_is_killed_is_named_and_its_share_counts_as_not_sent() {
    let kept = Kept::start();
    let mut child = kept.sending();
    let workers = workers_of(child.id());
    assert_eq!(workers.len(), 3);
    kill(Pid::from_raw(workers[0]), Signal::SIGKILL).unwrap();
    // The others are interrupted when that was noticed.
    let mut errors = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("is lost") {
        line.clear();
        let read = errors.read_line(&mut line).unwrap();
        assert!(read > 0, "its end was not told");
    }
    kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(
        workers
            .iter()
            .all(|it| kill(Pid::from_raw(*it), None).is_err())
    );

    let record = kept.record("poolproof-out");
    let place = format!("process {}", workers[0]);
    let all = record["workers"].as_array().unwrap();
    let (lost, others): (Vec<&Value>, Vec<&Value>) =
        all.iter().partition(|it| it["place"] == place.as_str());
    let why = lost[0]["lost"].as_str().unwrap();
    assert!(why.contains("signal: 9"), "{why}");
    assert!(lost[0]["sent"].as_u64() < lost[0]["planned"].as_u64());
    assert!(others.iter().all(|it| it["lost"].is_null()));
    // What it sent is no part of any figure.
    let counted: u64 = others.iter().map(|it| it["sent"].as_u64().unwrap()).sum();
    assert_eq!(record["client"]["started_requests"], counted);
    let doubt = record["doubts"][0].as_str().unwrap();
    assert!(
        doubt.contains(&place) && doubt.contains("were not sent"),
        "{doubt}"
    );
    assert!(table.contains(doubt), "{table}");
    let slos = record["slos"].as_array().unwrap();
    assert!(slos.iter().all(|it| it["verdict"] != "pass"), "{slos:?}");
}

#[test]
fn a_run_of_workers_that_is_interrupted_writes_what_is_known_and_leaves_nobody() {
    let kept = Kept::start();
    let child = kept.sending();
    let workers = workers_of(child.id());
    kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert!(
        workers
            .iter()
            .all(|it| kill(Pid::from_raw(*it), None).is_err())
    );
    let record = kept.record("poolproof-out");
    assert_eq!(record["interrupted"], true);
    assert!(record["total"]["answered"].as_u64().unwrap() > 0);
    let workers = record["workers"].as_array().unwrap();
    assert!(workers.iter().all(|it| it["lost"].is_null()), "{record}");
}

#[test]
fn a_dry_run_prints_the_job_of_workers_in_a_cluster() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("chat.toml"), CHAT).unwrap();
    let arguments = [
        "load",
        "chat.toml",
        "--stack",
        "kind",
        "--workers",
        "4",
        "--dry-run",
    ];
    let (code, said, error) = run(&folder, &arguments);
    assert_eq!(code, 0, "{error}");
    // What is no YAML is a comment.
    let job = said.lines().skip_while(|line| line.starts_with('#'));
    let job: Vec<&str> = job.collect();
    assert!(
        job.contains(&"kind: Job") && job.contains(&"  completions: 4"),
        "{said}"
    );
    assert!(said.contains("- worker\n"), "{said}");
    let (_, json, _) = run(&folder, &[&arguments[..], &["--json"]].concat());
    let planned: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(planned["job"]["spec"]["parallelism"], 4);
    let (_, said, _) = run(
        &folder,
        &["load", "chat.toml", "--workers", "2", "--dry-run"],
    );
    assert!(said.contains("2 processes"), "{said}");
}
