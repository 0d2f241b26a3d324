//! Snapshots of each rendering, and what a matrix shows and refuses.

use std::fs;
use std::path::Path;

use super::*;
use crate::terminal::TableStyle;
use poolproof_model::component::Component;
use poolproof_model::verdict::Outcome;
use poolproof_records::samples::{fail, record, with_expectations};

const PLAIN: TableStyle = TableStyle {
    width: 120,
    colour: false,
};

/// A run behind a gateway with these outcomes of Must cases.
fn behind(gateway: &str, outcomes: &[Outcome]) -> Record {
    let cases: Vec<_> = outcomes
        .iter()
        .map(|outcome| (Level::Must, outcome.clone()))
        .collect();
    let mut record = record(&cases);
    record.stack = "local (envoy)".to_owned();
    record.components = vec![
        Component::new("gateway", gateway),
        Component::new(
            "epp",
            "Gateway API Inference Extension endpoint picker v1.5.0",
        ),
    ];
    record
}

fn source(name: &str, evidence: Evidence) -> Source {
    Source {
        name: name.to_owned(),
        link: format!("{name}/run.json"),
        evidence,
    }
}

fn ran(name: &str, record: Record) -> Source {
    source(name, Evidence::Ran(Box::new(record)))
}

/// Two versions of a gateway, a run with every judgement, a run with a flaw, and a stack that did not start.
fn sample() -> Matrix {
    let pass = || Outcome::pass("fine");
    let mut flawed = behind("envoy 1.10.0", &[fail()]);
    flawed.flaw = Some("split-80-20".to_owned());
    flawed.interrupted = true;
    let failed = NotStarted {
        schema: poolproof_records::not_started::SCHEMA.to_owned(),
        place: "kind".to_owned(),
        gateway: Some("agentgateway".to_owned()),
        epp: None,
        model_server: None,
        reason: "kind: no Docker engine | at <all>".to_owned(),
    };
    let sources = vec![
        ran("new (2)", behind("envoy 1.10.0", &[fail(), pass(), pass()])),
        ran("old", behind("envoy 1.9.0", &[pass(), pass()])),
        ran("every", with_expectations()),
        ran("flawed", flawed),
        source("broken", Evidence::NotStarted(failed)),
    ];
    let left_out = vec![LeftOut {
        file: "cut".to_owned(),
        reason: "cut/run.json is not the whole record".to_owned(),
    }];
    Matrix::of(sources, left_out)
}

fn names(matrix: &Matrix) -> Vec<&str> {
    matrix
        .columns
        .iter()
        .map(|column| column.name.as_str())
        .collect()
}

#[test]
fn every_rendering_of_a_matrix_matches_its_snapshot() {
    let matrix = sample();
    let page = html::render(&matrix);
    // The styles and the script are files of their own.
    let page = page
        .replace(include_str!("matrix.css"), "")
        .replace(include_str!("matrix.js"), "")
        .replace("><", ">\n<");
    let json = serde_json::to_string_pretty(&matrix).unwrap();
    insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true, snapshot_path => "../snapshots" }, {
        insta::assert_snapshot!("matrix.terminal", terminal::render(&matrix, PLAIN));
        insta::assert_snapshot!("matrix.markdown", markdown::render(&matrix));
        insta::assert_snapshot!("matrix.html", page);
        insta::assert_snapshot!("matrix.json", json);
    });
}

#[test]
fn versions_of_one_part_stand_side_by_side_and_their_changes_are_listed() {
    let matrix = sample();
    let at = |name: &str| names(&matrix).iter().position(|it| *it == name).unwrap();
    let [step] = matrix.steps.as_slice() else {
        panic!("{:?}", matrix.steps);
    };
    assert_eq!((step.from, step.to), (at("old"), at("new (2)")));
    assert_eq!(step.to, step.from + 1);
    assert_eq!(step.title(), "gateway envoy: 1.9.0 → 1.10.0");
    let changes: Vec<_> = step
        .changes
        .iter()
        .map(|it| (it.case.as_str(), it.from, it.to))
        .collect();
    assert_eq!(changes, [("suite/case-0", Judged::Pass, Judged::Fail)]);
    assert_eq!(step.only_one, 1);
    let row = matrix.rows().next().unwrap();
    assert!(row.cells[step.to].as_ref().unwrap().changed);
    assert!(!row.cells[step.from].as_ref().unwrap().changed);
}

#[test]
fn a_row_differs_only_if_the_requirement_holds_on_one_stack_and_fails_on_another() {
    let differs = |left: Outcome, right: Outcome| {
        let sources = vec![
            ran("a", behind("x 1.0", &[left])),
            ran("b", behind("y 1.0", &[right])),
        ];
        let matrix = Matrix::of(sources, Vec::new());
        matrix.rows().next().unwrap().differs
    };
    assert!(differs(Outcome::pass(""), fail()));
    assert!(!differs(fail(), fail()));
    assert!(!differs(Outcome::pass(""), Outcome::skip("")));
    assert!(!differs(Outcome::invalid(""), fail()));
}

#[test]
fn texts_of_records_are_escaped_and_the_page_needs_no_network() {
    let mut hostile = behind("<b>gw</b> 1.0", &[fail()]);
    hostile.cases[0].outcome.summary = "<img src=x onerror=alert(1)> \x1b[31m".to_owned();
    let page = html::render(&Matrix::of(vec![ran("<i>", hostile)], Vec::new()));
    for markup in ["<img", "<i>", "<b>", "\x1b", "http://", "https://"] {
        assert!(!page.contains(markup), "{markup}: {page}");
    }
}

#[test]
fn runs_with_a_flaw_cut_records_and_other_kinds_are_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let save = |name: &str, record: &mut Record| {
        let folder = folder.path().join(name);
        fs::create_dir_all(&folder).unwrap();
        record.save(&folder.join("run.json")).unwrap();
    };
    let pass = [Outcome::pass("")];
    save("deep/good", &mut behind("envoy 1.9.0", &pass));
    let mut flawed = behind("envoy 1.9.0", &pass);
    flawed.flaw = Some("split-80-20".to_owned());
    save("flawed", &mut flawed);
    fs::create_dir(folder.path().join("cut")).unwrap();
    fs::write(folder.path().join("cut/run.json"), "{\"schema\": ").unwrap();
    fs::write(folder.path().join("deep/good/report.html"), "").unwrap();

    let root = [folder.path().to_owned()];
    let read = |flaws| read::read(&root, folder.path(), flaws).unwrap();
    let matrix = read(false);
    assert_eq!(names(&matrix), ["deep/good"]);
    assert_eq!(matrix.columns[0].link, "deep/good/report.html");
    let left_out: Vec<_> = matrix
        .left_out
        .iter()
        .map(|out| out.file.as_str())
        .collect();
    assert_eq!(left_out, ["cut", "flawed"]);
    assert!(matrix.left_out[1].reason.contains("--with-flaws"));
    assert_eq!(names(&read(true)), ["deep/good", "flawed"]);

    let from_below = read::read(&root, &folder.path().join("deep"), false).unwrap();
    assert_eq!(from_below.columns[0].link, "good/report.html");
    let beside = read::read(&root, &folder.path().join("cut"), false).unwrap();
    assert_eq!(beside.columns[0].link, "../deep/good/report.html");

    let alone = [folder.path().join("cut")];
    let error = read::read(&alone, folder.path(), false)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("no record of a run") && error.contains("not the whole record"),
        "{error}"
    );
}

/// The matrix of the committed records, as `poolproof matrix reports --format markdown` writes it below a heading.
fn of_reports(reports: &Path) -> String {
    let matrix = read::read(&[reports.to_owned()], reports, false).unwrap();
    let about = "# Matrix\n\nMade from the records in this folder by `poolproof matrix reports --format markdown`; a test compares it with them. To write it again:\n`POOLPROOF_WRITE_MATRIX=1 cargo test -p poolproof-report --lib committed_matrix`.\n\n";
    about.to_owned() + &markdown::render(&matrix)
}

#[test]
fn the_committed_matrix_is_what_the_committed_records_give() {
    let reports = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../reports");
    let path = reports.join("matrix.md");
    let text = of_reports(&reports);
    if std::env::var_os("POOLPROOF_WRITE_MATRIX").is_some() {
        fs::write(&path, &text).unwrap();
    }
    assert!(
        fs::read_to_string(&path).unwrap_or_default() == text,
        "reports/matrix.md is not what the committed records give: run this test with POOLPROOF_WRITE_MATRIX=1"
    );
}
