//! Progress display of a command.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Progress on a terminal; nothing in a pipe.
#[derive(Clone)]
pub(super) struct Progress(ProgressBar);

impl Progress {
    pub(super) fn new() -> Self {
        let bar = if std::io::stderr().is_terminal() {
            ProgressBar::new_spinner()
        } else {
            ProgressBar::hidden()
        };
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(120));
        Self(bar)
    }

    pub(super) fn running(&self, case: &str) {
        self.0.set_message(case.to_owned());
        self.0.reset_elapsed();
    }

    pub(super) fn note(&self, line: &str) {
        self.0.println(line);
    }

    /// Prints a line, in a pipe as well.
    pub(super) fn tell(&self, line: &str) {
        if self.0.is_hidden() {
            eprintln!("{line}");
        } else {
            self.0.println(line);
        }
    }

    pub(super) fn finish(&self) {
        self.0.finish_and_clear();
    }
}
