//! Whether a process named by a file or a label still runs.

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;

/// Whether a process has this id, whatever its owner.
pub(crate) fn is_alive(pid: i32) -> bool {
    // 0 and negative numbers denote process groups. No signal is sent: kill(2) only checks.
    pid > 0 && kill(Pid::from_raw(pid), None) != Err(Errno::ESRCH)
}

/// Whether this process runs and is a poolproof. A zombie counts as ended: only its exit code has not been read.
pub fn is_poolproof(pid: i32) -> bool {
    #[cfg(target_os = "linux")]
    let found = stat(pid);
    #[cfg(not(target_os = "linux"))]
    let found = ps(pid);
    found.is_some_and(|(name, state)| name == "poolproof" && !state.starts_with('Z'))
}

/// The name and the state of a process, from `PID (NAME) STATE …` of proc(5).
#[cfg(target_os = "linux")]
fn stat(pid: i32) -> Option<(String, String)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (name, state) = text.split_once('(')?.1.split_once(") ")?;
    Some((name.to_owned(), state.to_owned()))
}

/// The name and the state of a process, from ps(1) of POSIX; macOS prints the path of the program.
#[cfg(any(not(target_os = "linux"), test))]
fn ps(pid: i32) -> Option<(String, String)> {
    let mut ps = std::process::Command::new("ps");
    ps.args(["-o", "stat=", "-o", "comm=", "-p", &pid.to_string()]);
    let output = ps.output().ok()?;
    of_line(&String::from_utf8_lossy(&output.stdout))
}

#[cfg(any(not(target_os = "linux"), test))]
fn of_line(line: &str) -> Option<(String, String)> {
    let (state, program) = line.trim().split_once(char::is_whitespace)?;
    let name = program.trim().rsplit('/').next()?;
    Some((name.to_owned(), state.to_owned()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_process_is_alive_until_it_is_waited_for() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = child.id() as i32;
        assert!(is_alive(pid));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!is_alive(pid));
    }

    #[test]
    fn process_groups_are_not_processes() {
        assert!(!is_alive(0) && !is_alive(-1));
    }

    #[test]
    fn lines_of_ps_name_the_program_without_its_folder() {
        let of = |line| of_line(line).map(|(name, state)| (name == "poolproof", state));
        let running = Some((true, "S+".to_owned()));
        assert_eq!(of("S+   /usr/local/bin/poolproof\n"), running);
        assert_eq!(of("S+   poolproof\n"), running);
        assert_eq!(of("Z    (poolproof)\n"), Some((false, "Z".to_owned())));
        assert_eq!(of(""), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn ps_and_proc_agree_on_the_name_of_a_process() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = child.id() as i32;
        let by_proc = stat(pid).map(|(name, _)| name);
        let by_ps = ps(pid).map(|(name, _)| name);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(by_proc.as_deref(), Some("sleep"));
        // A minimal image has no ps.
        if Command::new("ps").output().is_ok() {
            assert_eq!(by_ps, by_proc);
        }
    }
}
