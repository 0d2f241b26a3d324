//! What to do after the first run, printed once for each user.

use std::fs::File;
use std::io::IsTerminal;
use std::path::Path;

use super::print_line;
use poolproof_records::folders;

/// Your own gateway, a load run, and real components.
const NEXT: &str = "\
next: `poolproof run http://HOST:PORT` runs these cases on your own gateway, `poolproof load http://HOST:PORT` sends it load;
      `poolproof run --stack kind` starts real gateways on Kubernetes, `poolproof doctor` lists what this machine can run";
/// The file that notes that they were printed.
const NOTE: &str = "next-steps";

/// Prints the next steps on a terminal, unless it was done before.
pub(super) fn print_once() {
    if !std::io::stdout().is_terminal() {
        return;
    }
    if folders::state().is_ok_and(|folder| is_first(&folder)) {
        print_line(NEXT);
    }
}

/// Whether no note was in the folder. It is there afterwards. A folder that cannot be written counts as one with a note, since every run
/// would be the first.
fn is_first(folder: &Path) -> bool {
    std::fs::create_dir_all(folder).is_ok() && File::create_new(folder.join(NOTE)).is_ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_run_is_the_first() {
        let folder = std::env::temp_dir().join(format!("poolproof-next-{}", std::process::id()));
        let state = folder.join("state");
        assert!(is_first(&state));
        assert!(!is_first(&state));
        assert!(!is_first(&state.join(NOTE)), "a file is no folder");
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn there_are_two_lines() {
        assert_eq!(NEXT.lines().count(), 2);
    }
}
