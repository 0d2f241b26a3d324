//! Stacks: those that cannot start, kept ones, and interruptions.

use std::collections::BTreeSet;
use std::fs::Permissions;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::{logged_ids, poolproof, record, run, wait_for, wait_for_a_case};

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
fn doctor_prints_a_command_for_each_stack() {
    let folder = TempDir::new().unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    let doctor = || {
        let output = poolproof(&folder, &["doctor"])
            .env("PATH", "")
            .env("POOLPROOF_BIN_DIR", folder.path())
            .env("KUBECONFIG", &kubeconfig)
            .output()
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0), "{said}");
        said
    };
    let said = doctor();
    let lines: Vec<&str> = said.lines().map(str::trim_end).collect();
    for wanted in [
        "embedded    ready: poolproof run",
        "url         ready: poolproof run http://HOST:PORT",
        "local       not ready",
        "            mend:    ci/upstream/build",
        "containers  not ready",
        "            missing: docker (not in PATH)",
        "            mend:    curl -fsSL https://get.docker.com | sh",
        "kind        not ready",
        "cluster     not ready",
    ] {
        assert!(lines.contains(&wanted), "{wanted}\n{said}");
    }
    let contexts = "contexts:\n- name: other\n- name: mine\ncurrent-context: mine\n";
    std::fs::write(&kubeconfig, contexts).unwrap();
    for name in ["epp", "bbr", "envoy"] {
        std::fs::write(folder.path().join(name), "").unwrap();
    }
    let said = doctor();
    for wanted in [
        "local       ready: poolproof run --stack local",
        "cluster     ready: poolproof run --stack cluster --existing --context mine, or other",
    ] {
        assert!(said.lines().any(|line| line == wanted), "{wanted}\n{said}");
    }
}

#[test]
fn an_unknown_version_is_2_and_names_those_known() {
    let folder = TempDir::new().unwrap();
    for (flag, value, words) in [
        ("--gateway", "envoy@1.2.3", "1.39.3 (default)"),
        ("--epp", "llm-d-router@v9", "v0.10.0 (default)"),
        ("--gateway", "poolproof@1", "no builds"),
        ("--gateway", "nginx@1", "agentgateway, envoy, poolproof"),
        ("--epp", "gie@", "gie@VERSION"),
    ] {
        let (code, _, error) = run(&folder, &["run", "--stack", "local", flag, value]);
        assert_eq!(code, 2, "{value}: {error}");
        assert!(error.contains(words), "{value}: {error}");
    }
    let file = ["run", "--stack", "kind", "--gateway", "envoy@file:x"];
    let (code, _, error) = run(&folder, &file);
    assert_eq!(code, 2, "{error}");
    assert!(error.contains("use --stack local"), "{error}");
}

#[test]
fn a_version_that_is_missing_here_is_named_with_the_command_that_gets_it() {
    let folder = TempDir::new().unwrap();
    for name in ["epp", "bbr", "envoy"] {
        std::fs::write(folder.path().join(name), "").unwrap();
    }
    for (gateway, words) in [
        ("envoy@1.40.0", "ci/upstream/build envoy@1.40.0"),
        ("envoy@file:no-such-file", "no-such-file"),
    ] {
        let arguments = ["doctor", "--stack", "local", "--gateway", gateway];
        let output = poolproof(&folder, &arguments)
            .env("PATH", "")
            .env("POOLPROOF_BIN_DIR", folder.path())
            .output()
            .unwrap();
        let shown = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(4), "{shown}");
        assert!(shown.contains(words), "{shown}");
    }
}

#[test]
fn an_interrupted_run_writes_what_is_known() {
    let folder = TempDir::new().unwrap();
    let mut child = poolproof(&folder, &["run", "routing/unknown-model", "distribution"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    wait_for_a_case(&folder);
    kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let record = record(&folder);
    assert_eq!(record["interrupted"], true);
    assert_eq!(record["cases"][0]["verdict"], "pass");
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
