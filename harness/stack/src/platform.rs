//! What each operating system can run.

use anyhow::{Result, ensure};

use poolproof_model::parts::StackKind;

/// The operating system of this program, as Rust names it: `linux`, `macos`.
pub const SYSTEM: &str = std::env::consts::OS;

/// Whether a stack can be started on an operating system. Stacks `local`, `containers` and `kind` need Linux programs
/// and images.
pub fn can_run(system: &str, kind: StackKind) -> bool {
    match kind {
        StackKind::Local | StackKind::Containers | StackKind::Kind => system == "linux",
        StackKind::Embedded | StackKind::Cluster | StackKind::Url => true,
    }
}

/// Fails where a stack cannot be started on an operating system.
pub(super) fn check(system: &str, kind: StackKind) -> Result<()> {
    ensure!(
        can_run(system, kind),
        "--stack {} needs Linux, and this is {system}: use --stack embedded, cluster or url",
        kind
    );
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn stacks_of_linux_programs_are_an_error_on_macos() {
        for (kind, name) in [
            (StackKind::Local, "--stack local"),
            (StackKind::Containers, "--stack containers"),
            (StackKind::Kind, "--stack kind"),
        ] {
            assert!(check("linux", kind).is_ok());
            let error = check("macos", kind).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
            assert!(error.contains("needs Linux"), "{error}");
        }
    }

    #[test]
    fn every_other_stack_runs_on_macos() {
        for kind in [StackKind::Embedded, StackKind::Cluster, StackKind::Url] {
            check("macos", kind).unwrap();
        }
    }
}
