//! The process between poolproof and a program that it starts: it ties the program's life to poolproof's.
//!
//! On Linux it execs the program, and the kernel kills the program when the thread that started it ends. Elsewhere it
//! stays the program's parent, watches for the end of its own parent, and passes on the exit code.

use std::convert::Infallible;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use nix::unistd::Pid;

/// Runs a program that ends when the process `parent`, which started us, ends. Returns only if that fails.
#[cfg(target_os = "linux")]
pub fn exec_child(parent: u32, command: &[String]) -> Result<Infallible> {
    use std::os::unix::process::CommandExt;

    nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)
        .context("tying a process to its parent")?;
    // The parent may have ended before the line above.
    ensure!(
        std::os::unix::process::parent_id() == parent,
        "the parent has ended"
    );
    let (program, arguments) = command.split_first().context("no program")?;
    let error = Command::new(program).args(arguments).exec();
    Err(error).with_context(|| format!("starting {program}"))
}

/// Runs a program that ends when the process `parent`, which started us, ends. Returns only if that fails.
#[cfg(not(target_os = "linux"))]
pub fn exec_child(parent: u32, command: &[String]) -> Result<Infallible> {
    watch(parent, command).map(|code| std::process::exit(code))
}

/// The target of a signal for a child: the child, which is the program itself.
#[cfg(target_os = "linux")]
pub(super) fn addressee(child: i32) -> Pid {
    Pid::from_raw(child)
}

/// The target of a signal for a child: its process group, which contains the program.
#[cfg(not(target_os = "linux"))]
pub(super) fn addressee(child: i32) -> Pid {
    Pid::from_raw(-child)
}

/// Runs a program to its end and returns its exit code. Kills it once `parent` is no longer our parent.
#[cfg(any(not(target_os = "linux"), test))]
fn watch(parent: u32, command: &[String]) -> Result<i32> {
    use std::os::unix::process::{ExitStatusExt, parent_id};

    let (program, arguments) = command.split_first().context("no program")?;
    let mut child = Command::new(program)
        .args(arguments)
        .spawn()
        .with_context(|| format!("starting {program}"))?;
    loop {
        if let Some(status) = child.try_wait().context("waiting for a process")? {
            // The exit code that a shell reports for a program killed by a signal.
            let signal = status.signal().unwrap_or(0);
            return Ok(status.code().unwrap_or(128 + signal));
        }
        if parent_id() != parent {
            child.kill().context("killing a process")?;
            child.wait().context("waiting for a process")?;
        }
        ensure!(parent_id() == parent, "the parent has ended");
        std::thread::sleep(super::group::POLL_INTERVAL);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::process::parent_id;
    use std::time::{Duration, Instant};

    use super::*;

    fn shell(script: &str) -> Vec<String> {
        ["sh", "-c", script].map(str::to_owned).into()
    }

    #[test]
    fn a_watched_program_passes_on_its_exit_code() {
        assert_eq!(watch(parent_id(), &shell("exit 7")).unwrap(), 7);
        assert_eq!(watch(parent_id(), &shell("kill -9 $$")).unwrap(), 128 + 9);
    }

    #[test]
    fn a_watched_program_is_killed_when_the_parent_has_ended() {
        let began = Instant::now();
        let stranger = std::process::id();
        let error = watch(stranger, &shell("exec sleep 60")).unwrap_err();
        assert!(error.to_string().contains("parent"), "{error}");
        assert!(began.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn a_missing_program_is_an_error_that_names_it() {
        let error = watch(parent_id(), &["/no/such/program".to_owned()]).unwrap_err();
        assert!(error.to_string().contains("/no/such/program"), "{error}");
    }
}
