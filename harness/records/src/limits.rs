//! The resource limits of this process.

use anyhow::{Result, ensure};
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};

/// macOS, setrlimit(2): the soft limit cannot be above OPEN_MAX, even where the hard limit is infinite.
const OPEN_MAX: u64 = 10_240;

/// Raises the limit on open files to the system's maximum. Held requests are open sockets at every hop, and many shells
/// set a soft limit of 1,024.
pub fn raise_open_files() {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        // If this fails, a run may hit the limit; `poolproof doctor` reports its value.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard).or_else(|_| {
            let soft = hard.min(OPEN_MAX);
            setrlimit(Resource::RLIMIT_NOFILE, soft, hard)
        });
    }
}

/// The limit on open files of this process: soft, hard.
pub fn open_files() -> Option<(u64, u64)> {
    getrlimit(Resource::RLIMIT_NOFILE).ok()
}

/// The effective limit after [`raise_open_files`]: the hard limit, or the soft limit where the hard limit is infinite.
fn usable((soft, hard): (u64, u64)) -> u64 {
    if hard == RLIM_INFINITY { soft } else { hard }
}

/// The processors available to this process.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Fails if this process cannot have this many open files, which `what` needs. The error proposes a remedy.
pub fn check_files(files: u64, what: &str) -> Result<()> {
    if let Some(hard) = files_max() {
        ensure!(
            files <= hard,
            "{what} needs up to {files} open files, but this process may have only {hard}: raise `ulimit -Hn`"
        );
    }
    Ok(())
}

/// The most open files of this process. `None` if unknown.
pub fn files_max() -> Option<u64> {
    open_files().map(usable)
}

/// Descriptors that a process uses besides its connections: files, timers and runtimes.
const OTHER_FILES: u64 = 64;

/// Fails if this process cannot open `connections` connections to one address from `sources` local addresses. The error
/// proposes a remedy.
pub fn check_connections(connections: usize, sources: usize) -> Result<()> {
    if let Some(hard) = open_files().map(usable) {
        ensure!(
            connections as u64 + OTHER_FILES <= hard,
            "{connections} connections need as many open files, but this process may have only {hard}: raise `ulimit -Hn`, or use more machines"
        );
    }
    if let Some(ports) = ports_of_an_address() {
        let sources = sources.max(1);
        ensure!(
            connections as u64 <= ports * sources as u64,
            "{connections} connections need as many ports, but {sources} local address(es) have only {ports} each: \
             widen net.ipv4.ip_local_port_range, or add local addresses with --source"
        );
    }
    Ok(())
}

/// The largest number of connections of this process to one address from `sources` local addresses. `None` if the
/// system sets no limit.
pub fn connections_max(sources: usize) -> Option<u64> {
    let files = open_files().map(|limits| usable(limits).saturating_sub(OTHER_FILES));
    let ports = ports_of_an_address().map(|ports| ports * sources.max(1) as u64);
    files.into_iter().chain(ports).min()
}

/// The number of ports for connections from one local address.
fn ports_of_an_address() -> Option<u64> {
    let (first, last) = ephemeral_ports()?;
    Some(u64::from(last.saturating_sub(first)) + 1)
}

/// The range of ephemeral ports on Linux (Documentation/networking/ip-sysctl); `None` if unknown.
pub fn ephemeral_ports() -> Option<(u16, u16)> {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?;
    let (first, last) = range.trim().split_once(char::is_whitespace)?;
    Some((first.parse().ok()?, last.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lack_of_open_files_is_an_error_with_both_numbers() {
        assert!(check_files(1, "this test").is_ok());
        if let Some(max) = files_max().filter(|max| *max < u64::MAX) {
            let error = check_files(max + 1, "this test").err();
            let error = error.map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains(&format!("only {max}: raise")), "{error}");
        }
    }

    #[test]
    fn an_infinite_hard_limit_leaves_the_soft_limit_in_effect() {
        assert_eq!(usable((1_024, 4_096)), 4_096);
        assert_eq!(usable((10_240, RLIM_INFINITY)), 10_240);
    }
}
