#![allow(clippy::unwrap_used)]

use super::super::compare;
use super::super::figure::Says;
use super::*;
use crate::foreign::{inference_perf, llm_d, vllm};

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/compare/peers/samples")
}

fn load() -> Record {
    let reports = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../reports");
    Record::read(&reports.join("load-local-envoy/load.json")).unwrap()
}

fn figure(peer: &Peer, name: &str) -> f64 {
    let figures = peer.figures();
    let found = figures.iter().find(|figure| figure.name == name);
    found.unwrap_or_else(|| panic!("no {name}")).value
}

#[test]
fn a_load_run_in_each_format_reads_back_as_itself() {
    let record = load();
    let own = Peer::of(&record);
    for (value, names) in [
        (vllm::convert(&record).value, &["p50", "p99"][..]),
        (inference_perf::convert(&record).value, &["p50", "p95"]),
        (llm_d::convert(&record).value, &["p50", "p90"]),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("result.json");
        std::fs::write(&path, value.to_string()).unwrap();
        let read = Peer::read(&path).unwrap();
        assert_eq!(
            (read.answered, read.failed),
            (own.answered, own.failed),
            "{}",
            read.tool
        );
        for name in names {
            let name = format!("load tpot {name}");
            let ratio = figure(&read, &name) / figure(&own, &name);
            assert!((ratio - 1.0).abs() < 0.01, "{}: {name}: {ratio}", read.tool);
        }
    }
}

#[test]
fn results_of_guidellm_and_aiperf_of_one_server_agree() {
    // Both sent 30 requests of 10 tokens to a server that sends the first after 50 ms, and one each 10 ms.
    let read = |name: &str| Records::read(&folder().join(name)).unwrap();
    let (guidellm, aiperf) = (read("guidellm.json"), read("aiperf.json"));
    for records in [&guidellm, &aiperf] {
        let peer = records.peer.as_ref().unwrap();
        assert_eq!((peer.answered, peer.failed), (30, 0));
        let ttft_ms = figure(peer, "load ttft_from_send p50");
        assert!((50.0..60.0).contains(&ttft_ms), "{ttft_ms}");
        let tpot_ms = figure(peer, "load tpot p50");
        assert!((10.0..12.0).contains(&tpot_ms), "{tpot_ms}");
        let e2e_ms = figure(peer, "load e2e_from_send p50");
        assert!((140.0..170.0).contains(&e2e_ms), "{e2e_ms}");
    }
    let compared = compare(&guidellm, &aiperf, 0.25);
    let ttft = compared.figures.iter();
    let ttft = ttft.filter(|it| it.figure == "load ttft_from_send p50");
    assert_eq!(ttft.map(|it| it.says).collect::<Vec<_>>(), [Says::Same]);
    assert_eq!(compared.notes.len(), 2, "{:?}", compared.notes);
}

#[test]
fn failed_requests_are_infinitely_late_and_a_rate_alone_decides_nothing() {
    let read = |name: &str| Peer::read(&folder().join(name)).unwrap();
    let mut failing = read("aiperf.json");
    failing.failed = 60;
    assert_eq!(figure(&failing, "load e2e_from_send p50"), f64::INFINITY);
    let before = Records {
        run: None,
        load: None,
        overhead: None,
        picker: None,
        peer: Some(read("aiperf.json")),
    };
    let now = Records {
        peer: Some(failing),
        ..before.clone()
    };
    let compared = compare(&before, &now, 0.05);
    let says = |name: &str| {
        let mut found = compared.figures.iter();
        found.find(|it| it.figure == name).unwrap().says
    };
    assert_eq!(says("load e2e_from_send p50"), Says::Worse);
    assert_eq!(says("load answers"), Says::NotDecided);
}

#[test]
fn another_document_is_an_error_that_names_the_tools() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("result.json");
    for text in ["{\"completed\": 3}", "nonsense", "[1, 2]", ""] {
        std::fs::write(&path, text).unwrap();
        let error = format!("{:#}", Records::read(&path).unwrap_err());
        assert!(error.contains("result.json"), "{error}");
        assert!(error.contains("guidellm"), "{error}");
    }
}
