//! `poolproof load` from outside.

use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustls::pki_types::PrivateKeyDer;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;

use super::{logged_ids, poolproof, run, states_why, wait_for};

const CHAT: &str = r#"
shows = "an example"
duration_s = 1
warm_up_s = 0.2
arrival = { process = "constant", rate_per_s = 50 }
[[mix]]
class = "chat"
input_tokens = 20
output_tokens = 5
[[slo]]
metric = "ttft"
percentile = 50
at_most_ms = 2000
[[slo]]
metric = "failed"
at_most = 0.2
"#;

/// A folder with this workload in it.
fn folder(workload: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("chat.toml"), workload).unwrap();
    folder
}

fn record(folder: &TempDir, name: &str) -> Value {
    let text = std::fs::read_to_string(folder.path().join("poolproof-out").join(name)).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn a_workload_is_sent_and_its_objectives_are_judged() {
    let folder = folder(CHAT);
    let secret = [
        "load",
        "chat.toml",
        "--header",
        "authorization: Bearer hunter2",
    ];
    let (code, table, error) = run(&folder, &secret);
    assert_eq!(code, 0, "{table}{error}");
    let record = record(&folder, "load.json");
    assert_eq!(record["classes"][0]["requests"], 40);
    assert_eq!(record["classes"][0]["answered"], 40);
    assert_eq!(record["classes"][0]["output_tokens"], 200);
    assert_eq!(record["unattributed"], 0);
    assert_eq!(record["slos"][0]["verdict"], "pass");
    assert!(!record.to_string().contains("hunter2"));
    let (code, again, _) = run(&folder, &["report", "poolproof-out/load.json"]);
    assert!(code == 0 && table.starts_with(again.trim_end()), "{again}");
}

#[test]
fn a_run_is_compared_with_the_last_one_in_its_folder_unless_another_is_named() {
    let folder = folder(CHAT);
    let out = |name: &str| {
        let path = folder.path().join("poolproof-out").join(name);
        std::fs::read_to_string(path).unwrap()
    };
    let (_, first, _) = run(&folder, &["load", "chat.toml"]);
    assert!(!first.contains("Compared with"), "{first}");
    let kept = out("load.json");
    let (_, second, error) = run(&folder, &["load", "chat.toml"]);
    let heading = "Compared with the last run";
    assert!(second.contains(heading), "{second}{error}");
    assert_eq!(out("load.last.json"), kept);
    assert!(out("load.html").contains(heading));
    for format in ["terminal", "markdown", "html"] {
        let (code, report, error) = run(&folder, &["report", "poolproof-out", "--format", format]);
        assert!(code == 0 && report.contains(heading), "{report}{error}");
    }
    let (code, junit, _) = run(&folder, &["report", "poolproof-out", "--format", "junit"]);
    assert!(code == 0 && !junit.contains(heading), "{junit}");

    std::fs::write(folder.path().join("first.json"), kept).unwrap();
    let (_, other, _) = run(&folder, &["load", "chat.toml", "--baseline", "first.json"]);
    let named = "Compared with the baseline";
    assert!(other.contains(named) && !other.contains(heading), "{other}");
    let (_, slower, _) = run(&folder, &["load", "chat.toml", "--rate", "45"]);
    assert!(
        slower.contains("not compared: load: the workloads differ"),
        "{slower}"
    );
    let (code, _, error) = run(&folder, &["load", "chat.toml", "--baseline", "gone"]);
    assert!(code == 2 && error.contains("--baseline: gone: "), "{error}");
}

#[test]
fn a_workload_brings_the_adapters_that_it_needs_and_says_so_to_a_target_without() {
    let folder = folder(CHAT);
    let (_, table, error) = run(&folder, &["load", "lora-mix", "--duration", "1"]);
    let record = record(&folder, "load.json");
    let adapters = record["adapters"].as_array().unwrap();
    assert_eq!(adapters.len(), 15, "{error}");
    let served = adapters.iter().flat_map(|it| it["endpoints"].as_array());
    assert!(served.flatten().all(|it| it["pool"] == "base"), "{record}");
    assert_eq!(record["total"]["requests"], record["total"]["answered"]);
    assert!(table.contains("lora-14"), "{table}");

    let without = folder.path().join("without.toml");
    std::fs::write(&without, "name = \"g\"\nurl = \"http://127.0.0.1:1\"\n[[models]]\nname = \"m\"\n[[models.pools]]\nname = \"p\"\nweight = 1\n").unwrap();
    let arguments = ["load", "lora-mix", "--target", "without.toml", "--dry-run"];
    let (code, _, error) = run(&folder, &arguments);
    assert!(code == 2 && error.contains("needs `adapters = "), "{error}");
}

#[test]
fn an_objective_that_is_missed_is_1_and_one_that_is_not_decided_3() {
    let missed = folder(&CHAT.replace("at_most_ms = 2000", "at_most_ms = 0.001"));
    let (code, table, _) = run(&missed, &["load", "chat.toml"]);
    assert!(
        code == 1 && table.contains("fail         ttft p50"),
        "{table}"
    );
    let too_few = folder(&CHAT.replace("at_most = 0.2", "at_most = 0.001"));
    let (code, table, _) = run(&too_few, &["load", "chat.toml"]);
    assert!(
        code == 3 && table.contains("a longer run decides"),
        "{table}"
    );
}

#[test]
fn prompts_are_made_for_the_tokenizer_that_is_given() {
    let folder = folder(CHAT);
    // Each letter is a token, so a prompt is one word, which the stand-in counts as one; five more are of the chat.
    let letters: String = ('a'..='z')
        .enumerate()
        .map(|(id, letter)| format!("\"{letter}\": {id},"))
        .collect();
    let tokenizer = format!(
        r#"{{ "version": "1.0", "added_tokens": [],
             "model": {{ "type": "BPE", "vocab": {{ {letters} " ": 26 }}, "merges": [] }} }}"#
    );
    std::fs::write(folder.path().join("t.json"), tokenizer).unwrap();
    for (workers, more) in [(None, 0), (Some("--workers=2"), 2)] {
        let arguments = ["load", "chat.toml", "--tokenizer", "t.json"];
        let arguments: Vec<&str> = arguments.into_iter().chain(workers).collect();
        let (code, table, error) = run(&folder, &arguments);
        let record = record(&folder, "load.json");
        let decided = code == 0 || (code == 3 && states_why(&record));
        assert!(decided, "{code}: {table}{error}");
        assert_eq!(record["workers"].as_array().map_or(0, Vec::len), more);
        let answered = record["total"]["answered"].as_u64().unwrap();
        assert_eq!(record["total"]["input_tokens"], 6 * answered);
        assert_eq!(record["tokenizer"]["file"], "t.json");
    }
}

#[test]
fn a_workload_that_cannot_be_sent_is_2_and_says_what_is_wrong() {
    for (from, to, named) in [
        ("duration_s", "duration", "unknown field `duration`"),
        ("rate_per_s = 50", "rate_per_s = 0", "`rate_per_s` is 0"),
        (
            "\"ttft\"",
            "\"latency\"",
            "unknown metric: expected one of ttft",
        ),
        (
            "class = \"chat\"",
            "class = \"chat\"\nstream = false",
            "is not measured for class \"chat\"",
        ),
        (
            "class = \"chat\"",
            "class = \"chat\"\nmodel = \"gpt\"",
            "it has model-a, model-b",
        ),
    ] {
        let folder = folder(&CHAT.replacen(from, to, 1));
        let (code, _, error) = run(&folder, &["load", "chat.toml"]);
        assert!(
            code == 2 && error.contains(named) && error.contains("error: "),
            "{error}"
        );
    }
    let folder = folder(CHAT);
    for (arguments, named) in [
        (&["load", "steady"][..], "steady-chat"),
        (&["load", "none.toml"], "none.toml"),
        (&["load", "chat.toml", "--rate=-1"], "rate"),
        (
            &["load", "chat.toml", "--header", "nonsense"],
            "name: value",
        ),
        (&["load", "overhead", "canary-under-load"], "blocks"),
        (
            &["load", "chat.toml", "--tokenizer", "none.json"],
            "none.json",
        ),
        (
            &["load", "chat.toml", "--dry-run", "--tokenizer=chat.toml"],
            "--tokenizer chat.toml: not a tokenizer",
        ),
    ] {
        let (code, _, error) = run(&folder, arguments);
        assert!(code == 2 && error.contains(named), "{error}");
    }
    let many = CHAT.replace(
        "process = \"constant\", rate_per_s = 50",
        "process = \"closed\", users = 100000000",
    );
    std::fs::write(folder.path().join("many.toml"), many).unwrap();
    let (code, _, error) = run(&folder, &["load", "many.toml"]);
    assert!(
        code == 2 && error.contains("`users` is 100000000"),
        "{error}"
    );
}

#[test]
fn an_interrupted_load_run_writes_what_is_known() {
    let folder = folder(&CHAT.replace("duration_s = 1", "duration_s = 600"));
    let target = folder.path().join("target.toml");
    let kept = poolproof(&folder, &["up", "--print-target"])
        .stdout(std::fs::File::create(&target).unwrap())
        .spawn();
    let mut kept = kept.unwrap();
    wait_for("the target", || {
        std::fs::read_to_string(&target).is_ok_and(|text| text.contains("interactive ="))
    });
    let arguments = ["load", "chat.toml", "--target", "target.toml"];
    let child = poolproof(&folder, &arguments).stdout(Stdio::null()).spawn();
    let mut child = child.unwrap();
    wait_for("a request", || !logged_ids(&target).is_empty());
    kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(record(&folder, "load.json")["interrupted"], true);
    kill(Pid::from_raw(kept.id() as i32), Signal::SIGINT).unwrap();
    kept.wait().unwrap();
}

/// Serves TLS with a certificate of its own, and answers every request of a connection with a stream; where, and the certificate in PEM.
fn tls_server() -> (SocketAddr, String) {
    const TOKEN: &str = "data: {\"id\":\"c\",\"choices\":[{\"finish_reason\":null,\"delta\":{\"content\":\"a \"}}]}\n\n";
    let end = TOKEN.replace("null", "\"length\"");
    let frames = format!("{}{end}data: [DONE]\n\n", TOKEN.repeat(2));
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {}\r\n\r\n{frames}",
        frames.len()
    );
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, answer) = (acceptor.clone(), answer.clone());
                tokio::spawn(async move {
                    // A probe that speaks no TLS is none of this test's business.
                    let Ok(mut stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    let mut request = vec![0; 1 << 16];
                    while stream.read(&mut request).await.is_ok_and(|n| n > 0) {
                        stream.write_all(answer.as_bytes()).await.unwrap();
                        stream.flush().await.unwrap();
                    }
                });
            }
        });
    });
    (address, certified.cert.pem())
}

#[test]
fn a_gateway_behind_tls_is_reached_if_its_certificate_is_trusted() {
    let (address, certificate) = tls_server();
    let folder = folder(CHAT);
    let target = format!(
        "name = 'tls'\nurl = 'https://localhost:{}'\n[[models]]\nname = 'm'\n[[models.pools]]\nname = 'p'\nweight = 1\n",
        address.port()
    );
    std::fs::write(folder.path().join("target.toml"), target).unwrap();
    std::fs::write(folder.path().join("trusted.pem"), certificate).unwrap();
    let arguments = ["load", "chat.toml", "--target", "target.toml"];
    let mut trusting = poolproof(&folder, &arguments);
    let done = trusting
        .env("SSL_CERT_FILE", folder.path().join("trusted.pem"))
        .output()
        .unwrap();
    let record = record(&folder, "load.json");
    assert_eq!(done.status.code(), Some(0), "{record}");
    assert_eq!(record["total"]["output_tokens"], 120);

    let (code, table, _) = run(&folder, &arguments);
    assert!(code == 1 && table.contains("no-connection"), "{table}");
}

#[test]
fn load_on_a_picker_has_a_record_that_is_rendered_verified_and_compared() {
    let folder = TempDir::new().unwrap();
    let picker = [
        "load",
        "picker",
        "--endpoints",
        "2",
        "--input",
        "200",
        "--duration",
        "1s",
    ];
    let (code, table, error) = run(&folder, &picker);
    assert_eq!(code, 0, "{table}{error}");
    let record = record(&folder, "picker.json");
    assert_eq!(record["schema"], "poolproof/picker/1");
    assert_eq!(record["rows"][0]["endpoints_named"], 2, "{record}");
    let path = folder.path().join("poolproof-out");
    let page = std::fs::read_to_string(path.join("picker.html")).unwrap();
    assert!(page.contains("very request got a pick"), "{page}");
    let (code, again, _) = run(&folder, &["report", "poolproof-out"]);
    assert!(code == 0 && table.starts_with(again.trim_end()), "{again}");
    let (code, text, _) = run(
        &folder,
        &["report", "poolproof-out", "--format", "markdown"],
    );
    assert!(code == 0 && text.starts_with("```text"), "{text}");
    let (code, text, _) = run(&folder, &["report", "--verify", "poolproof-out"]);
    assert!(code == 0 && text.contains("holds 1 measurements"), "{text}");
    let compared = ["compare", "poolproof-out", "poolproof-out/picker.json"];
    let (code, text, _) = run(&folder, &compared);
    assert!(
        code == 0 && text.contains("picker, 2 endpoints, 200 tokens: picks/s"),
        "{text}"
    );
    let edited = record
        .to_string()
        .replace("\"own_cores\":", "\"own_cores\":1");
    std::fs::write(path.join("picker.json"), edited).unwrap();
    let (code, text, _) = run(&folder, &["report", "--verify", "poolproof-out"]);
    assert!(code == 1 && text.contains("edited: "), "{text}");
}

#[test]
fn the_gateway_is_compared_with_round_robin_block_by_block() {
    let folder = folder(CHAT);
    let arguments = [
        "load",
        "overhead",
        "chat.toml",
        "--block",
        "0.1",
        "--uneven",
        "2",
    ];
    let (code, table, error) = run(&folder, &arguments);
    assert_eq!(code, 0, "{table}{error}");
    let report = record(&folder, "overhead.json");
    let rows = report["compared"].as_array().unwrap();
    assert!(
        rows.iter()
            .any(|row| row["figure"] == "ttft p50 ms" && row["blocks"] == 20),
        "{report}"
    );
}

#[test]
fn a_dry_run_says_what_a_run_then_sends() {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("chat.toml"), CHAT).unwrap();
    let (code, said, error) = run(&folder, &["load", "chat.toml", "--dry-run", "--json"]);
    assert_eq!(code, 0, "{error}");
    let planned: Value = serde_json::from_str(&said).unwrap();
    let class = &planned["classes"][0];
    assert!(!folder.path().join("poolproof-out").exists());
    run(&folder, &["load", "chat.toml"]);
    let text = std::fs::read_to_string(folder.path().join("poolproof-out/load.json")).unwrap();
    let record: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(record["client"]["started_requests"], class["requests"]);
    assert_eq!(planned["busiest_s_requests"], 50);
    assert_eq!(
        class["output_tokens"].as_u64().unwrap(),
        5 * class["requests"].as_u64().unwrap()
    );
}
