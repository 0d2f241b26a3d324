//! The limits of this process.

use anyhow::{Result, ensure};
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};

/// macOS, setrlimit(2): the soft limit cannot be above OPEN_MAX, even where the hard limit is infinite.
const OPEN_MAX: u64 = 10_240;

/// Allows as many open files as the system permits: held requests are open sockets at every hop, and the soft limit of many
/// shells is 1,024.
pub fn raise_open_files() {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        // Where it is refused, a run may meet the limit; `poolproof doctor` says how low it is.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard).or_else(|_| {
            let soft = hard.min(OPEN_MAX);
            setrlimit(Resource::RLIMIT_NOFILE, soft, hard)
        });
    }
}

/// The files that this process may have open: the soft limit, and the hard one.
pub fn open_files() -> Option<(u64, u64)> {
    getrlimit(Resource::RLIMIT_NOFILE).ok()
}

/// The limit that counts once [`raise_open_files`] has run: the hard one, or the soft one where the hard one is infinite.
fn usable((soft, hard): (u64, u64)) -> u64 {
    if hard == RLIM_INFINITY { soft } else { hard }
}

/// The processors that this process may use.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Descriptors that a process has open beside the connections that it is asked for: its own files, timers and runtimes.
const OTHER_FILES: u64 = 64;

/// Fails if this process cannot have so many connections to one address from so many local addresses, with what to do about it.
pub fn check_connections(connections: usize, sources: usize) -> Result<()> {
    if let Some(hard) = open_files().map(usable) {
        ensure!(
            connections as u64 + OTHER_FILES <= hard,
            "{connections} connections take as many open files, and this process may have {hard}: raise `ulimit -Hn`, or use more machines"
        );
    }
    if let Some(ports) = ports_of_an_address() {
        let sources = sources.max(1);
        ensure!(
            connections as u64 <= ports * sources as u64,
            "{connections} connections take as many ports, and {sources} local address(es) have {ports} each: \
             widen net.ipv4.ip_local_port_range, or give more addresses with --source"
        );
    }
    Ok(())
}

/// How many connections this process can have to one address, from so many local addresses; `None` where the system sets no limit.
pub fn connections_max(sources: usize) -> Option<u64> {
    let files = open_files().map(|limits| usable(limits).saturating_sub(OTHER_FILES));
    let ports = ports_of_an_address().map(|ports| ports * sources.max(1) as u64);
    files.into_iter().chain(ports).min()
}

/// How many ports connections from one local address can have.
fn ports_of_an_address() -> Option<u64> {
    let (first, last) = ephemeral_ports()?;
    Some(u64::from(last.saturating_sub(first)) + 1)
}

/// The first and the last port that Linux gives to connections (Documentation/networking/ip-sysctl); `None` where it does not say.
pub fn ephemeral_ports() -> Option<(u16, u16)> {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?;
    let (first, last) = range.trim().split_once(char::is_whitespace)?;
    Some((first.parse().ok()?, last.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_infinite_hard_limit_leaves_the_soft_limit_to_count() {
        assert_eq!(usable((1_024, 4_096)), 4_096);
        assert_eq!(usable((10_240, RLIM_INFINITY)), 10_240);
    }
}
