//! What users, machines and servers do to a run: its record and its output survive that, or an error states what is lost.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::{poolproof, record, run, wait_for_a_case};

/// A run of some seconds, started through another command if one is given, and ended by a signal once its record is there; its exit code.
fn ended_by(folder: &TempDir, signal: Signal, through: &[&str]) -> Option<i32> {
    let arguments = ["run", "routing/unknown-model", "distribution"];
    let mut command = poolproof(folder, &arguments);
    if let Some((through, options)) = through.split_first() {
        let program = command.get_program().to_owned();
        let mut outer = Command::new(through);
        outer.args(options).arg(program).args(arguments);
        outer.current_dir(folder);
        outer.env("XDG_STATE_HOME", folder.path());
        command = outer;
    }
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_for_a_case(folder);
    kill(Pid::from_raw(child.id() as i32), signal).unwrap();
    child.wait().unwrap().code()
}

#[cfg(target_os = "linux")]
#[test]
fn a_run_that_is_killed_or_hung_up_leaves_a_record_that_states_so() {
    // The tests may themselves run under `nohup`, whose children ignore the signal as well.
    const NOT_IGNORED: &[&str] = &["env", "--default-signal=HUP"];
    for (signal, code) in [(Signal::SIGHUP, Some(130)), (Signal::SIGKILL, None)] {
        let folder = TempDir::new().unwrap();
        assert_eq!(ended_by(&folder, signal, NOT_IGNORED), code);
        assert_eq!(record(&folder)["interrupted"], true, "{signal}");
        let verify = ["report", "--verify", "poolproof-out/run.json"];
        let (code, text, _) = run(&folder, &verify);
        assert_eq!(code, 1);
        assert!(text.contains("interrupted"), "{text}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_run_under_nohup_outlives_its_terminal() {
    let folder = TempDir::new().unwrap();
    let code = ended_by(&folder, Signal::SIGHUP, &["nohup"]);
    assert_eq!(code, Some(0));
    assert_eq!(record(&folder)["interrupted"], false);
}

#[cfg(target_os = "linux")]
#[test]
fn output_that_cannot_be_written_is_an_error() {
    let folder = TempDir::new().unwrap();
    let full = || File::options().write(true).open("/dev/full").unwrap();
    let output = poolproof(&folder, &["list"])
        .stdout(full())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(70));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("writing to standard output"), "{error}");
    // Before anything is started.
    for arguments in [
        &["run", "--out", "/proc/sys"][..],
        &["load", "quick-chat", "--out", "/proc/sys"],
    ] {
        let (code, _, error) = run(&folder, arguments);
        assert_eq!(code, 2, "{error}");
        assert!(
            error.contains("--out /proc/sys: cannot save a record there"),
            "{error}"
        );
    }
}

/// A server that repeats the whole request in an error, and would control a terminal.
fn repeating() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let mut bytes = [0; 8192];
                while let Ok(read @ 1..) = stream.read(&mut bytes) {
                    let text = String::from_utf8_lossy(&bytes[..read]);
                    let mut lines = text.lines();
                    let key = lines
                        .find(|line| line.starts_with("authorization"))
                        .unwrap_or("none");
                    let body = format!("\u{1b}[2J refused: {key}");
                    let head = format!(
                        "HTTP/1.1 401 Unauthorized\r\ncontent-length: {}\r\n\r\n",
                        body.len()
                    );
                    if stream.write_all((head + &body).as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

#[test]
fn a_key_that_a_server_repeats_is_shown_nowhere() {
    let folder = TempDir::new().unwrap();
    let url = format!("http://{}", repeating());
    let target = format!(
        "url = '{url}'\napi_key = {{ env = 'KEY' }}\n[[models]]\nname = 'm'\n[[models.pools]]\nname = 'p'\nweight = 1\n"
    );
    std::fs::write(folder.path().join("target.toml"), target).unwrap();
    for arguments in [
        &[
            "load",
            "quick-chat",
            "--duration",
            "1",
            "--target",
            "target.toml",
        ][..],
        &["run", "routing/known-model", "--target", "target.toml"],
        &[
            "run",
            "routing/known-model",
            "--target",
            "target.toml",
            "--wait-ready",
            "2s",
        ],
        &["load", &url, "--api-key-env", "KEY"],
    ] {
        let mut command = poolproof(&folder, arguments);
        let output = command.env("KEY", "zzsecret-key").output().unwrap();
        let mut shown =
            String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(!shown.contains('\u{1b}'), "{arguments:?}: {shown}");
        for entry in std::fs::read_dir(folder.path().join("poolproof-out"))
            .into_iter()
            .flatten()
        {
            shown += &std::fs::read_to_string(entry.unwrap().path()).unwrap_or_default();
        }
        assert!(shown.contains("refused: "), "{arguments:?}: {shown}");
        assert!(!shown.contains("zzsecret"), "{arguments:?}");
    }
}

#[test]
fn a_run_that_was_suspended_fails_no_correct_stack() {
    const SUSPENDED: Duration = Duration::from_secs(2);
    let folder = TempDir::new().unwrap();
    let mut child = poolproof(&folder, &["run", "routing/unknown-model", "distribution"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    wait_for_a_case(&folder);
    let pid = Pid::from_raw(child.id() as i32);
    kill(pid, Signal::SIGSTOP).unwrap();
    // What is measured here is the time without the process.
    std::thread::sleep(SUSPENDED);
    kill(pid, Signal::SIGCONT).unwrap();
    let code = child.wait().unwrap().code();
    assert!(matches!(code, Some(0 | 3)), "{code:?}");
    let text = record(&folder).to_string();
    assert!(text.contains("poolproof stood still for"), "{text}");
}
