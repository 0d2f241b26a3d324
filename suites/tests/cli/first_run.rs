//! A first run without a file: a URL on the command line, the flags of a workload, and `poolproof init`.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use poolproof_model::target::Target;
use poolproof_model::workload::Workload;
use serde_json::Value;
use tempfile::TempDir;

use super::{poolproof, run};

/// A server of poolproof, as a process of its own.
struct Served {
    child: Child,
    url: String,
}

impl Served {
    fn start(folder: &TempDir, arguments: &[&str]) -> Self {
        let arguments = [&["serve"], arguments].concat();
        let mut child = poolproof(folder, &arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on ").unwrap();
        Self {
            url: format!("http://{address}"),
            child,
        }
    }

    /// A model server that answers quickly.
    fn models(folder: &TempDir, names: &[&str]) -> Self {
        let models: Vec<&str> = names.iter().flat_map(|name| ["--model", name]).collect();
        Self::start(folder, &[&["model-server"], models.as_slice()].concat())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn record(folder: &TempDir) -> Value {
    let text = std::fs::read_to_string(folder.path().join("poolproof-out/load.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Whether a load run was sent. On a busy machine it may end undecided, because requests were late.
fn was_sent(code: i32) -> bool {
    matches!(code, 0 | 3)
}

#[test]
fn a_url_is_all_that_a_load_run_needs_and_its_first_model_is_taken() {
    let folder = TempDir::new().unwrap();
    let server = Served::models(&folder, &["first", "second"]);
    let url = format!("{}/v1", server.url);
    let (code, table, error) = run(
        &folder,
        &["load", &url, "--duration", "1s", "--output", "9"],
    );
    assert!(was_sent(code), "{table}{error}");
    let said = format!(
        "{}: model first; --model chooses another: second",
        server.url
    );
    assert!(error.contains(&said), "{error}");
    assert!(
        error.contains("8 users, each with one request at a time, for 1 s"),
        "{error}"
    );
    assert!(
        table.contains(&format!(
            "quick-chat on {}: every objective was met",
            server.url
        )),
        "{table}"
    );
    let record = record(&folder);
    assert_eq!(record["target"]["models"][0]["name"], "first");
    assert_eq!(record["total"]["failed"], serde_json::json!({}));
    assert_eq!(record["workload"]["mix"][0]["output_tokens"], 9);
}

#[test]
fn each_flag_overrides_its_field_and_the_file_that_is_written_equals_the_line() {
    let folder = TempDir::new().unwrap();
    let server = Served::models(&folder, &["first", "second"]);
    let flags = [
        "--model",
        "second",
        "--rate",
        "30",
        "--input",
        "20",
        "--output",
        "5:1",
        "--duration",
        "1500ms",
        "--slo",
        "ttft.p50=4s",
        "--slo",
        "failures=30%",
        "--slo",
        "goodput=50%",
    ];
    let line = [
        &["load", server.url.as_str(), "--write-workload", "line.toml"][..],
        &flags,
    ]
    .concat();
    let (code, table, error) = run(&folder, &line);
    assert!(was_sent(code), "{table}{error}");
    let of_line = record(&folder);
    assert_eq!(of_line["workload"]["arrival"]["process"], "poisson");
    assert_eq!(of_line["workload"]["duration_s"], 1.5);
    assert_eq!(
        of_line["workload"]["mix"][0]["output_tokens"]["deviation"],
        1.0
    );
    let slos: Vec<&str> = of_line["slos"]
        .as_array()
        .unwrap()
        .iter()
        .map(|slo| slo["verdict"].as_str().unwrap())
        .collect();
    assert_eq!(
        slos, ["pass"; 3],
        "the default limit on failures is replaced"
    );
    assert_eq!(of_line["target"]["models"][0]["name"], "second");

    let file = folder.path().join("line.toml");
    let (workload, _) = Workload::load(file.to_str().unwrap()).unwrap();
    assert_eq!(
        serde_json::to_value(&workload).unwrap(),
        of_line["workload"]
    );
    let (code, _, error) = run(&folder, &["load", "line.toml", &server.url]);
    assert!(was_sent(code), "{error}");
    assert_eq!(record(&folder)["workload"], of_line["workload"]);
    let (code, _, error) = run(&folder, &line);
    assert!(code == 2 && error.contains("exists already"), "{error}");

    let users = [
        "load",
        "steady-chat",
        &server.url,
        "--users",
        "3",
        "--duration",
        "1",
        "--dry-run",
        "--json",
    ];
    let (code, planned, error) = run(&folder, &users);
    assert!(was_sent(code), "{error}");
    let planned: Value = serde_json::from_str(&planned).unwrap();
    assert_eq!(planned["users"], 3);
    assert_eq!(
        planned["workload"]["mix"][0]["input_tokens"]["median"],
        150.0
    );
}

#[test]
fn prompts_of_a_file_are_what_the_server_receives() {
    let folder = TempDir::new().unwrap();
    let server = Served::models(&folder, &["m"]);
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("prompts.txt", "one two three\nfour five six seven\n");
    write(
        "data.json",
        r#"[{"conversations": [{"from": "human", "value": "a b c"}, {"from": "gpt", "value": "12345678901"}]}]"#,
    );
    let send = |flags: &[&str]| {
        let line = [
            &[
                "load",
                server.url.as_str(),
                "--rate",
                "20",
                "--duration",
                "1",
            ][..],
            flags,
        ]
        .concat();
        let (code, table, error) = run(&folder, &line);
        // A sample of 20 may leave the limit on failures open.
        assert!(code == 0 || code == 3, "{table}{error}");
        let record = record(&folder);
        let total = record["total"].clone();
        assert_eq!(total["requests"], total["answered"], "{record}");
        let mean = |key: &str| total[key].as_f64().unwrap() / total["answered"].as_f64().unwrap();
        (mean("input_tokens"), mean("output_tokens"), error)
    };
    let (input, output, error) = send(&["--prompt-file", "prompts.txt", "--output", "6"]);
    assert!(error.contains("2 prompts"), "{error}");
    // The chat template of the stand-in adds five tokens to three or four words.
    assert!((8.0..=9.0).contains(&input), "{input}");
    assert_eq!(output, 6.0);
    let (input, output, _) = send(&["--dataset", "data.json"]);
    assert_eq!((input, output), (8.0, 3.0), "the answer has eleven bytes");
    let (_, output, _) = send(&["--dataset", "data.json", "--output", "7"]);
    assert_eq!(output, 7.0);
}

#[test]
fn what_is_wrong_on_the_line_is_2_and_named_with_a_remedy() {
    let folder = TempDir::new().unwrap();
    let server = Served::models(&folder, &["m"]);
    let stub = Served::start(&folder, &["stub"]);
    let url = server.url.as_str();
    std::fs::write(folder.path().join("bad.jsonl"), "{\"question\": 1}\n").unwrap();
    std::fs::write(folder.path().join("http.toml"), "shows = ''\nhttp = 2\n").unwrap();
    for (arguments, named) in [
        (
            &["load", url, "--rate", "0"][..],
            "--rate 0: arrival: `rate_per_s` is 0",
        ),
        (&["load", url, "--users", "0"], "--users 0"),
        (
            &["load", url, "--rate", "1", "--users", "1"],
            "cannot be used with",
        ),
        (&["load", url, "--duration", "5d"], "500ms, 30s, 5m, 1h"),
        (
            &["load", url, "--input", "many"],
            "mean:deviation such as 200:20",
        ),
        (&["load", url, "--output", "0"], "must be 1 to"),
        (&["load", url, "--slo", "ttft=1s"], "ttft.p95"),
        (
            &["load", url, "--slo", "speed.p95=1s"],
            "expected one of ttft",
        ),
        (
            &["load", url, "--prompt-file", "none.txt"],
            "--prompt-file none.txt",
        ),
        (
            &["load", url, "--dataset", "bad.jsonl"],
            "`messages` and `conversations`",
        ),
        (
            &["load", url, "--dataset", "bad.jsonl", "--input", "3"],
            "cannot be used with",
        ),
        (&["load", "agentic-sessions", url, "--rate", "3"], "--users"),
        (&["load", "canary-under-load", url], "name one with --model"),
        (
            &["load", "steady-chat", "long-context", url],
            "one workload",
        ),
        (&["load", "127.0.0.1:8000"], "write http://127.0.0.1:8000"),
        (&["load", "--rate", "3"], "the URL of a gateway"),
        (&["load", &stub.url], "--model NAME"),
        (&["load", "http.toml", url], "\"1.1\" and \"2\""),
        (&["run", &stub.url], "--model NAME"),
        (&["run", url, "--target", "t.toml"], "but not both"),
        (&["run", "--model", "m"], "--model m: only for a URL"),
        (&["run", "--case-timeout", "100ms"], "1 second to 1 day"),
        (&["init"], "--context"),
    ] {
        let (code, _, error) = run(&folder, arguments);
        assert_eq!(code, 2, "{arguments:?}: {error}");
        assert!(error.contains(named), "{arguments:?}: {error}");
    }
    for command in ["load", "run", "init"] {
        let (code, _, error) = run(&folder, &[command, "http://127.0.0.1:1"]);
        assert_eq!(code, 4, "{command}: {error}");
        assert!(
            error.contains("no server answers at http://127.0.0.1:1"),
            "{command}: {error}"
        );
    }
}

#[test]
fn a_url_beside_a_workload_is_the_stack_that_is_reported() {
    let folder = TempDir::new().unwrap();
    let server = Served::models(&folder, &["theirs"]);
    let arguments = [
        "load",
        "steady-chat",
        "--url",
        &server.url,
        "--duration",
        "1",
    ];
    let (_, table, error) = run(&folder, &arguments);
    assert!(
        table.contains(&format!("steady-chat on {}:", server.url)),
        "{table}{error}"
    );
    let record = record(&folder);
    assert_eq!(record["stack"], server.url.as_str());
    assert_eq!(
        record["total"]["requests"], record["total"]["answered"],
        "{record}"
    );
}

#[test]
fn a_server_that_only_fails_is_1_with_the_reasons_counted() {
    let folder = TempDir::new().unwrap();
    let stub = Served::start(
        &folder,
        &["stub", "--tokens", "4", "--shape", "finish-abort"],
    );
    let arguments = [
        "load",
        &stub.url,
        "--model",
        "m",
        "--duration",
        "1",
        "--users",
        "1",
    ];
    let (code, table, error) = run(&folder, &arguments);
    assert_eq!(code, 1, "{table}{error}");
    let record = record(&folder);
    let (failed, requests) = (
        &record["classes"][0]["failed"]["aborted"],
        &record["total"]["requests"],
    );
    let line = format!("failed       {failed} of {requests} chat: {failed} aborted");
    assert!(table.contains(&line), "{line}: {table}");
}

#[test]
fn few_answers_have_means_and_the_reason_for_missing_percentiles() {
    let folder = TempDir::new().unwrap();
    let server = Served::models(&folder, &["m"]);
    let arguments = [
        "load",
        &server.url,
        "--rate",
        "10",
        "--duration",
        "1",
        "--output",
        "5",
    ];
    let (code, table, error) = run(&folder, &arguments);
    assert!(code == 0 || code == 3, "{table}{error}");
    assert!(
        table.contains("p50 needs 20 requests, p95 200, p99 1,000"),
        "{table}"
    );
    assert!(
        table.contains(" answers; mean: TTFT ") && table.contains("; median: TTFT "),
        "{table}"
    );
}

#[test]
fn a_conformance_run_of_a_url_says_which_fields_would_let_more_cases_run() {
    let folder = TempDir::new().unwrap();
    let server = Served::models(&folder, &["m"]);
    let arguments = ["run", &server.url, "routing"];
    let (_, table, error) = run(&folder, &arguments);
    assert!(table.contains("routing/stream-intact"), "{table}{error}");
    assert!(
        table.contains("add `[[models.pools.endpoints]]` by `name`"),
        "{table}"
    );
    let text = std::fs::read_to_string(folder.path().join("poolproof-out/run.json")).unwrap();
    let record: Value = serde_json::from_str(&text).unwrap();
    let cases = record["cases"].as_array().unwrap();
    let verdict = |id: &str| {
        let case = cases.iter().find(|case| case["id"] == id).unwrap();
        case["verdict"].as_str().unwrap().to_owned()
    };
    assert_eq!(verdict("routing/stream-intact"), "pass", "{table}");
    assert_eq!(record["target"]["served_by_header"], "x-inference-pod");
    let skipped = cases
        .iter()
        .filter(|case| case["verdict"] == "skip")
        .count();
    assert!(
        table.contains(&format!("{skipped} cases were left out")),
        "{table}"
    );
}

#[test]
fn init_writes_a_file_that_run_and_load_take_and_never_overwrites_one() {
    let folder = TempDir::new().unwrap();
    let server = Served::start(
        &folder,
        &["model-server", "--model", "m", "--lora-modules", "billsum"],
    );
    let (code, said, error) = run(&folder, &["init", &server.url]);
    assert_eq!(code, 0, "{said}{error}");
    let path = folder.path().join("target.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains("it speaks HTTP/1.1"), "{text}");
    let target = Target::load(&path).unwrap();
    assert_eq!(target.models[0].adapters, ["billsum"], "{text}");
    assert_eq!(target.served_by_header.as_deref(), Some("x-inference-pod"));
    let (code, table, error) = run(
        &folder,
        &["run", "--target", "target.toml", "routing/stream-intact"],
    );
    assert_eq!(code, 0, "{table}{error}");
    let load = [
        "load",
        "steady-chat",
        "--target",
        "target.toml",
        "--dry-run",
    ];
    assert_eq!(run(&folder, &load).0, 0);

    let (code, _, error) = run(&folder, &["init", &server.url]);
    assert!(code == 2 && error.contains("--force"), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    let (code, printed, _) = run(&folder, &["init", &server.url, "-o", "-"]);
    assert!(code == 0 && printed.trim() == text.trim(), "{printed}");
    std::fs::write(&path, "mine").unwrap();
    assert_eq!(run(&folder, &["init", &server.url, "--force"]).0, 0);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
}
