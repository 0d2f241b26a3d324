//! `poolproof compare` from outside, and what it does with records that are none.

use serde_json::Value;
use tempfile::TempDir;

use super::run;

#[test]
fn a_run_is_held_against_an_earlier_one() {
    let folder = TempDir::new().unwrap();
    let (code, ..) = run(
        &folder,
        &[
            "run",
            "routing/known-model",
            "routing/blanks",
            "--out",
            "before",
        ],
    );
    assert_eq!(code, 0);
    let page = std::fs::read_to_string(folder.path().join("before/report.html")).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>") && page.contains("routing/known-model"));
    let text = std::fs::read_to_string(folder.path().join("before/run.json")).unwrap();
    let write = |name: &str, change: &dyn Fn(&mut Value)| {
        let mut record: Value = serde_json::from_str(&text).unwrap();
        change(&mut record);
        std::fs::create_dir_all(folder.path().join(name)).unwrap();
        std::fs::write(
            folder.path().join(name).join("run.json"),
            record.to_string(),
        )
        .unwrap();
    };
    write("worse", &|it| it["cases"][0]["verdict"] = "fail".into());
    write("may-worse", &|it| it["cases"][1]["verdict"] = "fail".into());
    write("other", &|it| {
        it["target"]["models"][1]["pools"][0]["weight"] = 70.into()
    });
    std::fs::write(
        folder.path().join("gate.toml"),
        "[rules]\nno-case = { verdicts = 'may' }",
    )
    .unwrap();
    std::fs::write(
        folder.path().join("bad.toml"),
        "[rules]\nx = { verdict = 'may' }",
    )
    .unwrap();
    std::fs::write(folder.path().join("cut.json"), &text[..100]).unwrap();
    std::fs::write(folder.path().join("renamed.json"), &text).unwrap();
    for (arguments, wanted, told) in [
        (
            &["before", "before"][..],
            0,
            "every case has the verdict that it had",
        ),
        (
            &["renamed.json", "before/run.json"],
            0,
            "every case has the verdict that it had",
        ),
        (
            &["cut.json", "before"],
            2,
            "cut.json: must be a folder with run.json",
        ),
        (
            &["before", "worse"],
            1,
            "no-must-case-worse MISSED: routing/known-model fail",
        ),
        (&["before", "may-worse"], 0, "routing/blanks"),
        (
            &["before", "may-worse", "--gate", "gate.toml"],
            1,
            "no-case MISSED: routing/blanks fail",
        ),
        (&["before", "other"], 3, "the topologies differ"),
        (
            &["before", "before", "--gate", "bad.toml"],
            2,
            "unknown field `verdict`",
        ),
        (&["before", "gone"], 2, "must be a folder with run.json"),
    ] {
        let (code, said, error) = run(&folder, &[&["compare"], arguments].concat());
        assert_eq!(code, wanted, "{arguments:?}: {said}{error}");
        assert!(
            format!("{said}{error}").contains(told),
            "{arguments:?}: {said}{error}"
        );
    }
    let (code, _, error) = run(&folder, &["report", "cut.json"]);
    assert!(
        code == 2 && error.contains("is not the whole record"),
        "{code}: {error}"
    );
}
