//! The table of exit codes.

use std::fmt::Write as _;

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    /// The checked property holds.
    Passed,
    /// The checked property does not hold.
    Failed,
    /// The command line, a file that it names, or a setting is wrong.
    Usage,
    /// The question is not decided; a record states why.
    Undecided,
    /// The stack could not be started.
    Unavailable,
    /// poolproof itself failed: a bug, a full disk. Nothing is known about the gateway. `EX_SOFTWARE` of sysexits.h.
    Internal,
    /// A signal ended the process; the code is the one that shells report for SIGINT.
    Interrupted,
}

impl Exit {
    const ALL: [Self; 7] = [
        Self::Passed,
        Self::Failed,
        Self::Usage,
        Self::Undecided,
        Self::Unavailable,
        Self::Internal,
        Self::Interrupted,
    ];

    /// The code that the process returns.
    pub(super) const fn code(self) -> u8 {
        match self {
            Self::Passed => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Undecided => 3,
            Self::Unavailable => 4,
            Self::Internal => 70,
            Self::Interrupted => 130,
        }
    }

    fn meaning(self) -> &'static str {
        match self {
            Self::Passed => {
                "every Must case that could be run passed or failed as expected; every rule or objective holds"
            }
            Self::Failed => {
                "a Must case failed, an expected failure passed, or a gate rule or an objective was missed"
            }
            Self::Usage => "usage or configuration error",
            Self::Undecided => {
                "not decided: a Must case was inconclusive or invalid, or no case could run; the record gives the reason"
            }
            Self::Unavailable => "the stack could not be started",
            Self::Internal => {
                "internal error in poolproof, such as a bug or a full disk; says nothing about the gateway"
            }
            Self::Interrupted => "interrupted; the record holds the measurements so far",
        }
    }

    /// The table for `--help`.
    pub(super) fn help() -> String {
        let mut text = "Exit codes:\n".to_owned();
        for exit in Self::ALL {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "  {:<4} {}", exit.code(), exit.meaning());
        }
        text + "\nWithout a command, `poolproof` runs `poolproof run`."
    }
}
