//! The limits of this process.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Allows as many open files as the system permits: held requests are open sockets at every hop, and the soft limit of many
/// shells is 1,024.
pub fn raise_open_files() {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        // Where it is refused, a run may meet the limit; `poolproof doctor` says how low it is.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}
