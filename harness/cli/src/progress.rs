//! Progress display of a command.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::output::harmless;

/// Progress on a terminal; nothing in a pipe.
#[derive(Clone)]
pub(super) struct Progress {
    bar: ProgressBar,
    /// Whether it shows lines that do not move by themselves.
    is_still: Arc<AtomicBool>,
}

/// How often the spinner turns.
const TURN: Duration = Duration::from_millis(120);
const MOVING: &str = "{spinner} {msg} {elapsed}";
const STILL: &str = "{msg}";

impl Progress {
    pub(super) fn new() -> Self {
        let bar = if std::io::stderr().is_terminal() {
            ProgressBar::new_spinner()
        } else {
            ProgressBar::hidden()
        };
        let progress = Self {
            bar,
            is_still: Arc::new(AtomicBool::new(true)),
        };
        progress.be_still(false);
        progress
    }

    pub(super) fn running(&self, case: &str) {
        self.be_still(false);
        self.bar.set_message(case.to_owned());
        self.bar.reset_elapsed();
    }

    /// Shows lines in place of what was shown. They are drawn once, so that they do not flicker.
    pub(super) fn show(&self, lines: &str) {
        self.be_still(true);
        self.bar.set_message(lines.to_owned());
    }

    fn be_still(&self, still: bool) {
        if self.is_still.swap(still, Ordering::Relaxed) == still {
            return;
        }
        if let Ok(style) = ProgressStyle::with_template(if still { STILL } else { MOVING }) {
            self.bar.set_style(style);
        }
        if still {
            self.bar.disable_steady_tick();
        } else {
            self.bar.enable_steady_tick(TURN);
        }
    }

    pub(super) fn note(&self, line: &str) {
        self.bar.println(harmless(line));
    }

    /// Prints a line, in a pipe as well.
    pub(super) fn tell(&self, line: &str) {
        let line = harmless(line);
        if self.bar.is_hidden() {
            eprintln!("{line}");
        } else {
            self.bar.println(line);
        }
    }

    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
