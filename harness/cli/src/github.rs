//! Output for GitHub Actions.

use std::io::Write;

/// Inside a GitHub Actions job, appends to the job summary and prints annotations. A summary that cannot be written is reported on
/// standard error and changes no verdict.
pub(super) fn publish(summary: &str, annotations: &str) {
    if let Some(path) = std::env::var_os("GITHUB_STEP_SUMMARY") {
        let file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path);
        let written = file.and_then(|mut file| writeln!(file, "{summary}"));
        if let Err(error) = written {
            eprintln!("GITHUB_STEP_SUMMARY {}: {error}", path.display());
        }
    }
    if std::env::var_os("GITHUB_ACTIONS").is_some_and(|value| value == "true") {
        // GitHub reads commands from both streams; standard output may be read by another program.
        eprint!("{annotations}");
    }
}
