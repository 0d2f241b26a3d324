//! Records of runs: saved, rendered again, and published.

use serde_json::Value;
use tempfile::TempDir;

use super::{poolproof, run};

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
fn a_report_shows_the_comparison_with_the_run_that_is_named_as_its_baseline() {
    let reports = concat!(env!("CARGO_MANIFEST_DIR"), "/../reports");
    let folder = TempDir::new().unwrap();
    let of = |name: &str| format!("{reports}/{name}");
    let (run_now, run_before) = (of("local-envoy"), of("local-poolproof"));
    let load = of("load-local-envoy");
    let page = |record: &str, baseline: &str, format: &str| {
        let arguments = ["report", record, "--baseline", baseline, "--format", format];
        run(&folder, &arguments)
    };
    let (code, html, error) = page(&run_now, &run_before, "html");
    assert_eq!(code, 0, "{error}");
    assert!(html.contains("<section id=\"compared\">"), "{html}");
    assert!(html.contains("protocol/control-headers") && html.contains("no worse"));
    let (code, html, error) = page(&load, &load, "html");
    assert_eq!(code, 0, "{error}");
    assert!(
        html.contains("0 of 10 figures are worse, 0 are better"),
        "{html}"
    );
    for format in ["terminal", "markdown"] {
        let (code, text, error) = page(&load, &load, format);
        assert_eq!(code, 0, "{error}");
        let line = "Compared with the baseline, of 20";
        assert!(
            text.contains(line) && text.contains(": 0 of 10 figures"),
            "{text}"
        );
    }
    // A format for programs has no place for it, and an overhead no page.
    for (record, format, wanted) in [
        (
            &load,
            "vllm",
            "not supported for a load run with --format vllm",
        ),
        (&of("load-url-h200"), "html", "--baseline: not supported"),
    ] {
        let (code, _, error) = page(record, record, format);
        assert_eq!(code, 2, "{error}");
        assert!(error.contains(wanted), "{error}");
    }
}
